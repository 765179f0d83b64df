"""View of a cache with fewer predicted parameters."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pnp._torch.modes import ordinary
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters import ParameterSpace
from pnp.store.reader import MetricCache, Rows

__all__ = ["SelectedCache"]


class SelectedCache(MetricCache):
    """Cache that is about some of its parameters and choices alone; see `MetricCache.select`.

    The metric of a selection holds the rows and columns of M that belong to it: JᵀJ for those columns of J.

    Args:
        path: The file.
        space: Selection of the cache's space, with all its conditions.
    """

    def __init__(self, path: str | os.PathLike[str], space: ParameterSpace) -> None:
        super().__init__(path)
        self._selected = space

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_selected": self._selected}

    @property
    def space(self) -> ParameterSpace:
        """Parameters and choices that were selected, and all conditions."""
        return self._selected

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the configuration of the cache and of the selection."""
        names = [parameter.name for parameter in (*self.space, *self.space.choices)]
        return hashlib.sha256(f"{self._header.fingerprint}:{','.join(names)}".encode()).hexdigest()

    @cached_property
    @ordinary()
    def u(self) -> Float[Tensor, "N P"]:
        """Scaled parameters of the selection in [-1, 1], (N, P), float64."""
        return self._column("u")[:, self._kept].contiguous()

    @cached_property
    @ordinary()
    def choices(self) -> Int[Tensor, "N K"]:
        """Positions of the true options of the selected choices, (N, K)."""
        if not self.space.choices:
            return torch.empty(len(self), 0, dtype=torch.long)
        names = [choice.name for choice in self._header.space.choices]
        return self._column("choices")[:, [names.index(choice.name) for choice in self.space.choices]]

    @cached_property
    @ordinary()
    def choice_distances(self) -> dict[str, Float[Tensor, "N options"]]:
        """Squared feature distances of the selected choices, (N, options), float64."""
        every = self._distances()
        return {choice.name: every[choice.name] for choice in self.space.choices}

    def factors(self, rows: Rows) -> Float[Tensor, "..."]:
        """Factors R of some rows, for the selected parameters; see `MetricCache.factors`."""
        # Columns of R have the inner products of those of J.
        return RiemannianMetric.from_jacobian(super().factors(rows)[..., self._kept]).factor

    def jacobian(self, rows: Rows) -> Float[Tensor, "..."]:
        """Jacobians dS/du of some rows, for the selected parameters; see `MetricCache.jacobian`."""
        return super().jacobian(rows)[..., self._kept]

    @property
    def _kept(self) -> list[int]:
        """Columns of the selected parameters among those of the file."""
        return [self._header.space.column(name) for name in self.space.names]

    @cached_property
    @ordinary()
    def _factors(self) -> Tensor:
        ok = self.ok
        factors = torch.full((len(self), len(self.space), len(self.space)), torch.nan, dtype=torch.float64)
        if ok.any():
            columns = self._column("R")[ok][..., self._kept]
            factors[ok] = RiemannianMetric.from_jacobian(columns).factor
        return factors
