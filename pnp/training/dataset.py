"""The online stage's data: sounds of a cache, by fold, for PyTorch's DataLoader."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from pnp._arguments import truth, whole_number
from pnp._protocols import SynthesizerLike
from pnp._torch.dtypes import floating_type
from pnp._torch.modes import full_precision, ordinary
from pnp.store import MetricCache
from pnp.store.fitting import check_fits
from pnp.training.answers import conditions_of

__all__ = ["CacheDataset"]

Item = dict[str, Tensor]


class CacheDataset(Dataset[Item]):
    """Sounds of one fold of a cache that have a metric.

    An item is a dictionary of "u" (scaled parameters, (P,)), "theta" (physical values as the synthesizer receives
    them, (D,)), "index" (row in the cache, what `PNPLoss` wants) and, if asked for, "M" (metric, (P, P)) and "x"
    (sound, (N,)), synthesized when it is needed. Where the space has choices or conditions, "choices" are the positions
    of the true options, (K,), and "conditions" the values to hand to the network, (Q,), scaled to [-1, 1]. Parameters
    and metrics are held in memory; whole batches are fetched in one go.

    Args:
        cache: Cache, or the path of one.
        fold: "train", "validation" or "test"; None for all.
        synth: Synthesizer of the cache, for "x"; called without gradient.
        dtype: Type of "u", "theta", "M" and "x".
        metric: Give items an "M". A loss made by `PNPLoss.from_cache` has all metrics itself and needs
            the index alone.

    Raises:
        ValueError: If there is no such fold, or the synthesizer is not that of the cache: other parameters, length,
            sampling rate or settings.

    Examples:
        >>> data = CacheDataset("cache/chirp.h5", fold="train", synth=synth)  # doctest: +SKIP
        >>> for batch in data.loader(64):  # doctest: +SKIP
        ...     loss(encoder(batch["x"]), batch["u"], batch["index"])
    """

    def __init__(
        self,
        cache: MetricCache | str | os.PathLike[str],
        fold: str | None = "train",
        synth: SynthesizerLike | None = None,
        dtype: torch.dtype = torch.float32,
        metric: bool = False,
    ) -> None:
        self.cache = cache if isinstance(cache, MetricCache) else MetricCache(cache)
        dtype, metric = floating_type("dtype", dtype), truth("metric", metric)
        self.fold = fold
        self.synth = synth
        if synth is not None:
            check_fits(self.cache, synth)
        with ordinary():
            self.index = self.cache.rows(fold)
            self._u = self.cache.u[self.index].to(dtype)
            self._theta = self.cache.theta[self.index].to(dtype)
            space = self.cache.space
            self._choices = self.cache.choices[self.index] if space.choices else None
            conditions = conditions_of(self.cache)
            self._conditions = None if conditions is None else conditions[self.index].to(dtype)
            self._metric = self.cache.metric(self.index).matrix.to(dtype) if metric else None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: int) -> Item:
        position = whole_number("item", item)
        if not -len(self) <= position < len(self):
            raise IndexError(f"item {position} is out of range for {len(self)} sounds of fold {self.fold!r}")
        return {name: column[0] for name, column in self.batch([position]).items()}

    def __getitems__(self, items: Sequence[int]) -> list[Item]:
        """Return the items of a batch, synthesized together; DataLoader calls this."""
        columns = self.batch(items)
        return [{name: column[place] for name, column in columns.items()} for place in range(len(items))]

    def loader(
        self,
        batch_size: int,
        *,
        shuffle: bool = True,
        workers: int = 0,
        generator: torch.Generator | None = None,
    ) -> DataLoader[Item]:
        """Loader of batches that are fetched as a whole; several times as fast as one that stacks items.

        Args:
            batch_size: Sounds in a batch; the last one may be smaller.
            shuffle: Draw a new order each epoch.
            workers: Processes that prepare batches; worth it where there is a synthesizer.
            generator: Source of the order.

        Returns:
            Loader of the dictionaries that `batch` returns.

        Raises:
            ValueError: If `batch_size` is not positive.
        """
        batch_size = whole_number("batch_size", batch_size, least=1)
        workers = whole_number("workers", workers, least=0)
        order = RandomSampler(self, generator=generator) if shuffle else SequentialSampler(self)
        whole = _Batches(self)
        return DataLoader(
            whole, sampler=BatchSampler(order, batch_size, False), batch_size=None, num_workers=workers
        )

    def batch(self, items: Sequence[int] | Tensor) -> Item:
        """Several items, stacked.

        Args:
            items: Positions in this fold, (B,).

        Returns:
            "u" (B, P), "theta" (B, D), "index" (B,) and, as chosen, "M" (B, P, P) and "x" (B, N); "choices" (B, K)
            and "conditions" (B, Q) where there are any, without a seed.
        """
        chosen = torch.as_tensor(items)
        columns = {"u": self._u[chosen], "theta": self._theta[chosen], "index": self.index[chosen]}
        if self._choices is not None:
            columns["choices"] = self._choices[chosen]
        if self._conditions is not None:
            columns["conditions"] = self._conditions[chosen]
        if self._metric is not None:
            columns["M"] = self._metric[chosen]
        if self.synth is not None:
            with torch.no_grad(), full_precision(columns["theta"]):
                columns["x"] = self.synth(columns["theta"])
        return columns


class _Batches(Dataset[Item]):
    """A data set whose items are batches: indexed by lists of positions."""

    def __init__(self, sounds: CacheDataset) -> None:
        self._sounds = sounds

    def __getitem__(self, items: Sequence[int]) -> Item:
        return self._sounds.batch(items)
