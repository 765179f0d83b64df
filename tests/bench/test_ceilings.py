"""Measured ceilings of the machine."""

import time

import pytest

from pnp.bench.ceilings import measure_ceilings


def test_ceilings_are_positive() -> None:
    ceilings = measure_ceilings(seconds=0.01, size=16)
    assert min(ceilings.to_dict().values()) > 0


def test_a_clock_that_moves_in_steps_is_no_division_by_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = time.perf_counter
    for name in ("process_time", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: round(fine() / 0.004) * 0.004)
    stepped = measure_ceilings(seconds=0.02, size=16)
    monkeypatch.undo()
    assert all(0 < value < float("inf") for value in stepped.to_dict().values())
