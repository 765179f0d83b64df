"""Measured ceilings of the machine."""

from pnp.bench.ceilings import measure_ceilings


def test_ceilings_are_positive() -> None:
    ceilings = measure_ceilings(seconds=0.01, size=16)
    assert min(ceilings.to_dict().values()) > 0
