"""Ceilings of the machine: matrix products, Fourier transforms, pointwise operations, memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from pnp.bench.results import Ceilings

# Shorter times are no measure: some clocks of a process move in steps.
_MEASURABLE = 1e-4


def measure_ceilings(device: str = "cpu", seconds: float = 1.0, size: int = 2048) -> Ceilings:
    """Return the rates of plain PyTorch in float32, with as many threads as it has been given.

    Args:
        device: "cpu" or "cuda".
        seconds: Time to spend on each.
        size: Side of the matrices; all else scales with it.

    Returns:
        Operations and bytes per second, best of many.
    """
    a, b, c = torch.randn(3, size, size, device=device)
    gemm = 2.0 * size**3 / _best(lambda: torch.mm(a, b, out=c), seconds, device)

    n, rows = 4 * size, 32
    z = torch.randn(rows, n, dtype=torch.complex64, device=device)
    fft = rows * 5.0 * n * math.log2(n) / _best(lambda: torch.fft.fft(z), seconds, device)

    # The square root takes the place of the modulus. The operand stays in the cache, as sub-bands do.
    v = torch.rand(64 * size, device=device)
    pointwise = v.numel() / _best(lambda: torch.sqrt(v, out=v), seconds, device)

    source = torch.zeros(16 * size * size, device=device)
    target = torch.empty_like(source)
    copied = 2.0 * source.nbytes / _best(lambda: target.copy_(source), seconds, device)
    return Ceilings(gemm, fft, pointwise, copied)


def _best(run: Callable[[], object], seconds: float, device: str) -> float:
    # One thread alone is timed by the processor's clock, as `measure_configuration` does.
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    best, count, until = math.inf, 1, clock() + seconds
    while clock() < until or best == math.inf:
        started = clock()
        for _ in range(count):
            run()
        if device == "cuda":
            torch.cuda.synchronize()
        took = clock() - started
        if took < _MEASURABLE:
            count *= 2
        else:
            best = min(best, took / count)
    return best
