"""`pnp evaluate`: held-out errors of a trained encoder."""

from __future__ import annotations

import argparse

from pnp.cli.arguments import add_json
from pnp.cli.outcome import EXIT_OK, as_json, say
from pnp.cli.own import add_features, add_synthesizer, features_for, network_for, synthesizer_for

SUMMARY = "measure how well a trained network matches sounds that it has not heard"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "run",
        metavar="RUN",
        help="directory that `pnp train` wrote, or a checkpoint in it; or a network of your own, path/to/file.py:NAME",
    )
    parser.add_argument("cache", metavar="CACHE", help="cache that it was trained on")
    parser.add_argument(
        "--fold", default="test", choices=("train", "validation", "test"), help="sounds to predict"
    )
    parser.add_argument(
        "--no-distance", action="store_true", help="measure parameter errors only, without synthesis"
    )
    add_synthesizer(parser)
    add_features(parser)
    add_json(parser)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")


def run(options: argparse.Namespace) -> int:
    """Evaluate an encoder."""
    from pnp.report.results import evaluations_as_text
    from pnp.store import MetricCache
    from pnp.training.evaluate import evaluate

    network = network_for(options.run)
    with MetricCache(options.cache) as cache:
        synth = synthesizer_for(cache, options)
        evaluation = evaluate(
            network,
            cache,
            synth,
            features=None if options.no_distance else features_for(cache, synth, options),
            fold=options.fold,
            device=options.device,
            progress=not options.quiet,
        )
    say(as_json(evaluation.to_dict()) if options.json else evaluations_as_text({options.run: evaluation}))
    return EXIT_OK
