"""Results of a benchmark, as versions 0.1 and 0.2 wrote them."""

import json
from pathlib import Path

import pytest

from pnp.bench import BenchmarkResults
from pnp.bench.results import CudaTable, Spread

STORED = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize("name", ["A", "B", "C", "D", "cost", "jacobian", "kymatio"])
def test_stored_results_are_read_whole(name: str) -> None:
    data = json.loads((STORED / f"{name}.json").read_text())
    assert BenchmarkResults.from_dict(data).to_dict() == {"precision": {}, "jacobian": {}} | data


def test_results_on_a_gpu_keep_the_names_of_the_table() -> None:
    spread = Spread.of([2.0, 1.0, 4.0])
    table = CudaTable(spread, spread, 0.5, 0.25, {"S": 0.0, "J": 1e-6})
    assert table.to_dict()["S and J"] == {"median": 2.0, "low": 1.0, "high": 4.0, "rounds": 3}
    assert CudaTable.from_dict(table.to_dict()) == table
