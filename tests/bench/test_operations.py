"""Counts of operations."""

import pytest
import torch
from tiny_benchmark import BOX, SETTINGS, TINY

from pnp.bench import Configuration
from pnp.bench.operations import count


def test_operations_grow_with_signals_and_length() -> None:
    plan = TINY.transform().plan
    one, four = count(plan), count(plan, n_tangents=3)
    for kind, value in four.to_dict().items():
        assert value == pytest.approx(4 * one.to_dict()[kind])
    # T="global" pads both to a length in proportion, all of which is computed where it is no silence.
    reflected = SETTINGS | {"pad_mode": "reflect"}
    short, longer = (
        Configuration("any", "chirp", reflected, {"n_samples": n}).transform().plan for n in (1024, 4096)
    )
    assert count(longer).gemm / count(short).gemm == pytest.approx(longer.n_padded / short.n_padded)


@pytest.mark.parametrize("configuration", [TINY, BOX], ids=["2¹⁰ samples", "1000 samples"])
def test_operations_of_matrix_products_are_those_executed(configuration, monkeypatch) -> None:
    counted = 0
    mm = torch.mm

    def counting(a, b, **options):
        nonlocal counted
        counted += 2 * a.shape[0] * a.shape[1] * b.shape[1]
        return mm(a, b, **options)

    jtfs = configuration.transform()
    monkeypatch.setattr(torch, "mm", counting)
    x, _ = configuration.noise(0)
    jtfs(x.float())
    # Beside the second-order paths there is the first-order one, at the slowest rate.
    assert counted == pytest.approx(count(jtfs.plan).gemm, rel=0.2)
