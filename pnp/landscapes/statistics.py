"""Numbers of loss landscapes: how gradient descent fares on them, and how far the metric describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from pnp.landscapes.surface import Landscape
from pnp.metric.riemannian import RiemannianMetric

__all__ = [
    "LandscapeNumbers",
    "NeighbourAgreement",
    "agreement_radius",
    "agreement_with_neighbours",
    "measure",
    "reached",
]

# Points of the cube that are closer than this are the same.
_SAME = 1e-9


@dataclass(frozen=True)
class LandscapeNumbers:
    """Numbers of a landscape, and of descents on it.

    Args:
        minimum: Physical parameters of the grid point with the lowest loss.
        offset: Cells from the target to that point, along each parameter.
        downhill: Share of the grid points whose negative gradient points towards the target: cosine above 0.
        each: The same for each parameter alone: share of the grid points at which its slope falls towards the target.
        cosine: Mean cosine between negative gradient and direction to the target, in the unit cube.
        sensitivity: Mean of the absolute slope along the first parameter, over that along the second, both in units of
            the cube.
        relief: Range of the loss along the grid line of the first parameter nearest the target, over that along the
            line of the second.
        reached: Share of the starting points from which descent ends within one cell of the target.
        starts: Number of starting points.
    """

    minimum: tuple[float, ...]
    offset: tuple[float, ...]
    downhill: float
    each: tuple[float, ...]
    cosine: float
    sensitivity: float
    relief: float
    reached: float
    starts: int

    @property
    def minimum_at_target(self) -> bool:
        """Tell whether the grid point of lowest loss is within a cell of the target."""
        return max(abs(cells) for cells in self.offset) <= 1.0

    def to_dict(self) -> dict[str, object]:
        """Return all numbers for JSON."""
        return asdict(self) | {"minimum_at_target": self.minimum_at_target}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LandscapeNumbers:
        """Read what `to_dict` returned, or its JSON."""
        known: dict[str, Any] = {field.name: data[field.name] for field in fields(cls)}
        for name in ("minimum", "offset", "each"):
            known[name] = tuple(known[name])
        return cls(**known)


def measure(landscape: Landscape, ends: Shaped[Tensor, "B P"]) -> LandscapeNumbers:
    """Measure a landscape, and descents that were started on it.

    Args:
        landscape: Loss and gradient over a grid.
        ends: Ends of the descents, in units of the cube, shape (B, 2).

    Returns:
        The numbers.
    """
    points = landscape.u.reshape(-1, 2)
    lowest = int(landscape.loss.argmin())
    cosine = _cosines(landscape)
    towards = landscape.target - landscape.u
    falls = (landscape.gradient * towards < 0).double().sum((0, 1))
    # Points that are on a level with the target have no side to fall to.
    each = falls / (towards.abs() > _SAME).sum((0, 1))
    slopes = landscape.gradient.abs().mean((0, 1))
    nearest = ((landscape.target + 1.0) / landscape.cell).round().long()
    along_first = landscape.loss[:, nearest[1]]
    along_second = landscape.loss[nearest[0], :]
    return LandscapeNumbers(
        minimum=tuple(landscape.space.from_unit(points[lowest]).tolist()),
        offset=tuple(((points[lowest] - landscape.target) / landscape.cell).tolist()),
        downhill=float((cosine > 0).double().mean()),
        each=tuple(each.tolist()),
        cosine=float(cosine.mean()),
        sensitivity=float(slopes[0] / slopes[1]),
        relief=float(_range(along_first) / _range(along_second)),
        reached=float(reached(landscape, ends).double().mean()),
        starts=len(ends),
    )


def reached(landscape: Landscape, ends: Shaped[Tensor, "B P"]) -> Bool[Tensor, " B"]:
    """Tell which points are within one grid cell of the target along both parameters.

    Args:
        landscape: Any loss over the grid.
        ends: Points in units of the cube, shape (B, 2).

    Returns:
        Shape (B,).
    """
    return ((ends - landscape.target).abs() <= landscape.cell).all(-1)


def agreement_radius(
    metric: RiemannianMetric,
    du: Shaped[Tensor, "D R P"],
    loss: Shaped[Tensor, "D R"],
    tolerance: float = 0.1,
) -> Float[Tensor, " D"]:
    """Return the length along each ray within which the quadratic form stays close to the true loss.

    Args:
        metric: Metric at the common origin of the rays.
        du: Points on D rays, R a ray, with growing distance, relative to the origin, shape (D, R, P).
        loss: True losses ½‖S − S*‖² there, shape (D, R).
        tolerance: Largest relative deviation of ½ duᵀ M du from the loss.

    Returns:
        For each ray the length of the last du before the first one that deviates more, 0 if that is the first;
        shape (D,).
    """
    form = 0.5 * metric.distance_squared(du)
    close = ((form / loss - 1.0).abs() <= tolerance).cumprod(-1).bool()
    lengths = du.norm(dim=-1)
    return torch.where(close, lengths, 0.0).amax(-1)


@dataclass(frozen=True)
class NeighbourAgreement:
    """The quadratic form of every grid point's metric against the true loss of grid points some cells away.

    Args:
        cells: Cells between the points, along one parameter.
        distance: The same in units of the cube.
        median_ratio: Median of form over loss.
        within_10_percent: Share of the pairs whose ratio is within 10 % of one.
        within_factor_2: Share of the pairs whose ratio is within a factor of two.
    """

    cells: int
    distance: float
    median_ratio: float
    within_10_percent: float
    within_factor_2: float

    def to_dict(self) -> dict[str, float]:
        """Return all numbers for JSON."""
        return asdict(self)


def agreement_with_neighbours(
    S: Shaped[Tensor, "n n C"], J: Shaped[Tensor, "n n C 2"], cells: int
) -> NeighbourAgreement:
    """Compare the form at every grid point with the true loss some cells away along either parameter.

    Args:
        S: Features of the grid, shape (n, n, C).
        J: Their Jacobians, shape (n, n, C, 2).
        cells: Cells between the points.

    Returns:
        Numbers over all pairs, each seen from both ends.
    """
    n = len(S)
    step = cells * 2.0 / (n - 1)
    ratios = []
    for axis in (0, 1):
        here, there = (S.narrow(axis, k, n - cells) for k in (0, cells))
        loss = 0.5 * (there - here).square().sum(-1)
        for end in (0, cells):
            column = J[..., axis].narrow(axis, end, n - cells)
            ratios.append((0.5 * (step * column).square().sum(-1) / loss).flatten())
    ratio = torch.cat(ratios)
    return NeighbourAgreement(
        cells=cells,
        distance=step,
        median_ratio=float(ratio.median()),
        within_10_percent=float(((ratio - 1.0).abs() <= 0.1).double().mean()),
        within_factor_2=float((ratio.log2().abs() <= 1.0).double().mean()),
    )


def _cosines(landscape: Landscape) -> Tensor:
    """Cosine between negative gradient and direction to the target; 0 where there is no gradient."""
    towards = landscape.target - landscape.u
    # A grid point that is the target has no direction to it, and is left out.
    away = towards.norm(dim=-1) > _SAME
    return torch.cosine_similarity(-landscape.gradient[away], towards[away], dim=-1, eps=1e-300)


def _range(values: Tensor) -> Tensor:
    return values.max() - values.min()
