"""Agreement of repeated runs, and of derivatives with finite differences."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

__all__ = ["REPEATABLE", "contradiction_of_differences", "relative"]

# Relative difference of two runs, or of one row alone and in a batch, that rounding may cause, in units of the dtype's
# spacing: sums over a few thousand terms in another order.
REPEATABLE = 1e4

# A finite difference is trusted when it agrees with itself at half the step, and then it may contradict a derivative.
# The gap between the two thresholds keeps inexact differences from accusing correct derivatives.
_TRUSTED = 0.01
_CONTRADICTED = 0.05

# From this agreement on, no other step is tried.
_SETTLED = 1e-3


def relative(difference: Tensor, reference: Tensor) -> float:
    """Return the norm of a difference, relative to that of a reference unless this is 0."""
    norm = float(reference.double().norm())
    return float(difference.double().norm()) / norm if norm > 0 else float(difference.double().norm())


def contradiction_of_differences(derivative: Tensor, pairs: Iterable[tuple[Tensor, Tensor]]) -> float | None:
    """Return the relative error of a derivative that finite differences contradict.

    Args:
        derivative: Derivative along one direction.
        pairs: Finite differences along it at several steps, each with that at half the step; asked for one by one, as
            long as none agrees well.

    Returns:
        Relative distance from the difference that depends least on its step; None where that is small, or no
        difference can be trusted.
    """
    doubt, best = math.inf, derivative
    for whole, half in pairs:
        change = relative(whole - half, half)
        if change < doubt:
            doubt, best = change, half
        if doubt < _SETTLED and bool(best.any()):
            break
    gap = relative(derivative - best, best)
    return gap if doubt < _TRUSTED and gap > _CONTRADICTED else None
