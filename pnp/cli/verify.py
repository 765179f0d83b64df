"""`pnp verify`: every byte and every invariant of caches."""

from __future__ import annotations

import argparse

from pnp.cli.arguments import add_seed, count
from pnp.cli.outcome import EXIT_FAILURES, EXIT_OK, EXIT_USAGE, say, sentence_of, tell
from pnp.cli.own import add_features, add_synthesizer, named_for

SUMMARY = "check that a cache is undamaged: every checksum, and that its numbers agree with each other"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("caches", nargs="+", metavar="CACHE", help="caches to check")
    parser.add_argument(
        "--recompute",
        type=count,
        default=0,
        metavar="N",
        help="also compute N random sounds again and compare",
    )
    add_seed(parser, "seed that picks these sounds")
    add_synthesizer(parser)
    add_features(parser)


def run(options: argparse.Namespace) -> int:
    """Check caches, each whatever the others are."""
    codes = [_check(path, options) for path in options.caches]
    return max(codes, key=(EXIT_OK, EXIT_FAILURES, EXIT_USAGE).index)


def _check(path: str, options: argparse.Namespace) -> int:
    from pnp.offline.verify import verify
    from pnp.store import MetricCache

    try:
        synth = features = None
        if options.recompute:
            with MetricCache(path) as cache:
                synth, features = named_for(cache, options)
        report = verify(path, recompute=options.recompute, seed=options.seed, synth=synth, features=features)
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None or options.traceback:
            raise
        tell(f"pnp verify: error: {sentence}")
        return EXIT_USAGE
    say(str(report))
    return EXIT_OK if report.ok else EXIT_FAILURES
