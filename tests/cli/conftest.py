"""Fixtures of the tests of the command line."""

from pathlib import Path

import pytest
from commands import pnp_precompute

from pnp.cli.outcome import EXIT_OK


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "chirp.h5"
    assert pnp_precompute(path) == EXIT_OK
    return path
