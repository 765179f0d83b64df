"""Times of calls, and differences of their results."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def timed(
    run: Callable[[], Result],
    device: str = "cpu",
    repeats: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, Result]:
    """Return the median time of a few calls in a row, in seconds, and the result of the last one."""
    times = []
    for _ in range(max(repeats, 1)):
        started = clock()
        result = run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - started)
    return statistics.median(times), result


def relative_error(value: Tensor, reference: Tensor) -> float:
    """Return the norm of the difference over the norm of the reference.

    Raises:
        ValueError: If the shapes differ.
    """
    if value.shape != reference.shape:
        raise ValueError(f"results differ in shape: {tuple(value.shape)} and {tuple(reference.shape)}")
    value, reference = value.detach().cpu().double(), reference.detach().cpu().double()
    return float((value - reference).norm() / reference.norm())
