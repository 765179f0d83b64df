"""Correlation and identifiability of parameters, and the steps that can be heard."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import finite_number
from pnp.metric.riemannian import RiemannianMetric

# Length of a row of the inverse up to which a triangular solve is trusted with it, and the singular value, of unit
# columns, that counts as zero: well above rounding, far below any dependence that matters.
_WELL_CONDITIONED, _DEPENDENT = 1e7, 1e-13


class JustNoticeableSteps(NamedTuple):
    """Steps in the unit cube that all change the representation by the same distance.

    Attributes:
        axes: (B, P), along each parameter alone; infinite where it is inaudible.
        eigenvectors: (B, P), along each eigenvector, most audible first; infinite likewise.
    """

    axes: Tensor
    eigenvectors: Tensor


def correlation(metric: RiemannianMetric) -> Float[Tensor, "*batch P P"]:
    """Normalized metric M_ij / √(M_ii M_jj): the cosine between the Jacobian's columns.

    ±1 says that two parameters change the representation in the same way, so that one can be mistaken for
    the other; 0, that they are heard apart. Where a parameter is inaudible its cosine with others is
    undefined and given as 0.

    Args:
        metric: Metrics of any batch shape.

    Returns:
        One matrix per sound with ones on its diagonal.

    Examples:
        >>> metric = RiemannianMetric.from_factor(torch.tensor([[2.0, 1.0], [0.0, 0.0]]))
        >>> correlation(metric)[0, 1].item()
        1.0
    """
    columns = metric.factor
    length = torch.linalg.vector_norm(columns, dim=-2, keepdim=True)
    directions = torch.where(length == 0, 0.0, columns / length)
    cosine = (directions.mT @ directions).clamp(-1.0, 1.0)
    ones = torch.where(metric.valid, 1.0, math.nan).to(cosine)
    return cosine.diagonal_scatter(ones.unsqueeze(-1).expand(length.squeeze(-2).shape), dim1=-2, dim2=-1)


def identifiability(metric: RiemannianMetric, relative: bool = True) -> Float[Tensor, "*batch P"]:
    """Part of each parameter's Jacobian column that the other parameters cannot explain.

    The sine of the angle between a column and the span of the others: 1 says that nothing else sounds like
    this parameter, 0 that a combination of the others imitates it exactly, to first order. With
    `relative=False` the length of that part: what a unit step changes once the others have compensated as
    well as they can, which is 1/√(M⁻¹)_pp where M has an inverse.

    Args:
        metric: Metrics of any batch shape.
        relative: Divide by the column's length.

    Returns:
        One number per sound and parameter; 0 for an inaudible parameter.

    Examples:
        >>> oblique = RiemannianMetric.from_factor(torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
        >>> identifiability(oblique)
        tensor([0.7071, 0.7071], dtype=torch.float64)
    """
    missing = ~metric.valid[..., None]
    factor = torch.where(missing[..., None], 0.0, metric.factor)
    length = torch.linalg.vector_norm(factor, dim=-2)
    directions = torch.where(length[..., None, :] == 0, 0.0, factor / length[..., None, :])
    part = _sines(directions.flatten(0, -3) if directions.ndim > 2 else directions[None])
    part = part.reshape(length.shape).masked_fill(length == 0, 0.0)
    if not relative:
        part = part * length
    return part.masked_fill(missing, math.nan)


def _sines(directions: Float[Tensor, "B P P"]) -> Float[Tensor, "B P"]:
    """Return the sine between each column and the span of the others, for triangular matrices of unit columns.

    It is 1 / √Σₖ (Vₚₖ / σₖ)², the reciprocal length of a row of the inverse. A triangular solve gives that row at a
    tenth of the cost of an SVD. The SVD is kept for matrices that are close to singular; there σ has a floor, below
    which a direction counts as an exact dependence.
    """
    eye = torch.eye(directions.shape[-1]).to(directions)
    singular = (directions.diagonal(dim1=-2, dim2=-1) == 0).any(-1)
    inverse = torch.linalg.solve_triangular(
        torch.where(singular[:, None, None], eye, directions), eye.expand_as(directions), upper=True
    )
    reciprocal = torch.linalg.vector_norm(inverse, dim=-1)
    del inverse
    singular |= ~(reciprocal.amax(-1) < _WELL_CONDITIONED)
    if bool(singular.any()):
        _, values, right = torch.linalg.svd(directions[singular])
        floor = _DEPENDENT * values[:, :1].clamp(min=1.0)
        reciprocal[singular] = torch.linalg.vector_norm(right / values.maximum(floor)[..., None], dim=-2)
    sines: Tensor = (1 / reciprocal).clamp(max=1.0)
    return sines


def just_noticeable_steps(metric: RiemannianMetric, distance: float = 1.0) -> JustNoticeableSteps:
    """Steps that change the representation by a given distance, to first order.

    Args:
        metric: Metrics of any batch shape.
        distance: Distance in the representation that counts as just noticeable, in its own units.

    Returns:
        Steps in units of the unit cube, whose side is 2: along each parameter, and along each eigenvector.

    Raises:
        ValueError: If `distance` is not positive.

    Examples:
        >>> metric = RiemannianMetric.from_factor(torch.diag(torch.tensor([4.0, 2.0])))
        >>> just_noticeable_steps(metric, distance=1.0).axes
        tensor([0.2500, 0.5000], dtype=torch.float64)
    """
    distance = finite_number("distance", distance, above=0)
    # Division by zero gives the infinite step that is meant.
    return JustNoticeableSteps(
        axes=distance / torch.linalg.vector_norm(metric.factor, dim=-2),
        eigenvectors=distance / metric.singular_values,
    )
