"""Search on coarse spectrograms first, and on the features from where that ends."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from pnp.matching.multistart import Refinement, norm
from pnp.matching.problem import Problem
from pnp.matching.searches import refined, searched_again

__all__ = ["coarse_to_fine"]

# Ends of the coarse search that are refined on the features.
_REFINED = 3


def coarse_to_fine(
    problem: Problem,
    points: np.ndarray,
    max_evaluations: int,
    progress: bool,
    *,
    long_steps: bool = True,
) -> list[Refinement]:
    """Minimize the distance of a problem from some points, with the help of coarse spectrograms.

    Descents on coarse spectrograms begin at all points, and from the nearest also by long steps. Where the features are
    nearer at the end than at the beginning, the end takes the place of the beginning. From the nearest three of these
    the features are descended.

    Args:
        problem: Least squares on the features.
        points: Starts, shape (n, D).
        max_evaluations: Most sounds to synthesize from one start, in each of the searches.
        progress: Show a progress bar.
        long_steps: Begin from the nearest by long steps, too.

    Returns:
        One refinement a start, with distances of the features.

    Raises:
        SynthesisError: If the synthesizer fails at every start.
    """
    coarse = problem.in_bands()
    ends = refined(coarse, points, max_evaluations, progress)
    if long_steps:
        ends, _ = searched_again(coarse, points, ends, max_evaluations, progress)
    ends = [_heard(problem, point, end) for point, end in zip(points, ends, strict=True)]
    order = sorted(range(len(ends)), key=lambda i: ends[i].distance)
    chosen = [i for i in order[:_REFINED] if math.isfinite(ends[i].distance)]
    found = refined(problem, np.stack([ends[i].u for i in chosen]), max_evaluations, progress)
    for i, end in zip(chosen, found, strict=True):
        total = ends[i].evaluations + end.evaluations
        ends[i] = replace(end, distances=(*ends[i].distances, *end.distances[1:]), evaluations=total)
    return ends


def _heard(problem: Problem, start: np.ndarray, end: Refinement) -> Refinement:
    """Return the end of a coarse search by the features, or the start where that is nearer."""
    before, after = (norm(problem.residual(u)) for u in (start, end.u))
    u, distance = (end.u, after) if after < before else (np.asarray(start, np.float64), before)
    reason = "given up for better ones" if math.isfinite(before) else end.reason
    return replace(end, u=u, distance=distance, distances=(before, distance), reason=reason)
