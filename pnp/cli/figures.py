"""`pnp figures`: loss landscapes of chirps and ripples."""

from __future__ import annotations

import argparse
from pathlib import Path

from pnp.cli.arguments import add_jobs, add_out, add_seed, positive
from pnp.cli.outcome import EXIT_OK, rerun, say

SUMMARY = (
    "draw loss landscapes of chirps and ripples, delayed or not: multiscale spectrograms beside scattering"
)

how_to_continue = rerun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_out(parser, "pnp-figures")
    parser.add_argument(
        "--only",
        action="append",
        choices=("scalograms", "chirp", "ripple"),
        help="part to make; may be given several times (all if not given)",
    )
    parser.add_argument("--grid", type=positive, default=20, metavar="N", help="points along each parameter")
    parser.add_argument(
        "--samples", type=positive, default=32768, metavar="N", help="length of the sounds, at 8192 Hz"
    )
    parser.add_argument(
        "--steps", type=positive, default=40, metavar="N", help="evaluations in a gradient descent"
    )
    add_seed(parser, "seed of the random shifts")
    add_jobs(parser)


def run(options: argparse.Namespace) -> int:
    """Compute and draw loss landscapes."""
    from pnp.landscapes.study import PARTS, run_figures

    for paragraph in run_figures(
        Path(options.out),
        only=options.only or PARTS,
        n=options.grid,
        n_samples=options.samples,
        steps=options.steps,
        seed=options.seed,
        jobs=options.jobs,
        progress=not options.quiet,
    ):
        say(paragraph)
    return EXIT_OK
