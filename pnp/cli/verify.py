"""`pnp verify`: every byte and every invariant of caches."""

from __future__ import annotations

import argparse

from pnp.cli.arguments import add_seed, count
from pnp.cli.outcome import EXIT_FAILURES, EXIT_OK, say

SUMMARY = "check every byte and every invariant of a cache"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("caches", nargs="+", metavar="CACHE", help="caches to check")
    parser.add_argument(
        "--recompute",
        type=count,
        default=0,
        metavar="N",
        help="also derive this many sounds anew and compare",
    )
    add_seed(parser, "which ones")


def run(options: argparse.Namespace) -> int:
    """Check caches."""
    from pnp.offline.verify import verify

    reports = [verify(path, recompute=options.recompute, seed=options.seed) for path in options.caches]
    for report in reports:
        say(str(report))
    return EXIT_OK if all(report.ok for report in reports) else EXIT_FAILURES
