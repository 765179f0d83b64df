"""`pnp demo`: chirps, their metric, two networks, and which of them matches better."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pnp._text import percent
from pnp.cli.arguments import add_jobs, add_out, add_seed, positive
from pnp.cli.outcome import EXIT_OK, rerun, say

if TYPE_CHECKING:
    from torch import nn

    from pnp._protocols import SynthesizerModule
    from pnp.training.evaluate import Evaluation
    from pnp.training.train import TrainResult

SUMMARY = (
    "show everything on a small scale: a cache of chirps, its metric, two networks, a table of their errors"
)

how_to_continue = rerun

_LABELS = {"pnp": "PNP loss", "p": "P-loss"}

# A fifth of the sounds is held out: with few sounds, a tenth would decide between the losses by chance.
_SPLIT = (0.7, 0.1, 0.2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_out(parser, "pnp-demo")
    parser.add_argument("--size", type=positive, default=200, metavar="N", help="number of sounds")
    parser.add_argument(
        "--epochs", type=positive, default=40, metavar="N", help="passes of each training run over the sounds"
    )
    add_seed(parser, "seed of sounds, weights and their order")
    add_jobs(parser)


def run(options: argparse.Namespace) -> int:
    """Tell the story."""
    from pnp.features.standard import standard_features
    from pnp.synths.registry import make

    synth = make("chirp")
    for paragraph in run_demo(
        synth,
        standard_features(synth),
        Path(options.out),
        size=options.size,
        epochs=options.epochs,
        seed=options.seed,
        jobs=options.jobs,
        progress=not options.quiet,
    ):
        say(paragraph)
    return EXIT_OK


def run_demo(
    synth: SynthesizerModule,
    features: nn.Module,
    out: Path,
    *,
    size: int = 200,
    epochs: int = 40,
    seed: int = 0,
    jobs: int = 1,
    progress: bool = True,
) -> Iterator[str]:
    """Precompute a cache of sounds, look at its metric, and train two networks on it.

    What is there already from an earlier, interrupted run with the same options is used again.

    Args:
        synth: Synthesizer.
        features: Feature map.
        out: Directory for the cache, the two training runs and the figures.
        size: Number of sounds.
        epochs: Passes of each training run over the sounds.
        seed: Seed of sounds, weights and their order.
        jobs: Worker processes of the offline stage.
        progress: Show progress bars.

    Yields:
        Paragraphs of text, as results come in.

    Raises:
        CacheConfigMismatch: If `out` holds a demo with other options.
        ValueError: If an option is out of range.
    """
    from pnp import plots
    from pnp.offline.precompute import precompute
    from pnp.report.numbers import cache_report
    from pnp.report.results import evaluations_as_text
    from pnp.report.terminal import as_text
    from pnp.store import MetricCache
    from pnp.training.evaluate import evaluate
    from pnp.training.train import train

    out.mkdir(parents=True, exist_ok=True)

    yield f"1. Offline: {size} chirps, their features and Jacobians"
    summary = precompute(
        synth, features, out / "chirp.h5", size=size, seed=seed, split=_SPLIT, jobs=jobs, progress=progress
    )
    yield str(summary)

    with MetricCache(summary.path) as cache:
        yield "\n2. The metric\n"
        yield as_text(cache_report(cache))
        plots.overview(cache.metrics(), cache.space, cache.u).savefig(out / "metric.png", dpi=100)

        yield "\n3. Online: the same network, twice"
        results: dict[str, TrainResult] = {}
        for loss, label in _LABELS.items():
            results[label] = train(
                cache,
                synth,
                loss=loss,
                epochs=epochs,
                seed=seed,
                out=out / loss,
                resume=True,
                progress=progress,
            )
            yield f"{label}: {len(results[label].history)} epochs in {results[label].seconds:.1f} s"
        _draw_training(results, out / "training.png")

        yield "\n4. Held-out sounds: parameter error in % of the range, distance in the representation\n"
        evaluations = {
            label: evaluate(result.encoder, cache, synth, features=features, progress=progress)
            for label, result in results.items()
        }
    yield evaluations_as_text(evaluations)
    yield ""
    yield _verdict(evaluations)
    yield _places(out)


def _draw_training(results: Mapping[str, TrainResult], path: Path) -> None:
    from pnp import plots

    # Each loss has its own unit; the error is one that both can be seen in.
    errors = {
        label: [epoch["validation_error"] for epoch in result.history] for label, result in results.items()
    }
    plots.curves(
        errors,
        "epoch",
        "mean |û − u| (the cube's side is 2)",
        title="Error on validation sounds",
    ).savefig(path, dpi=100)


def _verdict(evaluations: Mapping[str, Evaluation]) -> str:
    """Return who comes out ahead by both measures, and a word on chance."""
    lines = []
    for measure, values in (
        ("distance", {label: e.feature_distance or 0.0 for label, e in evaluations.items()}),
        ("parameter error", {label: e.mean_parameter_error for label, e in evaluations.items()}),
    ):
        (best, least), (_, most) = sorted(values.items(), key=lambda item: item[1])
        lines.append(f"{best} has the lower {measure}, by {percent(1 - least / most, 0)}.")
    sounds = next(iter(evaluations.values())).n_sounds
    lines.append(f"One run each on {sounds} held-out sounds: another seed may decide otherwise.")
    return "\n".join(lines)


def _places(out: Path) -> str:
    places = {
        "cache": out / "chirp.h5",
        "networks": f"{out / 'pnp'}, {out / 'p'}",
        "figures": f"{out / 'metric.png'}, {out / 'training.png'}",
        "next": f"pnp inspect {out / 'chirp.h5'} --html {out / 'chirp.html'}, a page with sounds",
    }
    return "\n" + "\n".join(f"{name + ':':<9} {place}" for name, place in places.items())
