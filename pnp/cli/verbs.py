"""What each verb of the command line does; what it needs is imported when it runs.

Every function takes parsed options and returns an exit code. Results go to standard output through `_say`,
progress and messages to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pnp.cli.main import EXIT_FAILURES, EXIT_OK


def demo(options: argparse.Namespace) -> int:
    """From nothing to a network trained with a precomputed metric."""
    from pnp.cli.demo import run_demo

    for paragraph in run_demo(
        Path(options.out),
        size=options.size,
        epochs=options.epochs,
        seed=options.seed,
        jobs=options.jobs,
        progress=not options.quiet,
    ):
        _say(paragraph)
    return EXIT_OK


def precompute(options: argparse.Namespace) -> int:
    """The offline stage."""
    from pnp import synths
    from pnp.features.standard import standard_features
    from pnp.offline.precompute import precompute as run

    synth = synths.make(options.synth, **dict(options.synth_option))
    names = ("J", "Q", "J_fr", "Q_fr", "T", "F", "pad_mode")
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    part, parts = options.shard
    suffix = f".{part}of{parts}" if parts > 1 else ""
    out = Path(options.out or Path("cache") / f"{options.synth}{suffix}.h5")
    out.parent.mkdir(parents=True, exist_ok=True)
    summary = run(
        synth,
        standard_features(synth, **changes),
        out,
        size=options.size,
        method=options.method,
        seed=options.seed,
        jobs=options.jobs,
        backend=options.backend,
        block=options.block,
        store=options.store,
        dtype=options.dtype,
        compression=options.compression,
        precision=options.precision,
        device=options.device,
        shard=options.shard,
        progress=not options.quiet,
    )
    _say(str(summary))
    return EXIT_FAILURES if summary.n_failed else EXIT_OK


def merge(options: argparse.Namespace) -> int:
    """Shards into one cache."""
    from pnp.store import merge as run

    header = run(options.shards, options.out, copy=options.copy)
    _say(f"{options.out}: {header.n_rows} sounds from {len(options.shards)} shards")
    return EXIT_OK


def verify(options: argparse.Namespace) -> int:
    """Check caches."""
    from pnp.offline.verify import verify as check

    reports = [check(path, recompute=options.recompute, seed=options.seed) for path in options.caches]
    for report in reports:
        _say(str(report))
    return EXIT_OK if all(report.ok for report in reports) else EXIT_FAILURES


def inspect(options: argparse.Namespace) -> int:
    """What the metric of a cache says."""
    from pnp.report.numbers import cache_report, sound_report
    from pnp.report.terminal import as_text
    from pnp.store import MetricCache

    with MetricCache(options.cache) as cache:
        distance = 1.0 if options.distance is None else options.distance
        if options.index is None:
            report = cache_report(cache, distance)
        else:
            report = sound_report(cache, options.index, distance)
        _say(_json(report) if options.json else as_text(report))
        if options.png:
            for path in _draw(cache, options.index, Path(options.png)):
                sys.stderr.write(f"{path}\n")
        if options.html:
            from pnp.report.html import write_page

            rows = None if options.index is None else [options.index]
            page = write_page(
                cache, options.html, sounds=options.sounds, rows=rows, distance=options.distance
            )
            sys.stderr.write(f"{page}: {page.stat().st_size / 1e6:.1f} MB\n")
    return EXIT_OK


def train(options: argparse.Namespace) -> int:
    """Train an encoder."""
    from pnp.offline.rebuild import features_of, synthesizer_of
    from pnp.store import MetricCache
    from pnp.training.train import train as run

    out = Path(options.out or Path("runs") / f"{Path(options.cache).stem}-{options.loss}")
    given = {}
    # A damping of 0 is none, but no schedule can begin there.
    if options.damping or (options.damping is not None and options.damping_schedule):
        given["damping"] = options.damping
    if options.reach is not None:
        given["reach"] = options.reach
    for name, losses in (("damping", ("pnp",)), ("reach", ("pnp", "surrogate"))):
        if name in given and options.loss not in losses:
            raise ValueError(f"--{name} goes with --loss {' or '.join(losses)}; got --loss {options.loss}.")
    with MetricCache(options.cache) as cache:
        result = run(
            cache,
            synthesizer_of(cache),
            loss=options.loss,
            loss_options=given or None,
            features=features_of(cache) if options.loss == "spectral" else None,
            damping_schedule={} if options.damping_schedule else None,
            epochs=options.epochs,
            time_budget=options.time_budget,
            patience=options.patience,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            decay=options.decay,
            weight_decay=options.weight_decay,
            seed=options.seed,
            device=options.device,
            out=out,
            resume=options.resume,
            overwrite=options.overwrite,
            tensorboard=options.tensorboard,
            progress=not options.quiet,
        )
    best = result.history[result.best_epoch - 1]
    _say(
        f"{out}: {len(result.history)} epochs, {result.seconds:.1f} s, ended by {result.stopped}; best epoch "
        f"{result.best_epoch} with validation loss {result.best_validation_loss:.4g} and error "
        f"{best['validation_error']:.4f} (mean |û − u|, the cube's side being 2)"
    )
    return EXIT_OK


def evaluate(options: argparse.Namespace) -> int:
    """Held-out errors of an encoder."""
    from pnp.offline.rebuild import features_of, synthesizer_of
    from pnp.report.terminal import evaluations_as_text
    from pnp.store import MetricCache
    from pnp.training.checkpoint import load_encoder
    from pnp.training.evaluate import evaluate as run

    encoder = load_encoder(options.run)
    with MetricCache(options.cache) as cache:
        evaluation = run(
            encoder,
            cache,
            synthesizer_of(cache),
            features=None if options.no_distance else features_of(cache),
            fold=options.fold,
            device=options.device,
            progress=not options.quiet,
        )
    _say(_json(evaluation.to_dict()) if options.json else evaluations_as_text({options.run: evaluation}))
    return EXIT_OK


def match(options: argparse.Namespace) -> int:
    """Parameters with which a synthesizer sounds like a recording."""
    from pnp.matching.match import match as run
    from pnp.report.terminal import match_as_text
    from pnp.training.checkpoint import load_encoder

    result = run(
        options.sound,
        options.cache,
        encoder=load_encoder(options.encoder) if options.encoder else None,
        starts=options.starts,
        max_evaluations=options.max_evaluations,
        fit_gain=not options.keep_level,
        align=not options.keep_onset,
        allow_clipped=options.allow_clipped,
        progress=not options.quiet,
    )
    _say(_json(result.to_dict()) if options.json else match_as_text(result))
    for path in result.save(options.out or f"{Path(options.sound).stem}-match").values():
        sys.stderr.write(f"{path}\n")
    return EXIT_OK


def bench(options: argparse.Namespace) -> int:
    """Speed and accuracy of the scattering transform."""
    import shlex

    import torch

    from pnp.bench import STANDARD, as_markdown, merge_results, run_benchmark, write_page
    from pnp.bench.run import SECTIONS

    if options.results:
        results = merge_results([json.loads(Path(file).read_text()) for file in options.results])
    else:
        if options.threads:
            torch.set_num_threads(options.threads)
        results = run_benchmark(
            [STANDARD[name] for name in options.configuration or STANDARD],
            rounds=options.rounds,
            peer=options.peer,
            sections=options.section or SECTIONS,
            json_file=Path(options.json) if options.json else None,
            command=shlex.join(_bench_command(options)),
        )
    _say(as_markdown(results))
    if options.docs:
        for path in write_page(results, Path(options.docs)):
            sys.stderr.write(f"{path}\n")
    return EXIT_OK


def figures(options: argparse.Namespace) -> int:
    """Loss landscapes."""
    from pnp.landscapes.study import PARTS, run_figures

    for paragraph in run_figures(
        Path(options.out),
        only=options.only or PARTS,
        n=options.grid,
        n_samples=options.samples,
        steps=options.steps,
        seed=options.seed,
        jobs=options.jobs,
        docs=Path(options.docs) if options.docs else None,
        progress=not options.quiet,
    ):
        _say(paragraph)
    return EXIT_OK


def _bench_command(options: argparse.Namespace) -> list[str]:
    """The command that measures the same elsewhere: the interpreter of the peer is another one there."""
    command = ["pnp", "bench"]
    for name in ("configuration", "section"):
        for value in getattr(options, name) or []:
            command += [f"--{name}", value]
    command += ["--rounds", str(options.rounds)]
    if options.threads:
        command += ["--threads", str(options.threads)]
    if options.peer:
        command += ["--peer", "DIR/bin/python"]
    for name in ("json", "docs"):
        if getattr(options, name):
            command += [f"--{name}", getattr(options, name)]
    return command


def _draw(cache: Any, index: int | None, folder: Path) -> list[Path]:
    from pnp import diagnostics, plots

    names = cache.space.names
    if index is None:
        metric, u = cache.metrics(), cache.u
        figures = {
            "overview": plots.overview(metric, cache.space, u),
            "eigenvalues": plots.eigenvalue_distributions(metric),
            "eigenvectors": plots.eigenvector_composition(metric, names),
            "mean-metric": plots.metric_heatmap(metric.mean().matrix, names),
        }
        for i in range(len(names)):
            for j in range(i):
                pair = f"{names[j]}-{names[i]}"
                figures[f"ellipses-{pair}"] = plots.metric_ellipses(metric, cache.space, u, (j, i))
                figures[f"condition-{pair}"] = plots.condition_map(metric, cache.space, u, (j, i))
    else:
        metric = cache.metric(index)
        cosines = diagnostics.correlation(metric)
        figures = {
            f"metric-{index}": plots.metric_heatmap(metric.matrix, names),
            f"correlation-{index}": plots.metric_heatmap(cosines, names, normalized=True),
        }
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=120)
    return [folder / f"{name}.png" for name in figures]


def _json(value: Any) -> str:
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError(
            "The result holds NaN or infinite numbers, which JSON cannot; without --json they are shown."
        ) from error


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
