"""Searches of one problem: from the starts, again by long steps, and with an equalizer behind the synthesizer."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from pnp.errors import SynthesisError
from pnp.matching.long_steps import approach
from pnp.matching.multistart import Refinement, norm, refine
from pnp.matching.problem import Problem

__all__ = ["aligned", "equalized", "refined", "searched_again"]

# Below this part of the target's norm, distances are rounding of float32.
_NEGLIGIBLE = 1e-5
# Nearest starts that are tried by long steps.
_APPROACHED = 3
# Ends that are refined with an equalizer, evaluations of each, and the cost of 12 dB as a part of the target's norm.
_EQUALIZED, _EQUALIZING, _COST = 2, 25, 0.03


def refined(problem: Problem, points: np.ndarray, max_evaluations: int, progress: bool) -> list[Refinement]:
    """Minimize the distance of a problem from some points; a failure at every point tells the first cause."""
    try:
        return refine(
            problem.residual,
            problem.slopes,
            points,
            free=problem.free,
            moves=problem.moves,
            max_evaluations=max_evaluations,
            negligible=_NEGLIGIBLE * problem.target_norm,
            progress=progress,
        )
    except SynthesisError as error:
        if problem.failure is None:
            raise
        cause = f"{type(problem.failure).__name__}: {problem.failure}"
        raise SynthesisError(f"{error}; the first failure was {cause}") from problem.failure


def searched_again(
    problem: Problem, points: np.ndarray, ends: list[Refinement], max_evaluations: int, progress: bool
) -> tuple[list[Refinement], int]:
    """Search from the nearest starts by long steps, then as before; return all ends and the number of evaluations."""
    chosen = [i for i in range(min(len(points), len(ends))) if math.isfinite(ends[i].distances[0])][
        :_APPROACHED
    ]
    near = approach(problem.residual, points[chosen], free=problem.free, progress=progress)
    found = refined(problem, np.stack([end.u for end in near]), max_evaluations, progress)
    tried = sum(end.evaluations for end in [*near, *found])
    ends = list(ends)
    for i, before, after in zip(chosen, near, found, strict=True):
        ends[i] = _continued(ends[i], after, before.evaluations)
    return ends, tried


def aligned(problem: Problem, points: np.ndarray, ends: list[Refinement]) -> tuple[Problem, list[Refinement]]:
    """Lay a recording upon the best end, if coarse spectrograms come nearer by that; distances are measured again.

    Under noise a distance hardly tells how a recording lies, and features that are averages hardly depend on it. The
    likelihood also hears coarse spectrograms, which do.
    """
    best = min(ends, key=lambda end: end.distance)
    moved = problem.realigned(best.u)
    if moved is None:
        return problem, ends
    before, after = (
        norm(coarse.residual(best.u)) / coarse.target_norm
        for coarse in (problem.in_bands(), moved.in_bands())
    )
    if after >= before:
        return problem, ends
    return moved, [_measured_again(moved, problem, start, end) for start, end in zip_longest(points, ends)]


def equalized(
    problem: Problem, ends: list[Refinement], max_evaluations: int, progress: bool
) -> tuple[Problem, list[Refinement], int]:
    """Refine the best ends with the gains of an equalizer as further unknowns, which cost something.

    Returns the problem, all ends as its points, and the number of evaluations.
    """
    problem = problem.equalized()
    weight = _COST * problem.target_norm
    columns = np.arange(problem.bands.start, problem.bands.stop)
    places = [problem.free.index(int(column)) for column in columns]

    def residual(u: np.ndarray) -> np.ndarray:
        return np.concatenate([problem.residual(u), weight * u[columns]])

    def slopes(u: np.ndarray) -> np.ndarray:
        cost = np.zeros((len(columns), len(problem.free)))
        cost[np.arange(len(columns)), places] = weight
        return np.concatenate([problem.slopes(u), cost])

    ends = [replace(end, u=problem.flat(end.u)) for end in ends]
    chosen = sorted(range(len(ends)), key=lambda i: ends[i].distance)[:_EQUALIZED]
    chosen = [i for i in chosen if math.isfinite(ends[i].distance)]
    found = refine(
        residual,
        slopes,
        np.stack([ends[i].u for i in chosen]),
        free=problem.free,
        moves=problem.moves,
        max_evaluations=min(max_evaluations, _EQUALIZING),
        progress=progress,
    )
    for i, end in zip(chosen, found, strict=True):
        heard = replace(end, distance=float(np.linalg.norm(problem.residual(end.u))))
        ends[i] = _continued(ends[i], heard)
    return problem, ends, sum(end.evaluations for end in found)


def _measured_again(
    problem: Problem, former: Problem, start: np.ndarray | None, end: Refinement
) -> Refinement:
    """Return an end with its distances in another problem; a start that is not known keeps its relative distance."""
    first = end.distances[0] * problem.target_norm / former.target_norm
    before = first if start is None else norm(problem.residual(start))
    distance = norm(problem.residual(end.u))
    return replace(end, distance=distance, distances=(before, distance))


def _continued(end: Refinement, after: Refinement, evaluations: int = 0) -> Refinement:
    """Return an end with another search after it, whose result counts where it is better."""
    total = end.evaluations + evaluations + after.evaluations
    if after.distance >= end.distance:
        return replace(end, evaluations=total)
    return replace(after, distances=(*end.distances, after.distance), evaluations=total)
