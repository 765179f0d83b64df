"""`pnp precompute`: the offline stage."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pnp.cli.arguments import (
    add_jobs,
    add_seed,
    output_file,
    positive,
    positive_number,
    shard,
    sizes,
    step,
    steps,
    support,
)
from pnp.cli.outcome import EXIT_FAILURES, EXIT_OK, rerun, say
from pnp.cli.own import add_features, add_synthesizer

if TYPE_CHECKING:
    from torch import nn

SUMMARY = "offline stage: features, Jacobian and metric of every sound of a design, into a cache that resumes"

how_to_continue = rerun
_SCATTERING = ("J", "Q", "J_fr", "Q_fr", "T", "F", "pad_mode", "scale")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_synthesizer(parser, required=True)
    add_features(parser, "the standard of the package")
    design = parser.add_mutually_exclusive_group(required=True)
    design.add_argument(
        "--size",
        type=sizes,
        metavar="N[,N...]",
        help="number of sounds; for --method grid also the points along each parameter",
    )
    design.add_argument(
        "--presets",
        type=Path,
        metavar="FILE",
        help="the sounds themselves, a CSV or Parquet file in physical units with a column for each parameter",
    )
    parser.add_argument(
        "--out", type=output_file, metavar="FILE", help="cache to write (cache/NAME.h5 if not given)"
    )
    parser.add_argument(
        "--method", default="sobol", choices=("sobol", "uniform", "lhs", "grid"), help="design of sounds"
    )
    add_seed(parser, "seed of the design and of the folds")
    parser.add_argument(
        "--derivatives",
        default="auto",
        choices=("auto", "forward", "difference"),
        help="exact ones (forward), differences over --step of each parameter, or exact where possible",
    )
    parser.add_argument(
        "--step",
        action="append",
        type=step,
        metavar="[NAME=]H",
        help="step of differences, for all parameters or one, where the range is -1 to 1: 0.1 to 0.3 describe errors "
        "of that size; with a NAME may be given several times",
    )
    add_jobs(parser)
    parser.add_argument("--backend", default="loky", choices=("loky", "dask"), help="where the processes run")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; cuda with --jobs 1")
    parser.add_argument(
        "--shard", type=shard, default="0/1", metavar="I/N", help="part of the design, from 0/N to (N-1)/N"
    )
    parser.add_argument("--block", type=positive, default=16, metavar="N", help="sounds in a unit of work")
    parser.add_argument(
        "--seeds",
        type=positive,
        default=1,
        metavar="N",
        help="draws of a random synthesizer that each metric is the mean over",
    )
    parser.add_argument(
        "--store",
        choices=("metric", "features", "jacobian"),
        help="what is kept: the metric alone, features with it, or Jacobians with both (jacobian if not given)",
    )
    parser.add_argument(
        "--dtype",
        default="float32",
        choices=("float16", "float32", "float64"),
        help="type in which features and Jacobians are kept; metrics are float64",
    )
    parser.add_argument(
        "--compression", default="none", choices=("none", "gzip"), help="of the file, once it is finished"
    )
    parser.add_argument(
        "--precision", choices=("float32", "float64"), help="of the computation (float32 if not given)"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="compute the blocks with failed sounds again"
    )
    scattering = parser.add_argument_group(
        "scattering transform", "by default the standard of the package; `pnp inspect` shows it"
    )
    scattering.add_argument(
        "--preset",
        choices=("standard", "mesostructures", "pnp"),
        help="settings to start from: the standard, which is taken if not given, or published ones by name",
    )
    scattering.add_argument(
        "--scale", type=positive_number, help="factor before the logarithm (that of the preset if not given)"
    )
    scattering.add_argument("--J", type=positive, help="largest scale is 2**J samples")
    scattering.add_argument(
        "--Q", type=sizes, metavar="Q1[,Q2]", help="wavelets per octave, first, second order"
    )
    scattering.add_argument("--J-fr", type=positive, help="largest scale is 2**J_FR first-order wavelets")
    scattering.add_argument("--Q-fr", type=positive, help="wavelets per octave along log-frequency")
    scattering.add_argument("--T", type=support, help="averaging over time: samples, 'global', or 0 for none")
    scattering.add_argument(
        "--F", type=support, help="averaging over wavelets: number, 'global', or 0 for none"
    )
    scattering.add_argument("--pad-mode", choices=("reflect", "zero"), help="how a sound goes on at its ends")
    scattering.add_argument(
        "--fast",
        action="store_true",
        help="twice as fast, with a metric that is off by some 0.2 %% where sounds are long",
    )


def run(options: argparse.Namespace) -> int:
    """Compute a cache, or what is missing of it."""
    from pnp._own_code import is_own, stem_of
    from pnp.offline.precompute import precompute
    from pnp.synths.registry import make

    synth = make(options.synth, **dict(options.synth_option))
    features = _features(synth, options)
    name = stem_of(options.synth) if is_own(options.synth) else options.synth
    part, parts = options.shard
    suffix = f".{part}of{parts}" if parts > 1 else ""
    out = Path(options.out or Path("cache") / f"{name}{suffix}.h5")
    out.parent.mkdir(parents=True, exist_ok=True)
    summary = precompute(
        synth,
        features,
        out,
        size=options.size,
        theta=options.presets,
        method=options.method,
        seed=options.seed,
        derivatives=options.derivatives,
        step=steps(options.step),
        jobs=options.jobs,
        backend=options.backend,
        block=options.block,
        seeds=options.seeds,
        store=options.store,
        dtype=options.dtype,
        compression=options.compression,
        precision=options.precision,
        device=options.device,
        shard=options.shard,
        retry_failed=options.retry_failed,
        progress=not options.quiet,
    )
    say(str(summary))
    return EXIT_FAILURES if summary.n_failed else EXIT_OK


def _features(synth: nn.Module, options: argparse.Namespace) -> nn.Module:
    """Return the user's own feature map, or the scattering transform with its settings."""
    from pnp.features.standard import standard_features
    from pnp.offline.rebuild import make_features

    changes = {name: getattr(options, name) for name in _SCATTERING if getattr(options, name) is not None}
    if options.fast:
        changes["precision"] = "fast"
    if options.features is None:
        if options.features_option:
            raise ValueError("--features-option goes with --features; the standard has options of its own.")
        return standard_features(synth, options.preset or "standard", **changes)
    if changes or options.preset:
        first = "preset" if options.preset else next(iter(changes))
        option = "fast" if first == "precision" else first.replace("_", "-")
        raise ValueError(f"--{option} is about the scattering transform; it does not go with --features.")
    return make_features(options.features, synth, **dict(options.features_option))
