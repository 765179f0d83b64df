"""Runs of the command line."""

import pytest

from pnp.cli.main import EXIT_USAGE, main


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
