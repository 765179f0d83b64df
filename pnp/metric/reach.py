"""Reach: for how large an error of the parameters a metric is to stand for the distance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pnp.errors import CacheError

if TYPE_CHECKING:
    from pnp._protocols import CacheLike


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
        ValueError: If the reach is not finite and positive.
        CacheError: If the cache does not know its mean squared distance.
    """
    if not 0 < reach < math.inf:
        raise ValueError(f"The reach r must be finite and positive; got {reach}.")
    squared_distance = cache.mean_squared_distance
    if squared_distance is None:
        raise CacheError(
            f"{cache.path} does not say how far its sounds lie apart, which a reach needs: it was made by an earlier "
            "version without features, or has fewer than two training sounds. Precompute it again, or give no reach."
        )
    ceiling = squared_distance / max(reach * reach, math.ulp(0.0))
    if not ceiling < math.inf:
        raise ValueError(
            f"The reach r is too small for float64: the ceiling d²/r² overflows; got {reach}. Distances between sounds "
            "matter from about 0.001 of the cube's side."
        )
    return ceiling
