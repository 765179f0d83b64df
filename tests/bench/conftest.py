"""Fixtures of the tests of the benchmark."""

from pathlib import Path

import pytest
from tiny_benchmark import SWEEP, TINY, stand_in

from pnp.bench import BenchmarkResults, run_benchmark


@pytest.fixture(scope="session")
def measured(tmp_path_factory) -> tuple[BenchmarkResults, Path]:
    """Results of a tiny benchmark, and the file that they were written to."""
    folder = tmp_path_factory.mktemp("bench")
    file = folder / "deep" / "results.json"
    with pytest.MonkeyPatch.context() as monkeypatch:
        peer = stand_in(folder, monkeypatch)
        results = run_benchmark(
            [TINY],
            rounds=2,
            peer=peer,
            sections=("table", "cost"),
            json_file=file,
            sweeps=[SWEEP],
            ceiling_size=32,
            ceiling_seconds=0.01,
        )
    return results, file


@pytest.fixture(scope="session")
def results(measured) -> BenchmarkResults:
    return measured[0]
