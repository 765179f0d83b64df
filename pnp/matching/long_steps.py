"""Descent by differences over long steps, which leaves valleys that derivatives cannot leave.

Features of resonant sounds have structure at 1e-3 of the cube and below: partials interfere, and a derivative sees
nothing else. A difference over a step h is the derivative averaged over [−h, h]. Where h is long, it tells how to
come to the next larger valley.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from pnp._progress import Bar
from pnp.matching.multistart import Refinement, norm

__all__ = ["approach"]

# Steps in units of the cube, one stage after another, and iterations of each stage.
_STEPS, _ITERATIONS = (0.15, 0.05, 0.015), 3
# Damping relative to the mean and to each of the curvatures: at first, after a good step, and after a bad one.
_DAMPING, _LOWER, _HIGHER, _TRIALS = 1e-2, 0.25, 8.0, 3
_ISOTROPIC = 0.1
# Least squares leave a point at a face this far inside.
_AT_FACE = 1e-6


def approach(
    residual: Callable[[np.ndarray], np.ndarray],
    starts: Float[np.ndarray, "n P"],
    *,
    free: Sequence[int],
    progress: bool = False,
) -> list[Refinement]:
    """Minimize ‖r(u)‖ from several starts by differences over steps that become shorter.

    Each iteration is one of Levenberg and Marquardt's. Steps beyond the cube are cut at its faces. Nothing is asked but
    residuals.

    Args:
        residual: From a point, shape (P,), to the residual r, shape (C,).
        starts: Points in the cube.
        free: Columns that are continuous; others stay as they are.
        progress: Show a progress bar.

    Returns:
        One refinement a start: the best point that was reached.

    Source:
        Levenberg, "A method for the solution of certain non-linear problems in least squares", Quarterly of Applied
        Mathematics 2 (1944).

    Examples:
        >>> wavy = lambda u: u - 0.5 + 0.02 * np.sin(200 * u)
        >>> (found,) = approach(wavy, np.array([[-0.8]]), free=[0])
        >>> bool(abs(found.u[0] - 0.5) < 0.05)
        True
    """
    bar = Bar(starts, desc="approaching", unit="start", disable=not progress, leave=False)
    return [_approached(residual, np.asarray(start, np.float64), list(free)) for start in bar]


def _approached(residual: Callable[[np.ndarray], np.ndarray], u: np.ndarray, free: list[int]) -> Refinement:
    r = residual(u)
    first, evaluations = norm(r), 1
    distance, distances = first, [first]
    for step in _STEPS:
        damping = _DAMPING
        for _ in range(_ITERATIONS):
            J = _differences(residual, u, free, step)
            evaluations += 2 * len(free)
            if not (math.isfinite(distance) and np.isfinite(J).all()):
                return Refinement(
                    u, distance, tuple(distances), evaluations, "came to a point without a sound"
                )
            for _ in range(_TRIALS):
                tried = u.copy()
                tried[free] = np.clip(u[free] - _step(J, r, damping, u[free]), -1.0, 1.0)
                there = residual(tried)
                evaluations += 1
                if norm(there) < distance:
                    u, r, distance = tried, there, norm(there)
                    damping *= _LOWER
                    break
                damping *= _HIGHER
            else:
                break
        distances.append(distance)
    return Refinement(u, distance, tuple(distances), evaluations, "stopped at its share of evaluations")


def _differences(
    residual: Callable[[np.ndarray], np.ndarray], u: np.ndarray, free: list[int], step: float
) -> Float[np.ndarray, "C F"]:
    """Return differences of the residual over a step to either side, cut at the faces of the cube."""
    columns = []
    for column in free:
        low, high = u.copy(), u.copy()
        low[column], high[column] = max(u[column] - step, -1.0), min(u[column] + step, 1.0)
        columns.append((residual(high) - residual(low)) / (high[column] - low[column]))
    return np.stack(columns, axis=1)


def _step(J: np.ndarray, r: np.ndarray, damping: float, u: np.ndarray) -> np.ndarray:
    """Return the damped step of least squares, to be subtracted; columns that would leave the cube at a face stay."""
    M, slope = J.T @ J, J.T @ r
    curvatures = np.diag(M)
    damped = M + damping * np.diag(curvatures + _ISOTROPIC * curvatures.mean() + np.finfo(np.float64).tiny)
    step, moving = np.zeros(len(u)), np.ones(len(u), bool)
    while moving.any():
        step[:] = 0.0
        step[moving] = np.linalg.solve(damped[np.ix_(moving, moving)], slope[moving])
        outwards = moving & (np.abs(u) >= 1.0 - _AT_FACE) & (step * u < 0)
        if not outwards.any():
            break
        moving &= ~outwards
    return step
