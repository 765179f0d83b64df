"""Runs of the command line."""

from pathlib import Path

import pytest

from pnp.cli.main import EXIT_USAGE, main

SMALL = ["--synth", "chirp", "--synth-option", "n_samples=2048", "--J", "7", "--jobs", "1", "--quiet"]


def pnp_precompute(out: Path, *more: str) -> int:
    """A cache of small chirps; more options count over those given before."""
    return main(["precompute", *SMALL, "--size", "24", "--block", "4", "--out", str(out), *more])


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Message of a call that is refused: one line on standard error."""
    try:
        code = main(argv)
    except SystemExit as stop:
        code = stop.code
    out, error = capsys.readouterr()
    assert code == EXIT_USAGE
    assert out == ""
    assert error.count("\n") == 1, error
    return error
