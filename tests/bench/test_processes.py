"""Measurements in processes of their own."""

import pytest
from tiny_benchmark import TINY

from pnp.bench.processes import gradient_memory, throughput


@pytest.mark.slow
def test_workers_of_their_own() -> None:
    rate = throughput(TINY, sounds=2, workers=2, batch=2)
    assert rate.sounds_per_second > 0
    memory = gradient_memory(TINY, sounds=2, threads=1)
    assert memory.peak_bytes >= memory.before_bytes > 0
