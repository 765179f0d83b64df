"""Blending of what is known at scattered points by Franke and Little's weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import whole_number

__all__ = ["count_neighbours", "franke_little"]


def count_neighbours(wanted: int | None, n_parameters: int, n_points: int) -> int:
    """Return how many points are blended at each place.

    Args:
        wanted: Their number; None for 2P + 2, enough to surround a place with some to spare, or as many as there are.
        n_parameters: Number of dimensions P.
        n_points: Number of points n.

    Returns:
        Number of neighbours, at most n − 1: one more sets the radius.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is not from 1 to n − 1.
    """
    if wanted is None:
        return min(2 * n_parameters + 2, n_points - 1)
    wanted = whole_number("neighbours", wanted, least=1)
    if wanted >= n_points:
        raise ValueError(f"neighbours must be fewer than the {n_points} points, got {wanted}")
    return wanted


def franke_little(distance: Float[Tensor, "B m1"]) -> Float[Tensor, "B m"]:
    """Weights wᵢ ∝ ((r − dᵢ)₊ / (r dᵢ))² of the nearest points, with r the distance of the first one left out.

    They are continuous, and fall to 0 where a point leaves the neighbourhood.

    Args:
        distance: Distances to the m + 1 nearest points in ascending order, shape (B, m + 1).

    Returns:
        Weights of the first m points, shape (B, m), each row summing to 1.

    Source:
        Franke, Nielson, "Smooth interpolation of large sets of scattered data", Int. J. Numer. Meth. Eng. 1980.

    Examples:
        >>> franke_little(torch.tensor([[1.0, 2.0, 4.0], [0.0, 2.0, 4.0]]))
        tensor([[0.9000, 0.1000],
                [1.0000, 0.0000]])
    """
    radius, inside = distance[:, -1:], distance[:, :-1]
    weights = ((radius - inside) / (radius * inside)).square()
    # On a point, its own weight is infinite, and 1 once normalized.
    weights = torch.where((inside == 0).any(-1, keepdim=True), (inside == 0).to(weights.dtype), weights)
    # Where all are as far as the one left out, they count alike.
    weights = torch.where(weights.sum(-1, keepdim=True) == 0, torch.ones_like(weights), weights)
    return weights / weights.sum(-1, keepdim=True)
