"""Reach: for how large an error of the parameters a metric is to stand for the distance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pnp._protocols import CacheLike

# Sounds whose features are compared for the distance between any two: a mean is known well enough from so many, and
# the features of all may not fit into memory.
_MOST_COMPARED = 1024


def ceiling_of_reach(cache: CacheLike, reach: float) -> float:
    """Ceiling κ = d²/r² of the eigenvalues of metrics that are to stand for errors of size r.

    d is the root mean square distance between the features of two sounds of the training fold: no direction then
    counts as if an error of r along it changed the sound by more than d.

    Args:
        cache: Open cache that keeps features.
        reach: Reach r, in units of the cube.

    Returns:
        κ, for `RiemannianMetric.saturated`.

    Raises:
        ValueError: If the reach is not finite and positive.
        CacheError: If the cache keeps no features.
    """
    if not 0 < reach < math.inf:
        raise ValueError(f"The reach r must be finite and positive; got {reach}.")
    rows = cache.rows("train")
    features = cache.features(rows[:: max(1, len(rows) // _MOST_COMPARED)]).double()
    ceiling = 2 * float(features.var(0).sum()) / max(reach * reach, math.ulp(0.0))
    if not ceiling < math.inf:
        raise ValueError(
            f"The reach r is too small for float64: the ceiling d²/r² overflows; got {reach}. Distances between sounds "
            "matter from about 0.001 of the cube's side."
        )
    return ceiling
