"""Spectrum, rank and outliers of a set of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pnp._arguments import finite_number, finite_numbers
from pnp.metric.riemannian import RiemannianMetric
from pnp.metric.sequence import MetricSequence


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

    Examples:
        >>> metric = RiemannianMetric.from_factor(torch.diag_embed(torch.tensor([[2.0, 1.0], [4.0, 3.0]])))
        >>> spectrum(metric, quantiles=[0, 1])
        tensor([[ 4.,  1.],
                [16.,  9.]], dtype=torch.float64)
    """
    quantiles = finite_numbers("quantiles", quantiles, least=0, most=1)
    eigenvalues = require_sounds(metric).eigenvalues
    return torch.quantile(eigenvalues, torch.as_tensor(quantiles).to(eigenvalues), dim=0)


def rank(metric: RiemannianMetric, tolerance: float = 1e-7) -> Int[Tensor, "*batch"]:
    """Number of directions that are heard at all.

    Args:
        metric: Metrics of any batch shape.
        tolerance: Singular values below this share of the largest count as zero. The default is about what
            synthesis and scattering in float32 leave of a direction that is exactly inaudible.

    Returns:
        Integers between 0 and P; 0 also where there is no metric.
    """
    tolerance = finite_number("tolerance", tolerance, least=0, most=1)
    values = metric.singular_values
    return ((values > tolerance * values[..., :1]) & (values > 0)).sum(dim=-1)


def outliers(metric: RiemannianMetric, threshold: float = 6.0) -> Bool[Tensor, " B"]:
    """Return the sounds whose metric is suspiciously large or small beside the others'.

    A sound counts when the logarithm of its trace lies further from the median than `threshold` robust
    standard deviations (1.4826 median absolute deviations), or when its trace is 0.

    Args:
        metric: Metrics of B sounds.
        threshold: Robust standard deviations.

    Returns:
        One boolean per sound; a sound without a metric is none.
    """
    return odd_traces(metric.trace, threshold)


def odd_traces(trace: Float[Tensor, " B"], threshold: float = 6.0) -> Bool[Tensor, " B"]:
    """Return the sounds whose trace is suspiciously large or small; see `outliers`.

    Args:
        trace: Traces of M, NaN for a sound without a metric.
        threshold: Robust standard deviations.

    Returns:
        One boolean per sound.
    """
    threshold = finite_number("threshold", threshold, above=0)
    level, valid = trace.log(), ~trace.isnan()
    usual = level.isfinite()
    if not bool(usual.any()):
        return valid & ~usual
    deviation = (level - level[usual].median()).abs()
    spread = 1.4826 * deviation[usual].median()
    # A cache of copies has no spread; rounding must not make outliers of them.
    return valid & (deviation > threshold * spread + 1e-9)


def require_sounds(metric: MetricSequence) -> RiemannianMetric:
    """Return the metrics of those sounds that have one.

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
