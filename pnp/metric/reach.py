"""Reach: the size of parameter error that a loss should describe."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import torch

from pnp._arguments import finite_number, shown

if TYPE_CHECKING:
    from pnp._protocols import CacheLike


class DefaultReach(float):
    """Reach that nobody has asked for: a ceiling takes its place, where one that was asked for contradicts it."""


# The one that serves training best on average over eight synthesizers (docs/evidence/panel.md).
DEFAULT_REACH = DefaultReach(3.0)

# Pairs of sounds from which a distance is estimated where only metrics are kept.
_MOST_PAIRS = 4096


def ceiling_of_reach(cache: CacheLike, reach: float) -> float:
    """Ceiling κ = d²/r² of the eigenvalues of metrics that are to stand for errors of size r.

    d is the root mean square distance between the features of two sounds of the training fold: no direction then
    counts as if an error of r along it changed the sound by more than d.

    Args:
        cache: Open cache.
        reach: Reach r, in units of the cube.

    Returns:
        κ, for `RiemannianMetric.saturated`.

    Raises:
        TypeError: If the reach is no number.
        ValueError: If it is not finite and positive.
        ValueError: If there are fewer than two training sounds, or their features are all the same.
    """
    reach = finite_number("reach", reach, above=0)
    squared_distance = cache.mean_squared_distance
    if squared_distance is None:
        squared_distance = _estimated_from_metrics(cache)
    if not squared_distance > 0:
        raise ValueError(
            f"All training sounds of {cache.path} have the same features, so that no reach can be set. Likely cause: "
            "features that hear no parameter. Inspect the cache, or use reach=None."
        )
    ceiling = squared_distance / max(reach * reach, math.ulp(0.0))
    if not ceiling < math.inf:
        raise ValueError(
            f"The reach r is too small for float64: the ceiling d²/r² overflows; got {reach}. Distances between sounds "
            "matter from about 0.001 of the cube's side."
        )
    if not ceiling > 0:
        raise ValueError(
            f"The reach r is too large for float64: the ceiling d²/r² vanishes; got {reach}. No error is larger than "
            "the diagonal of the cube."
        )
    return ceiling


def chosen_ceiling(cache: CacheLike, reach: float | None, ceiling: float | None) -> float | None:
    """Return the ceiling that a user asks for, by itself or by a reach.

    Args:
        cache: Open cache.
        reach: Reach r; None for none. The default gives way to a ceiling.
        ceiling: Ceiling κ; None for that of the reach.

    Returns:
        κ, or None for metrics as they are.

    Raises:
        TypeError: If one is no number.
        ValueError: If one is not finite and positive, or both are asked for.
    """
    if ceiling is None:
        return None if reach is None else ceiling_of_reach(cache, reach)
    ceiling = finite_number("ceiling", ceiling, above=0)
    if not (reach is None or isinstance(reach, DefaultReach)):
        raise ValueError(
            f"a reach sets the ceiling itself: give reach={shown(reach)} or ceiling={shown(ceiling)}, not both"
        )
    return ceiling


def _estimated_from_metrics(cache: CacheLike) -> float:
    """Mean squared distance as the metrics predict it: of two predictions for a pair of sounds, the smaller one."""
    rows = cache.rows("train")
    if len(rows) < 2:
        raise ValueError(
            f"A reach needs two training sounds, to compare errors with the distance between sounds; {cache.path} has "
            f"{len(rows)}. Use reach=None, or a cache with more sounds."
        )
    warnings.warn(
        f"{cache.path} keeps neither features nor the distance between its sounds. The reach is set by the distance "
        "that its metrics predict, which is too long where slopes are steep. Precompute it again for the true one.",
        UserWarning,
        stacklevel=4,
    )
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(len(rows), (_MOST_PAIRS,), generator=generator)
    second = (first + torch.randint(1, len(rows), (_MOST_PAIRS,), generator=generator)) % len(rows)
    u, metrics = cache.u[rows], cache.metrics()[rows]
    du = u[first] - u[second]
    predicted = torch.minimum(metrics[first].distance_squared(du), metrics[second].distance_squared(du))
    return float(predicted.median())
