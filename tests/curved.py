"""Curved geometries: a surface with points on it and their Jacobians, and the hyperbolic plane."""

import torch
from torch import Tensor

from pnp import RiemannianMetric

N, P = 200, 2


def curve(u):
    """A curved surface in five dimensions."""
    x, y = u.unbind(-1)
    return torch.stack([x.sin(), (2 * y).cos(), x * y, x.square(), (x - y).exp()], dim=-1)


def points_on(generator):
    u = 2 * torch.rand(N, P, generator=generator, dtype=torch.float64) - 1
    return u, curve(u), torch.func.vmap(torch.func.jacfwd(curve))(u)


def half_plane(u: Tensor) -> RiemannianMetric:
    """Hyperbolic metric (dx² + dy²) / y² with y = u₂ + 2."""
    scale = 1 / (u[:, 1] + 2)
    return RiemannianMetric.from_factor(scale[:, None, None] * torch.eye(2, dtype=torch.float64))
