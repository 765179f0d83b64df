"""Blending of what is known at scattered points by Franke and Little's weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["default_neighbours", "franke_little"]


def default_neighbours(n_parameters: int) -> int:
    """Return how many points surround a point in P dimensions, with some to spare: 2P + 2.

    Args:
        n_parameters: Number of dimensions P.

    Returns:
        Number of neighbours to blend.
    """
    return 2 * n_parameters + 2


def franke_little(distance: Float[Tensor, "B m1"]) -> Float[Tensor, "B m"]:
    """Weights wᵢ ∝ ((r − dᵢ)₊ / (r dᵢ))² of the nearest points, with r the distance of the first one left out.

    They are continuous, and fall to 0 where a point leaves the neighbourhood.

    Args:
        distance: Distances to the m + 1 nearest points in ascending order, shape (B, m + 1).

    Returns:
        Weights of the first m points, shape (B, m), each row summing to 1.

    Source:
        Franke, Nielson, "Smooth interpolation of large sets of scattered data", Int. J. Numer. Meth. Eng. 1980.

    Example:
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
