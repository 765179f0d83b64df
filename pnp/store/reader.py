"""Reading a cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pnp._arguments import file_path
from pnp._torch.modes import ordinary
from pnp.errors import CacheCorrupt, CacheError
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters import ParameterSpace
from pnp.store.header import read_header
from pnp.store.moments import MOST_BLOCKS, mean_squared_distance
from pnp.store.opening import open_cache
from pnp.store.rows import Rows, is_index, row_numbers
from pnp.store.schema import FOLDS, CacheHeader, Status
from pnp.store.sealed import SealedRows


class MetricCache:
    """A cache of metrics, opened for reading.

    Rows that a running precomputation adds later are seen when the file is opened again. An instance can be
    pickled and used in forked or spawned workers: every process opens the file for itself.

    Args:
        path: File made by `pnp.precompute` or `pnp merge`.

    Raises:
        FileNotFoundError: If there is no such file.
        CacheError: If it is not a metric cache, or of a newer schema.
        CacheCorrupt: If it is cut short or damaged.

    Examples:
        >>> cache = MetricCache("cache/chirp.h5")  # doctest: +SKIP
        >>> cache.metrics().condition.median()  # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = file_path("the path of a cache", path).absolute()
        self._handle: h5py.File | None = None
        self._process = -1
        self._header: CacheHeader = read_header(self._file(), str(self._path))
        self._selection: ParameterSpace | None = None
        self._sealed: SealedRows | None = None
        self._done = np.zeros(self._header.n_blocks, bool)
        self._done = self._rows_sealed().done

    # -- life of the handle ----------------------------------------------------------------------------------

    def _file(self) -> h5py.File:
        if self._handle is None or self._process != os.getpid():
            # After a fork the inherited handle shares its file position with the parent's.
            self.close()
            self._handle, self._process = open_cache(self._path), os.getpid()
        return self._handle

    def _rows_sealed(self) -> SealedRows:
        if self._sealed is None:
            self._sealed = SealedRows(self._header, self._file(), self._path)
            if (self._done & ~self._sealed.done).any():
                raise CacheCorrupt(
                    f"{self._path} is another file than the one that was opened; open it again."
                )
        return self._sealed

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def __enter__(self) -> MetricCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # Columns that were read already are left out: the other process has the file.
        kept = ("_path", "_header", "_selection", "_done")
        empty = {"_handle": None, "_process": -1, "_sealed": None}
        return {name: self.__dict__[name] for name in kept} | empty

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def header(self) -> CacheHeader:
        """Sizes, provenance and layout."""
        return self._header

    @property
    def space(self) -> ParameterSpace:
        """Parameters that are predicted, and conditions; `select` leaves out some."""
        return self._header.space if self._selection is None else self._selection

    @property
    def synth_space(self) -> ParameterSpace:
        """Parameter space of the synthesizer, with all columns of `theta`; `select` leaves out some in `space`."""
        return self._header.space

    @property
    def config(self) -> dict[str, Any]:
        """Everything that determined the numbers: synthesizer, features, design, precision."""
        return dict(self._header.config)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the configuration, and of the selection where there is one."""
        if self._selection is None:
            return self._header.fingerprint
        names = [parameter.name for parameter in (*self.space, *self.space.choices)]
        return hashlib.sha256(f"{self._header.fingerprint}:{','.join(names)}".encode()).hexdigest()

    @property
    def stored(self) -> tuple[str, ...]:
        """Optional datasets that the file keeps, of "S" and "J"."""
        return self._header.store

    def __len__(self) -> int:
        return self._header.n_rows

    def __repr__(self) -> str:
        path, ok = str(self._path), int(self.ok.sum())
        return f"{type(self).__name__}({path!r}, rows={len(self)}, ok={ok}, P={len(self.space)})"

    # -- columns ---------------------------------------------------------------------------------------------

    @cached_property
    @ordinary()
    def id(self) -> Int[Tensor, " N"]:
        """Row of the whole design, (N,); differs from the row number in a shard."""
        return self._column("id")

    @cached_property
    @ordinary()
    def u(self) -> Float[Tensor, "N P"]:
        """Scaled parameters in [-1, 1], (N, P), float64."""
        return self._of_selection(self._column("u"))

    @cached_property
    @ordinary()
    def theta(self) -> Float[Tensor, "N D"]:
        """Physical values as the synthesizer receives them, (N, D), float64: parameters, choices, conditions."""
        space, parameters = self._header.space, self._column("theta")
        names = [name for name in ("choices", "conditions") if getattr(space, name)]
        if not names:
            return parameters
        return torch.cat([parameters, *(self._column(name).double() for name in names)], dim=1)

    @cached_property
    @ordinary()
    def design(self) -> Float[Tensor, "N D"]:
        """All columns of `theta`, scaled to [-1, 1], (N, D), float64."""
        space, u = self._header.space, self._column("u")
        if len(space.columns) == len(space):
            return u
        return torch.cat([u, space.to_unit(self.theta)[:, len(space) :]], dim=1)

    @cached_property
    @ordinary()
    def choices(self) -> Int[Tensor, "N K"]:
        """Positions of the true options, (N, K)."""
        if not self.space.choices:
            return torch.empty(len(self), 0, dtype=torch.long)
        names = [choice.name for choice in self._header.space.choices]
        return self._column("choices")[:, [names.index(choice.name) for choice in self.space.choices]]

    @cached_property
    @ordinary()
    def conditions(self) -> Float[Tensor, "N Q"]:
        """Physical values of the conditions, (N, Q), float64."""
        if not self._header.space.conditions:
            return torch.empty(len(self), 0, dtype=torch.float64)
        return self._column("conditions")

    @cached_property
    @ordinary()
    def choice_distances(self) -> dict[str, Float[Tensor, "N options"]]:
        """Squared feature distances to each option, by the name of the choice, (N, options), float64.

        Zero at the true option; NaN in rows without a metric.
        """
        if not self.space.choices:
            return {}
        choices = self._header.space.choices
        stored = self._column("choice_distances").masked_fill_(~self.ok[:, None], torch.nan)
        parts = stored.split([len(choice.choices) for choice in choices], dim=1)
        every = {choice.name: part for choice, part in zip(choices, parts, strict=True)}
        return {choice.name: every[choice.name] for choice in self.space.choices}

    def select(self, names: Iterable[str]) -> MetricCache:
        """Return a view of the cache with fewer predicted parameters and choices, for training.

        Sounds stay as they are, and so does `theta`. What is left out varies in them and is not predicted.
        The metric of a selection holds the rows and columns of M that belong to it: JᵀJ for those columns of J.

        Args:
            names: Names of the parameters and choices to keep; they keep their order in this space.

        Returns:
            A cache whose `space`, `u`, metrics, Jacobians and choices are about those alone.

        Raises:
            ValueError: If a name is unknown or a condition, or no parameter with a metric is left.
        """
        view = type(self)(self._path)
        view._selection = self.space.select(names)
        return view

    @cached_property
    @ordinary()
    def fold(self) -> Int[Tensor, " N"]:
        """Fold of every row, (N,): 0 train, 1 validation, 2 test."""
        return self._column("fold").long()

    @cached_property
    @ordinary()
    def status(self) -> Int[Tensor, " N"]:
        """Status of every row, (N,): 0 pending, 1 ok, others failed; see `pnp.store.Status`."""
        done = torch.from_numpy(np.repeat(self._done, self._header.block)[: len(self)])
        # Rows of an unsealed block may be half written, whatever they say.
        return torch.where(done, self._column("status").long(), int(Status.PENDING))

    @cached_property
    @ordinary()
    def ok(self) -> Bool[Tensor, " N"]:
        """Mask of the rows that have a metric, (N,)."""
        return self.status == Status.OK

    def rows(self, fold: str | None = None) -> Int[Tensor, " n"]:
        """Row numbers that have a metric.

        Args:
            fold: "train", "validation" or "test"; None for all.

        Returns:
            Ascending row numbers, (n,).

        Raises:
            ValueError: If there is no such fold.
        """
        if fold is None:
            return self.ok.nonzero().squeeze(1)
        if fold not in FOLDS:
            raise ValueError(f"fold must be one of {', '.join(map(repr, FOLDS))}, got {fold!r}")
        return (self.ok & (self.fold == FOLDS.index(fold))).nonzero().squeeze(1)

    @cached_property
    @ordinary()
    def failures(self) -> dict[int, str]:
        """Row number and reason of every sound that failed."""
        failed = (self.status > Status.OK).nonzero().squeeze(1).tolist()
        reasons = self._read("reason") if failed else np.empty(0)
        return {row: reasons[row].decode(errors="replace") for row in failed}

    @cached_property
    def mean_squared_distance(self) -> float | None:
        """Mean of ‖S − S′‖² over pairs of sounds of the training fold, d².

        A file of schema version 3 keeps it whatever else it keeps; from an earlier one it is computed from about a
        thousand features. None for an earlier file without features, and for fewer than two sounds.
        """
        if self._header.summaries:
            return mean_squared_distance(self._read("moments")[self._moments_done()])
        rows = self.rows("train")
        if "S" not in self.stored or len(rows) < 2:
            return None
        return 2 * float(self.features(rows[:: max(1, len(rows) // MOST_BLOCKS)]).double().var(0).sum())

    # -- rows ------------------------------------------------------------------------------------------------

    def metrics(self) -> RiemannianMetric:
        """Metrics of all rows in one go, batch shape (N,).

        Rows without one (failed or pending) are NaN: `RiemannianMetric.valid` is False there.

        Returns:
            Metric on the CPU, float64.
        """
        return RiemannianMetric.from_factor(self._factors)

    def metric(self, rows: Rows) -> RiemannianMetric:
        """Metric of some rows.

        Args:
            rows: A row number, or a slice or sequence of them.

        Returns:
            Metric with batch shape () for one row, else (n,).

        Raises:
            IndexError: If a row is out of range.
            CacheError: If a row has no metric, because its sound failed or is still to be computed.
        """
        factors = self._factors[self._checked(rows)]
        return RiemannianMetric.from_factor(factors[0] if is_index(rows) else factors)

    def factors(self, rows: Rows) -> Float[Tensor, "..."]:
        """Factors R of some rows, M = RᵀR, read from the file; unlike `metric`, nothing is kept in memory.

        Args:
            rows: A row number, or a slice or sequence of them.

        Returns:
            (P, P) for one row, else (n, P, P), float64.

        Raises:
            IndexError: If a row is out of range.
            CacheError: If a row has no metric.
        """
        return self._selected_factors(self._read_rows("R", rows))

    def features(self, rows: Rows) -> Float[Tensor, "..."]:
        """Features S of some rows, read from the file.

        Args:
            rows: A row number, or a slice or sequence of them.

        Returns:
            (C,) for one row, else (n, C), in the type they are stored in.

        Raises:
            IndexError: If a row is out of range.
            CacheError: If the file keeps no features, or a row has none.
        """
        return self._stored_rows("S", rows)

    def jacobian(self, rows: Rows) -> Float[Tensor, "..."]:
        """Jacobians dS/du of some rows, read from the file.

        Args:
            rows: A row number, or a slice or sequence of them.

        Returns:
            (C, P) for one row, else (n, C, P), in the type they are stored in.

        Raises:
            IndexError: If a row is out of range.
            CacheError: If the file keeps no Jacobians, or a row has none.
        """
        return self._of_selection(self._stored_rows("J", rows))

    def _column(self, name: str) -> Tensor:
        return torch.from_numpy(self._read(name))

    def _read(self, name: str) -> np.ndarray:
        return self._rows_sealed().column(self._file(), name)

    @cached_property
    @ordinary()
    def _factors(self) -> Tensor:
        factors = self._column("R").masked_fill_(~self.ok[:, None, None], torch.nan)
        if self._selection is None:
            return factors
        P = len(self.space)
        return factors.new_full((len(self), P, P), torch.nan).index_put_(
            (self.ok,), self._selected_factors(factors[self.ok])
        )

    def _selected_factors(self, factors: Tensor) -> Tensor:
        """Return the factors R of the selected parameters, from those of all."""
        if self._selection is None:
            return factors
        # Columns of R have the inner products of those of J.
        return RiemannianMetric.from_jacobian(self._of_selection(factors)).factor

    def _of_selection(self, columns: Tensor) -> Tensor:
        """Return the last axis for the selected parameters alone."""
        if self._selection is None:
            return columns
        return columns[..., [self._header.space.column(name) for name in self._selection.names]].contiguous()

    def _moments_done(self) -> np.ndarray:
        (moments,) = self._header.summaries
        return np.repeat(self._done, np.diff(self._header.starts(moments)))

    def _stored_rows(self, name: str, rows: Rows) -> Tensor:
        if name not in self.stored:
            kept = f"metrics and {' and '.join(self.stored)}" if self.stored else "metrics alone"
            raise CacheError(
                f"{self._path} keeps {kept}, and {name} is asked for; precompute it again with "
                f"store={'features' if name == 'S' else 'jacobian'!r}."
            )
        return self._read_rows(name, rows)

    def _read_rows(self, name: str, rows: Rows) -> Tensor:
        wanted = self._checked(rows).numpy()
        # HDF5 selects rows in ascending order, each once.
        unique, inverse = np.unique(wanted, return_inverse=True)
        data = self._rows_sealed().rows(self._file(), name, unique)
        if not np.array_equal(inverse, np.arange(len(data))):
            data = data[inverse]
        return torch.from_numpy(data[0] if is_index(rows) else data)

    def _checked(self, rows: Rows) -> Tensor:
        wanted = row_numbers(rows, len(self))
        missing = wanted[~self.ok[wanted]]
        if len(missing):
            row = int(missing[0])
            why = (
                f"its sound failed ({self.failures[row]})"
                if row in self.failures
                else "it is still to be computed; run the same `pnp precompute` to go on"
            )
            raise CacheError(f"row {row} of {self._path} has no metric: {why}.")
        return wanted
