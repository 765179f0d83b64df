"""What a metric says about a synthesizer and a representation, in numbers.

Everything is computed from the factor R of M = RᵀR and never from an inverse of M: where one direction is
inaudible, M is singular, and that is a finding rather than an accident.

Functions with one result per sound give NaN at a point without a metric; those over all sounds leave it out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pnp.metric import RiemannianMetric


class JustNoticeableSteps(NamedTuple):
    """Steps in the unit cube that all change the representation by the same distance.

    Attributes:
        axes: (B, P), along each parameter alone; infinite where it is inaudible.
        eigenvectors: (B, P), along each eigenvector, most audible first; infinite likewise.
    """

    axes: Tensor
    eigenvectors: Tensor


def spectrum(
    metric: RiemannianMetric, quantiles: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)
) -> Float[Tensor, "quantiles P"]:
    """Quantiles over the sounds of each eigenvalue of M, largest eigenvalue first.

    Args:
        metric: Metrics of B sounds.
        quantiles: Probabilities in [0, 1].

    Returns:
        One row per quantile, one column per eigenvalue (squared distance per squared unit step).

    Raises:
        ValueError: If no sound has a metric, or a probability lies outside [0, 1].

    Example:
        >>> metric = RiemannianMetric.from_factor(torch.diag_embed(torch.tensor([[2.0, 1.0], [4.0, 3.0]])))
        >>> spectrum(metric, quantiles=[0, 1])
        tensor([[ 4.,  1.],
                [16.,  9.]], dtype=torch.float64)
    """
    if not all(0 <= q <= 1 for q in quantiles):
        raise ValueError(f"quantiles must be probabilities in [0, 1], got {list(quantiles)}")
    eigenvalues = require_sounds(metric).eigenvalues
    return torch.quantile(eigenvalues, torch.as_tensor(quantiles).to(eigenvalues), dim=0)


def correlation(metric: RiemannianMetric) -> Float[Tensor, "*batch P P"]:
    """Normalized metric M_ij / √(M_ii M_jj): the cosine between the Jacobian's columns.

    ±1 says that two parameters change the representation in the same way, so that one can be mistaken for
    the other; 0, that they are heard apart. Where a parameter is inaudible its cosine with others is
    undefined and given as 0.

    Args:
        metric: Metrics of any batch shape.

    Returns:
        One matrix per sound with ones on its diagonal.

    Example:
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

    Example:
        >>> oblique = RiemannianMetric.from_factor(torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
        >>> identifiability(oblique)
        tensor([0.7071, 0.7071], dtype=torch.float64)
    """
    missing = ~metric.valid[..., None]
    factor = torch.where(missing[..., None], 0.0, metric.factor)
    remainder = torch.stack([_unexplained(factor, p) for p in range(metric.n_parameters)], dim=-1)
    if relative:
        length = torch.linalg.vector_norm(factor, dim=-2)
        remainder = torch.where(length == 0, 0.0, remainder / length).clamp(max=1.0)
    return remainder.masked_fill(missing, math.nan)


def _unexplained(factor: Tensor, p: int) -> Tensor:
    """Length of what is left of column p after projection on the other columns."""
    column = factor[..., :, p : p + 1]
    others = torch.cat([factor[..., :, :p], factor[..., :, p + 1 :]], dim=-1)
    if others.shape[-1]:
        # Singular vectors rather than QR: dependent columns among the others must not count as directions.
        basis, lengths, _ = torch.linalg.svd(others, full_matrices=False)
        floor = lengths[..., :1] * factor.shape[-1] * torch.finfo(factor.dtype).eps
        basis = basis * (lengths > floor).unsqueeze(-2)
        column = column - basis @ (basis.mT @ column)
    length: Tensor = torch.linalg.vector_norm(column, dim=(-2, -1))
    return length


def just_noticeable_steps(metric: RiemannianMetric, distance: float = 1.0) -> JustNoticeableSteps:
    """Steps that change the representation by a given distance, to first order.

    Args:
        metric: Metrics of any batch shape.
        distance: Distance in the representation that counts as just noticeable, in its own units.

    Returns:
        Steps in units of the unit cube, whose side is 2: along each parameter, and along each eigenvector.

    Raises:
        ValueError: If `distance` is not positive.

    Example:
        >>> metric = RiemannianMetric.from_factor(torch.diag(torch.tensor([4.0, 2.0])))
        >>> just_noticeable_steps(metric, distance=1.0).axes
        tensor([0.2500, 0.5000], dtype=torch.float64)
    """
    if not distance > 0:
        raise ValueError(f"distance must be positive, got {distance}")
    # Division by zero gives the infinite step that is meant.
    return JustNoticeableSteps(
        axes=distance / torch.linalg.vector_norm(metric.factor, dim=-2),
        eigenvectors=distance / metric.singular_values,
    )


def composition(metric: RiemannianMetric) -> Float[Tensor, "P P"]:
    """What the eigenvectors are made of: squared components, averaged over the sounds.

    Args:
        metric: Metrics of B sounds.

    Returns:
        Row k is the k-th eigenvector, most audible first, and column p its share of parameter p; rows sum
        to 1.

    Raises:
        ValueError: If no sound has a metric.
    """
    return require_sounds(metric).eigenvectors.square().mean(dim=0).mT


def describe_eigenvectors(
    eigenvectors: Float[Tensor, "P P"], names: Sequence[str], least: float = 0.1
) -> list[str]:
    """Eigenvectors in words, such as "0.98 carrier − 0.17 rate".

    Args:
        eigenvectors: (P, P), one eigenvector a column.
        names: The P parameters' names.
        least: Components smaller than this in magnitude are left out.

    Returns:
        One phrase per eigenvector, its largest component first and positive (an eigenvector has no sign).

    Raises:
        ValueError: If the number of names is not P.

    Example:
        >>> describe_eigenvectors(torch.tensor([[0.6, -0.8], [-0.8, -0.6]]), ["pitch", "decay"])
        ['0.80 decay − 0.60 pitch', '0.80 pitch + 0.60 decay']
    """
    if len(names) != eigenvectors.shape[0]:
        raise ValueError(f"expected {eigenvectors.shape[0]} names, one per parameter, got {len(names)}")
    return [_in_words(vector, names, least) for vector in eigenvectors.mT.tolist()]


def _in_words(vector: list[float], names: Sequence[str], least: float) -> str:
    by_size = sorted(zip(vector, names, strict=True), key=lambda part: -abs(part[0]))
    sign = -1.0 if by_size[0][0] < 0 else 1.0
    words = f"{sign * by_size[0][0]:.2f} {by_size[0][1]}"
    for value, name in by_size[1:]:
        if abs(value) >= least:
            words += f" {'−' if sign * value < 0 else '+'} {abs(value):.2f} {name}"
    return words


def rank(metric: RiemannianMetric, tolerance: float = 1e-7) -> Int[Tensor, "*batch"]:
    """Number of directions that are heard at all.

    Args:
        metric: Metrics of any batch shape.
        tolerance: Singular values below this share of the largest count as zero. The default is about what
            synthesis and scattering in float32 leave of a direction that is exactly inaudible.

    Returns:
        Integers between 0 and P; 0 also where there is no metric.
    """
    values = metric.singular_values
    return ((values > tolerance * values[..., :1]) & (values > 0)).sum(dim=-1)


def outliers(metric: RiemannianMetric, threshold: float = 6.0) -> Bool[Tensor, " B"]:
    """Sounds whose metric is suspiciously large or small beside the others'.

    A sound counts when the logarithm of its trace lies further from the median than `threshold` robust
    standard deviations (1.4826 median absolute deviations), or when its trace is 0.

    Args:
        metric: Metrics of B sounds.
        threshold: Robust standard deviations.

    Returns:
        One boolean per sound; a sound without a metric is none.
    """
    level = metric.trace.log()
    usual = level.isfinite()
    if not bool(usual.any()):
        return metric.valid & ~usual
    deviation = (level - level[usual].median()).abs()
    spread = 1.4826 * deviation[usual].median()
    # A cache of copies has no spread; rounding must not make outliers of them.
    return metric.valid & (deviation > threshold * spread + 1e-9)


def require_sounds(metric: RiemannianMetric) -> RiemannianMetric:
    """The metrics of those sounds that have one.

    Args:
        metric: Metrics of B sounds.

    Returns:
        Metrics of at most B sounds, none of them missing.

    Raises:
        ValueError: If no sound has a metric.
    """
    if not bool(metric.valid.any()):
        raise ValueError(f"no sound has a metric, out of {len(metric)}; expected at least one")
    return metric[metric.valid]
