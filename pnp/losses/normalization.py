"""Unit of a normalized loss: the mean eigenvalue of the training fold's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from pnp.metric.reach import DEFAULT_REACH, chosen_ceiling
from pnp.metric.riemannian import RiemannianMetric

if TYPE_CHECKING:
    from pnp._protocols import CacheLike

__all__ = ["mean_eigenvalue", "normalization", "training_sounds"]


def normalization(
    cache: CacheLike, reach: float | None = DEFAULT_REACH, ceiling: float | None = None
) -> float:
    """Return the number by which a normalized loss is divided: the mean eigenvalue of the training fold's metrics.

    Args:
        cache: Open metric cache.
        reach: Reach r of the loss, which limits eigenvalues; None for metrics as they are.
        ceiling: Limit of the eigenvalues, in place of that of the reach.

    Returns:
        The mean eigenvalue, in units of squared feature distance.

    Raises:
        ValueError: If no sound of the training fold has a metric, or all metrics are zero.
    """
    metrics = cache.metrics()
    metrics = metrics[training_sounds(cache, metrics)]
    ceiling = chosen_ceiling(cache, reach, ceiling)
    return mean_eigenvalue(metrics if ceiling is None else metrics.saturated(ceiling))


def training_sounds(cache: CacheLike, metrics: RiemannianMetric) -> Tensor:
    """Return the mask of the sounds of the training fold that have a metric, at least one."""
    training: Tensor = metrics.valid & (cache.fold == 0)
    if not training.any():
        raise ValueError(
            f"No sound in the training fold of {cache.path} has a metric; of all {len(metrics)} sounds, "
            f"{int(metrics.valid.sum())} have one. Likely cause: precomputation has not finished."
        )
    return training


def mean_eigenvalue(metrics: RiemannianMetric) -> float:
    """Return the mean eigenvalue of the mean metric, which must not be zero."""
    mean = float(metrics.mean().trace) / metrics.n_parameters
    if mean == 0:
        raise ValueError("The metric cannot be normalized: it is zero at every sound.")
    return mean
