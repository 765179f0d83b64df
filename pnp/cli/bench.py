"""`pnp bench`: speed and accuracy of the scattering transform."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from pnp.cli.arguments import output_file, positive
from pnp.cli.outcome import EXIT_OK, say

SUMMARY = "measure speed and accuracy of the scattering transform, beside Kymatio's"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--configuration",
        action="append",
        choices=("A", "B", "C", "D", "E"),
        help="A: drum; B: chirp; C: chirp, local averages; D: voice of 32 parameters; E: the same as a black box; may "
        "be given several times (all if not given)",
    )
    parser.add_argument(
        "--section",
        action="append",
        choices=("table", "precision", "jacobian", "throughput", "memory", "cost"),
        help="part to measure; may be given several times (all if not given)",
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        default=5,
        metavar="N",
        help="number of times that each measurement is repeated",
    )
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="PyTorch threads (its own choice if not given)"
    )
    parser.add_argument(
        "--peer",
        metavar="PYTHON",
        default=os.environ.get("PNP_PEER_PYTHON"),
        help="interpreter of an environment with Kymatio's development version, made by: python -m venv DIR && "
        'DIR/bin/pip install torch scrapl-loss "scipy<1.17" (the variable PNP_PEER_PYTHON, if not given)',
    )
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="also write all numbers to this file"
    )
    parser.add_argument(
        "--results",
        action="append",
        metavar="FILE",
        help="measure nothing, and report what --json wrote; several times to join runs",
    )


def run(options: argparse.Namespace) -> int:
    """Measure, or report what was measured."""
    import torch

    from pnp.bench import STANDARD, as_markdown, load_results, run_benchmark
    from pnp.bench.run import SECTIONS

    if options.results:
        results = load_results([Path(file) for file in options.results])
    else:
        if options.threads:
            torch.set_num_threads(options.threads)
        results = run_benchmark(
            [STANDARD[name] for name in options.configuration or STANDARD],
            rounds=options.rounds,
            peer=options.peer,
            sections=options.section or SECTIONS,
            json_file=Path(options.json) if options.json else None,
            command=shlex.join(_command(options)),
        )
    say(as_markdown(results))
    return EXIT_OK


def _command(options: argparse.Namespace) -> list[str]:
    """Return the command that measures the same elsewhere: the interpreter of the peer is another one there."""
    command = ["pnp", "bench"]
    for name in ("configuration", "section"):
        for value in getattr(options, name) or []:
            command += [f"--{name}", value]
    command += ["--rounds", str(options.rounds)]
    if options.threads:
        command += ["--threads", str(options.threads)]
    if options.peer:
        command += ["--peer", "DIR/bin/python"]
    if options.json:
        command += ["--json", options.json]
    return command
