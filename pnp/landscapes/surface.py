r"""Loss over a grid of two parameters: its values, its gradient field, and a smooth model of both.

A loss compares the features of a candidate sound with those of a target, by "squares", ½‖S − S*‖², or by
"absolute", ‖S − S*‖₁. Its gradient is that of the features, contracted: Jᵀ(S − S*) or Jᵀ sign(S − S*). With
features and Jacobians in hand, another target costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp._progress import Bar
from pnp.jacobian import value_and_jacobian
from pnp.parameters import ParameterSpace

__all__ = ["Landscape", "SmoothGrid", "compare", "grid", "streamed"]

_DISTANCES = ("squares", "absolute")


@dataclass(frozen=True)
class Landscape:
    """A loss and its gradient over a grid of two parameters.

    Args:
        space: The two parameters.
        target: Position of the target, in units of the cube, shape (2,).
        u: Points of the grid, shape (n, n, 2), the second parameter varying fastest.
        loss: Losses, shape (n, n).
        gradient: Gradients with respect to u, shape (n, n, 2).
    """

    space: ParameterSpace
    target: Float[Tensor, " 2"]
    u: Float[Tensor, "n n 2"]
    loss: Float[Tensor, "n n"]
    gradient: Float[Tensor, "n n 2"]

    @property
    def cell(self) -> float:
        """Side of a grid cell in units of the cube."""
        return 2.0 / (len(self.u) - 1)


def grid(space: ParameterSpace, n: int) -> Float[Tensor, "n n 2"]:
    """Points of a grid, evenly spaced in the unit cube and hence on each parameter's own scale.

    Args:
        space: Space of two parameters.
        n: Points along each.

    Returns:
        Points, shape (n, n, 2), the second parameter varying fastest.

    Raises:
        ValueError: If the space has not two parameters, or n is below 3.
    """
    if len(space) != 2:
        raise ValueError(f"a landscape is drawn over two parameters, the space has {len(space)}")
    if n < 3:
        raise ValueError(f"a landscape needs at least 3 points along each parameter, got {n}")
    return space.sample((n, n), method="grid").reshape(n, n, 2)


def compare(
    S: Shaped[Tensor, "*batch C"],
    J: Shaped[Tensor, "*batch C P"],
    target: Shaped[Tensor, "*target C"],
    distance: str = "squares",
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch P"]]:
    """Loss of candidates against targets, and its gradient.

    Args:
        S: Features of the candidates, shape (..., C).
        J: Their Jacobians, shape (..., C, P).
        target: Features of the targets, shape (C,), or (..., C).
        distance: "squares" or "absolute".

    Returns:
        Losses, shape (...,), and gradients, shape (..., P).

    Raises:
        ValueError: If the distance is unknown.
    """
    if distance not in _DISTANCES:
        raise ValueError(f"distance must be one of {', '.join(_DISTANCES)}, got {distance!r}")
    difference = S - target
    if distance == "squares":
        return 0.5 * difference.square().sum(-1), (J * difference.unsqueeze(-1)).sum(-2)
    return difference.abs().sum(-1), (J * difference.sign().unsqueeze(-1)).sum(-2)


def streamed(
    synth: nn.Module,
    features: nn.Module,
    u: Shaped[Tensor, "B P"],
    targets: Shaped[Tensor, "K C"],
    distance: str = "squares",
    *,
    block: int = 4,
    progress: str = "",
) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K P"]]:
    """Losses of candidates against several targets, by features too many to be kept.

    Args:
        synth: Synthesizer.
        features: Feature map.
        u: Candidates in the unit cube, shape (B, P).
        targets: Features of K targets, shape (K, C).
        distance: "squares" or "absolute".
        block: Candidates at a time.
        progress: Title of a progress bar; none if empty.

    Returns:
        Losses, shape (B, K), and gradients with respect to u, shape (B, K, P); float64.
    """
    losses, gradients = [], []
    for some in Bar(u.split(block), desc=progress, disable=not progress, unit_scale=block, unit="sound"):
        S, J = value_and_jacobian(synth, features, some.to(targets.dtype))
        parts = [compare(S, J, target, distance) for target in targets]
        losses.append(torch.stack([loss for loss, _ in parts], dim=1))
        gradients.append(torch.stack([gradient for _, gradient in parts], dim=1))
    return torch.cat(losses).double(), torch.cat(gradients).double()


class SmoothGrid:
    r"""Features between the points of a grid, from features and Jacobians at the points.

    Bicubic Hermite patches: values and both slopes are exact at the points, the mixed derivative there is the mean of
    the central differences of either slope along the other axis. The model is once continuously differentiable.

    Args:
        S: Features on a grid over [-1, 1]², shape (n, n, C).
        J: Jacobians with respect to u, shape (n, n, C, 2).

    Raises:
        ValueError: If the shapes do not belong together.

    Source:
        Hermite interpolation on a rectangle, as in de Boor, "Bicubic spline interpolation", J. Math. Phys. 41 (1962).
    """

    def __init__(self, S: Shaped[Tensor, "n m C"], J: Shaped[Tensor, "n m C P"]) -> None:
        if S.shape[0] != S.shape[1] or S.shape[0] < 3 or J.shape != (*S.shape, 2):
            raise ValueError(
                "expected S of shape (n, n, C) with n >= 3 and J of shape (n, n, C, 2), "
                f"got {tuple(S.shape)} and {tuple(J.shape)}"
            )
        self.n = len(S)
        # In units of a cell, so that the basis needs no widths.
        slopes = J.double() * (2.0 / (self.n - 1))
        mixed = 0.5 * (torch.gradient(slopes[..., 0], dim=1)[0] + torch.gradient(slopes[..., 1], dim=0)[0])
        self._data = torch.stack([S.double(), slopes[..., 1], slopes[..., 0], mixed], dim=-1)

    def value_and_jacobian(
        self, u: Shaped[Tensor, "B P"]
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C 2"]]:
        """Features and Jacobian of the model.

        Args:
            u: Points in [-1, 1]², shape (B, 2).

        Returns:
            Features, shape (B, C), and their derivatives with respect to u, shape (B, C, 2); float64.
        """
        place = (u.double() + 1.0) * (0.5 * (self.n - 1))
        corner = place.floor().clamp(0, self.n - 2).long()
        weights, slopes = _hermite(place - corner)
        # A sum over four corners, each with value, two slopes and a mixed derivative.
        S, J0, J1 = (torch.zeros(()) for _ in range(3))
        for a in (0, 1):
            for b in (0, 1):
                data = self._data[corner[:, 0] + a, corner[:, 1] + b]
                first, second = weights[:, 0, a], weights[:, 1, b]
                d_first, d_second = slopes[:, 0, a], slopes[:, 1, b]
                S = S + _combine(data, first, second)
                J0 = J0 + _combine(data, d_first, second)
                J1 = J1 + _combine(data, first, d_second)
        return S, torch.stack([J0, J1], dim=-1) * (0.5 * (self.n - 1))


def _combine(data: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Tensor product of the bases of value and slope along both axes; data (B, C, 4), bases (B, 2)."""
    product = (first.unsqueeze(-1) * second.unsqueeze(-2)).flatten(1)
    return (data * product.unsqueeze(1)).sum(-1)


def _hermite(t: Tensor) -> tuple[Tensor, Tensor]:
    """Cubic Hermite basis at t (B, 2) and its derivative, each (B, 2, corner, value or slope)."""
    s = 1.0 - t
    near = torch.stack([(1 + 2 * t) * s**2, t * s**2], dim=-1)
    far = torch.stack([t**2 * (3 - 2 * t), -(t**2) * s], dim=-1)
    d_near = torch.stack([-6 * t * s, s**2 - 2 * t * s], dim=-1)
    d_far = torch.stack([6 * t * s, t**2 - 2 * t * s], dim=-1)
    return torch.stack([near, far], dim=-2), torch.stack([d_near, d_far], dim=-2)
