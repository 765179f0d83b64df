"""A curved surface, and points on it with their Jacobians."""

import torch

N, P = 200, 2


def curve(u):
    """A curved surface in five dimensions."""
    x, y = u.unbind(-1)
    return torch.stack([x.sin(), (2 * y).cos(), x * y, x.square(), (x - y).exp()], dim=-1)


def points_on(generator):
    u = 2 * torch.rand(N, P, generator=generator, dtype=torch.float64) - 1
    return u, curve(u), torch.func.vmap(torch.func.jacfwd(curve))(u)
