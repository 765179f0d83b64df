"""Cost of S and J against the length of the sound, the number of parameters, and wavelets per octave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from pnp.bench.operations import count
from pnp.bench.results import Ceilings, Spread, SweepCost
from pnp.bench.timing import timed
from pnp.features.scattering import TimeFrequencyScattering

_BASE = {"N": 2**15, "P": 3, "Q": 8}


@dataclass(frozen=True)
class Sweep:
    """One of N, P and Q varied, the others held.

    Attributes:
        name: "N", "P" or "Q".
        values: Its values.
        base: Values of all three where they are held.
        settings: Options of the transform but `shape` and `Q`.
    """

    name: str
    values: tuple[int, ...]
    base: Mapping[str, int] = field(default_factory=lambda: dict(_BASE))
    settings: Mapping[str, Any] = field(
        default_factory=lambda: {"J": 10, "J_fr": 4, "T": "global", "F": "global"}
    )


SWEEPS = (
    Sweep("N", tuple(2**k for k in range(13, 18))),
    Sweep("P", (1, 2, 4, 8, 16)),
    Sweep("Q", (4, 8, 12, 16, 24)),
)


def measure_sweep(sweep: Sweep, rounds: int, ceilings: Ceilings) -> SweepCost:
    """Measure times of S and J on noise, and what the operations would take at the ceilings of the machine.

    Args:
        sweep: Quantity that varies, and its values.
        rounds: Timings of each, one after the other in turn.
        ceilings: Rates of the machine.

    Returns:
        Times at each value.
    """
    points = [{**sweep.base, sweep.name: value} for value in sweep.values]
    cases = []
    for point in points:
        jtfs = TimeFrequencyScattering(shape=point["N"], Q=(point["Q"], 1), **sweep.settings)
        generator = torch.Generator().manual_seed(0)
        both = torch.randn(1, 1 + point["P"], point["N"], generator=generator)
        cases.append((jtfs, both[:, 0], both[:, 1:]))
        jtfs.value_and_tangents(both[:, 0], both[:, 1:])
    times: list[list[float]] = [[] for _ in cases]
    for _ in range(rounds):
        for case, collected in zip(cases, times, strict=True):
            jtfs, x, dx = case
            collected.append(timed(partial(jtfs.value_and_tangents, x, dx), repeats=3)[0])
    return SweepCost(
        name=sweep.name,
        values=sweep.values,
        base=sweep.base,
        settings=sweep.settings,
        seconds=tuple(Spread.of(collected) for collected in times),
        ceiling_seconds=tuple(count(jtfs.plan, dx.shape[1]).seconds(ceilings) for jtfs, _, dx in cases),
    )
