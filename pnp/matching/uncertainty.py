"""Uncertainty of a match: how well the sound determines its parameters, and what else would explain it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pnp.matching.multistart import Refinement
from pnp.metric.riemannian import RiemannianMetric

__all__ = ["INAUDIBLE", "NOT_MUCH_LARGER", "deviations", "rivals"]

# A direction of the cube in which the features change less than this, relative to the most audible one, is inaudible.
INAUDIBLE = 1e-6
# An end elsewhere, further than this along a parameter, is another explanation if its distance is not much larger.
_ELSEWHERE, NOT_MUCH_LARGER = 0.05, 2.0


def deviations(
    metric: RiemannianMetric,
    distance: float,
    n_features: int,
    others: Float[np.ndarray, "n D"],
    u: np.ndarray,
    near: Float[np.ndarray, " P"] | None = None,
) -> Float[Tensor, " P"]:
    """Return the standard deviation of each parameter of a match, in units of the cube.

    The part next to the match is that of least squares, the square root of the diagonal of ‖r‖²/(C − P) M⁻¹, through
    the spectrum: M is never inverted. The spread of other explanations adds to it.

    Args:
        metric: Metric at the match.
        distance: Norm ‖r‖ of the residual there.
        n_features: Number of features C.
        others: Other explanations, see `rivals`, shape (n, D): columns beyond the P of the metric do not count.
        u: The match, shape (D,).
        near: Variance of each parameter next to the match, where it is known otherwise.

    Returns:
        Shape (P,); infinite for a parameter that is not heard.
    """
    variance = distance**2 / max(n_features - metric.n_parameters, 1)
    sigma, vectors = metric.singular_values, metric.eigenvectors
    heard = sigma > INAUDIBLE * sigma.max()
    inverse = torch.where(heard, 1.0 / sigma, 0.0)
    around = variance * (vectors * inverse).square().sum(-1) if near is None else torch.from_numpy(near)
    spread = np.square(others - u).sum(0)[: metric.n_parameters] / (len(others) + 1)
    return torch.where(_is_determined(metric), (around + torch.from_numpy(spread)).sqrt(), math.inf)


def _is_determined(metric: RiemannianMetric) -> Bool[Tensor, " P"]:
    """Tell which parameters are no part of an inaudible direction, in which they could be anything."""
    sigma, vectors = metric.singular_values, metric.eigenvectors
    inaudible = sigma <= INAUDIBLE * sigma.max()
    return (vectors.square() * inaudible).sum(-1) <= INAUDIBLE


def rivals(
    ends: Sequence[Refinement], best: Refinement, metric: RiemannianMetric, nuisances: Sequence[int] = ()
) -> list[Refinement]:
    """Return the ends that would explain the sound about as well as the best one, with other audible parameters.

    An option of a choice that differs is another explanation too.

    Args:
        ends: Ends of all starts.
        best: The best of them.
        metric: Metric at the best, whose P parameters are the first columns of points; choices follow.
        nuisances: Columns that do not count: those of gain and noise.
    """
    audible = np.ones(len(best.u), bool)
    audible[: metric.n_parameters] = _is_determined(metric).numpy()
    audible[list(nuisances)] = False
    return [
        end
        for end in ends
        if end.distance <= NOT_MUCH_LARGER * best.distance
        and (np.abs(end.u - best.u)[audible] > _ELSEWHERE).any()
    ]
