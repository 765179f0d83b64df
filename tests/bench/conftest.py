"""Fixtures of the tests of the benchmark."""

import pytest
from tiny_benchmark import SWEEP, TINY, stand_in

from pnp.bench import run_benchmark


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as monkeypatch:
        peer = stand_in(folder, monkeypatch)
        return run_benchmark(
            [TINY],
            rounds=2,
            peer=peer,
            sections=("table", "cost"),
            json_file=folder / "deep" / "results.json",
            sweeps=[SWEEP],
            ceiling_size=32,
            ceiling_seconds=0.01,
        ) | {"file": str(folder / "deep" / "results.json")}
