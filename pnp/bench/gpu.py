"""Ours on a GPU.

Not `cuda`: the folder of the peer's program is on its path, and PyTorch imports a package of that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pnp.bench.ceilings import measure_ceilings
from pnp.bench.configurations import Configuration
from pnp.bench.environment import environment
from pnp.bench.operations import count
from pnp.bench.results import CudaResults, CudaTable, Spread
from pnp.bench.table import REPEATS
from pnp.bench.timing import relative_error, timed


def measure_cuda(configurations: Sequence[Configuration], rounds: int, ceiling_size: int) -> CudaResults:
    """Measure times, Jacobians per second, part of the ceiling, and difference from the CPU.

    Args:
        configurations: Transforms to measure.
        rounds: Times that each is run in turn.
        ceiling_size: Side of the matrices that the ceilings of the GPU are measured with.

    Returns:
        The measurements.
    """
    ceilings = measure_ceilings("cuda", size=ceiling_size)
    tables: dict[str, CudaTable] = {}
    for configuration in configurations:
        jtfs = configuration.transform()
        x, dx = (signal.float() for signal in configuration.sounds())
        S, J = jtfs.value_and_tangents(x, dx)
        gx, gdx = x.cuda(), dx.cuda()
        times: dict[str, list[float]] = {"forward": [], "S and J": []}
        for _ in range(rounds + 1):
            times["forward"].append(timed(partial(jtfs, gx), "cuda", REPEATS)[0])
            seconds, (gS, gJ) = timed(partial(jtfs.value_and_tangents, gx, gdx), "cuda", REPEATS)
            times["S and J"].append(seconds)
        ideal = count(jtfs.plan, dx.shape[1]).seconds(ceilings)
        both = Spread.of(times["S and J"][1:])  # the first round warms up
        tables[configuration.name] = CudaTable(
            forward=Spread.of(times["forward"][1:]),
            S_and_J=both,
            jacobians_per_second=1 / both.median,
            part_of_ceiling=ideal / both.median,
            errors={"S": relative_error(gS, S), "J": relative_error(gJ, J)},
        )
    return CudaResults(environment=environment("cuda"), ceilings=ceilings, configurations=tables)
