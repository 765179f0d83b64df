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

SUMMARY = "compute features, Jacobian and metric of many sounds into a cache; run again to resume"

how_to_continue = rerun
_SCATTERING = ("J", "Q", "J_fr", "Q_fr", "T", "F", "pad_mode", "sampling", "scale")


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
        help="sounds of your own, in place of --size: a CSV or Parquet file in physical units with a column for each "
        "parameter",
    )
    parser.add_argument(
        "--out", type=output_file, metavar="FILE", help="cache to write (cache/NAME.h5 if not given)"
    )
    parser.add_argument(
        "--method",
        default="sobol",
        choices=("sobol", "uniform", "lhs", "grid"),
        help="how the parameters of the sounds are drawn",
    )
    add_seed(parser, "seed of the draw and of the folds (training, validation, test)")
    parser.add_argument(
        "--derivatives",
        default="auto",
        choices=("auto", "forward", "difference"),
        help="exact (forward), differences over a long --step of each parameter (difference), or exact where "
        "possible (auto)",
    )
    parser.add_argument(
        "--step",
        action="append",
        type=step,
        metavar="[NAME=]H",
        help="take differences over plus and minus H, in units of the range scaled to -1 to 1 (0.1 is 5 %% of it), for "
        "all parameters or, with NAME, for one; with NAME may be given several times",
    )
    add_jobs(parser)
    parser.add_argument(
        "--backend",
        default="loky",
        choices=("loky", "dask"),
        help="what runs the processes: this machine (loky) or a Dask cluster",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda; cuda with --jobs 1")
    parser.add_argument(
        "--shard",
        type=shard,
        default="0/1",
        metavar="I/N",
        help="compute one of N parts, from 0/N to (N-1)/N, to be joined by `pnp merge`",
    )
    parser.add_argument(
        "--block",
        type=positive,
        default=16,
        metavar="N",
        help="sounds in a unit of work: what an interruption can lose",
    )
    parser.add_argument(
        "--seeds",
        type=positive,
        default=1,
        metavar="N",
        help="average each metric over N random draws of a random synthesizer",
    )
    parser.add_argument(
        "--store",
        choices=("metric", "features", "jacobian"),
        help="what to keep: the metric alone, features too, or Jacobians as well (jacobian if not given)",
    )
    parser.add_argument(
        "--dtype",
        default="float32",
        choices=("float16", "float32", "float64"),
        help="number type of stored features and Jacobians; metrics are always float64",
    )
    parser.add_argument(
        "--compression", default="none", choices=("none", "gzip"), help="compress the finished file"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "float64"),
        help="number type of the computation (float32 if not given)",
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="compute failed sounds again, and with them their blocks"
    )
    scattering = parser.add_argument_group(
        "scattering transform",
        "settings of the standard representation; they do not go with --features",
    )
    scattering.add_argument(
        "--preset",
        choices=("standard", "listeners", "mesostructures", "pnp"),
        help="settings to start from: the package's own, those nearest to listeners, or those of a paper (standard if "
        "not given)",
    )
    scattering.add_argument(
        "--scale",
        type=positive_number,
        help="factor on coefficients before the logarithm (that of the preset if not given)",
    )
    scattering.add_argument("--J", type=positive, help="largest scale is 2**J samples")
    scattering.add_argument(
        "--Q", type=sizes, metavar="Q1[,Q2]", help="wavelets per octave of the first and the second order"
    )
    scattering.add_argument("--J-fr", type=positive, help="largest scale is 2**J_FR first-order wavelets")
    scattering.add_argument("--Q-fr", type=positive, help="wavelets per octave along log-frequency")
    scattering.add_argument("--T", type=support, help="averaging over time: samples, 'global', or 0 for none")
    scattering.add_argument(
        "--F", type=support, help="averaging over wavelets: number, 'global', or 0 for none"
    )
    scattering.add_argument(
        "--pad-mode",
        choices=("reflect", "zero"),
        help="what lies beyond the ends of a sound: silence (zero) or its mirror image (reflect)",
    )
    scattering.add_argument(
        "--sampling",
        choices=("critical", "fine"),
        help="samples of envelopes: fine, so that a delay changes nothing, or critical, as in caches of earlier "
        "versions (if not given: fine where sounds are padded by zeros and averaged as a whole)",
    )
    scattering.add_argument(
        "--fast",
        action="store_true",
        help="compute twice as fast, with an error of some 0.2 %% in the metric of sounds of 30,000 samples or "
        "more, and larger errors for short ones",
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
