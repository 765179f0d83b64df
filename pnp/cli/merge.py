"""`pnp merge`: shards of one design into one cache."""

from __future__ import annotations

import argparse

from pnp.cli.arguments import output_file
from pnp.cli.outcome import EXIT_OK, say

SUMMARY = "join the parts (shards) of a cache into one that refers to them, or copies them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "shards", nargs="+", metavar="SHARD", help="caches made by `pnp precompute --shard`, in any order"
    )
    parser.add_argument("--out", type=output_file, required=True, metavar="FILE", help="cache to make")
    parser.add_argument(
        "--copy", action="store_true", help="copy all rows, so that the shards can be deleted afterwards"
    )


def run(options: argparse.Namespace) -> int:
    """Merge shards."""
    from pnp.store import merge

    header = merge(options.shards, options.out, copy=options.copy)
    say(f"{options.out}: {header.n_rows} sounds from {len(options.shards)} shards")
    return EXIT_OK
