"""Metrics one after another: in memory, or read where they are asked for."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from pnp.metric.riemannian import RiemannianMetric

__all__ = ["MetricSequence"]


@runtime_checkable
class MetricSequence(Protocol):
    """Metrics of n sounds, of which some are taken at a time; a `RiemannianMetric` over a batch is one."""

    @property
    def n_parameters(self) -> int:
        """Number of parameters P."""
        ...

    @property
    def valid(self) -> Tensor:
        """True where there is a metric, shape (n,)."""
        ...

    def __len__(self) -> int:
        """Return the number of sounds."""
        ...

    def __getitem__(self, key: Any, /) -> RiemannianMetric:
        """Return the metrics that a slice, mask or index tensor selects."""
        ...
