"""Metrics of a cache that are read where they are asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pnp.metric.riemannian import RiemannianMetric
from pnp.store.reader import MetricCache

__all__ = ["StoredMetrics"]


class StoredMetrics:
    """Metrics of some rows of a cache, of which no more are in memory than are asked for at a time.

    Many parameters make many numbers: the metrics of 4096 sounds with 80 parameters take 210 MB.

    Args:
        cache: Open cache.
        rows: Rows that have a metric, shape (n,).
        columns: Numbers of the parameters that the metrics are about, in their order; None for all.
    """

    def __init__(self, cache: MetricCache, rows: Tensor, columns: list[int] | None = None) -> None:
        everything = list(range(len(cache.space)))
        self._cache, self._rows = cache, rows
        self._columns = None if columns == everything else columns
        self._n_parameters = len(everything if columns is None else columns)

    @property
    def n_parameters(self) -> int:
        """Number of parameters P."""
        return self._n_parameters

    @property
    def valid(self) -> Tensor:
        """True where there is a metric: everywhere, shape (n,)."""
        return torch.ones(len(self), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Any) -> RiemannianMetric:
        """Return the metrics that `key` selects: a slice, a mask or an index tensor of any shape.

        Raises:
            CacheError: If a row has no metric, or its numbers are not what was written.
        """
        rows = self._rows[key]
        factors = self._cache.factors(rows.flatten())
        if self._columns is not None:
            # Columns of R have the inner products of those of J.
            factors = RiemannianMetric.from_jacobian(factors[..., self._columns]).factor
        return RiemannianMetric(factors.reshape(*rows.shape, self.n_parameters, self.n_parameters))
