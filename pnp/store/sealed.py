"""Rows of a cache, checked against the seals of their blocks as they are read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NoReturn

import h5py
import numpy as np

from pnp.errors import CacheCorrupt
from pnp.store.schema import DAMAGE, CacheHeader, Column, done_blocks
from pnp.store.sources import shards_of


class SealedRows:
    """Reader of rows that are what was written, or an error.

    A block of a dataset is hashed when it is read for the first time, and its rows are then read without. In a merged
    cache every read is hashed: HDF5 gives a fill value for the rows of a shard that was removed meanwhile, or that it
    cannot open because too many files are open. Rows of blocks that are not done have no seal, and are not checked.

    Args:
        header: Header of the cache.
        file: The open file.
        path: Its name, for messages.

    Raises:
        CacheCorrupt: If a seal is damaged, or one is missing in a merged file.
    """

    def __init__(self, header: CacheHeader, file: h5py.File, path: Path) -> None:
        self._header = header
        self._path = path
        self._merged = bool(file["seal"].is_virtual)
        self.done = np.zeros(header.n_blocks, bool)
        try:
            # Seals first: where there is one, its checksums are on the disk, also beside a running writer.
            seals = file["seal"][...]
            self._checksums = file["checksum"][...]
        except DAMAGE as error:
            raise CacheCorrupt(f"{path}: its seals cannot be read; it is damaged ({error}).") from error
        self.done[sorted(done_blocks(header, seals, self._checksums))] = True
        # Only finished shards are merged.
        sealed = np.full(len(seals), self._merged) | seals.any(axis=1)
        damaged = np.flatnonzero(sealed & ~self.done)
        if len(damaged):
            self._refuse(file, "seal", int(damaged[0]))
        self._place = {column.name: place for place, column in enumerate(header.digested)}
        # Blocks of each dataset whose rows need no further check.
        self._passed = np.repeat(~self.done[None], len(self._place), axis=0)

    def column(self, file: h5py.File, name: str) -> np.ndarray:
        """All rows of a dataset.

        Raises:
            CacheCorrupt: If they are not what was written.
        """
        column = self._header.digested[self._place[name]]
        data = self._read(file, column, slice(0, self._header.length(column)))
        starts = self._header.starts(column).tolist()
        for block in np.flatnonzero(~self._passed[self._place[name]]).tolist():
            self._check(file, column, block, data[starts[block] : starts[block + 1]])
        return data

    def rows(self, file: h5py.File, name: str, wanted: np.ndarray) -> np.ndarray:
        """Some rows of a dataset that has a row for each sound.

        Args:
            file: The open file.
            name: The dataset.
            wanted: Row numbers, ascending, each once.

        Returns:
            The rows, (n, ...).

        Raises:
            CacheCorrupt: If they are not what was written.
        """
        column = self._header.digested[self._place[name]]
        data = np.empty((len(wanted), *column.shape), column.dtype)
        blocks = wanted // self._header.block
        for first, last in _runs(wanted):
            # As many rows in one read as follow each other; a block that is to be checked is read whole.
            start, stop = int(wanted[first]), int(wanted[last]) + 1
            unchecked = ~self._passed[self._place[name], blocks[first] : blocks[last] + 1]
            low = self._header.rows(int(blocks[first])).start if unchecked[0] else start
            high = self._header.rows(int(blocks[last])).stop if unchecked[-1] else stop
            read = self._read(file, column, slice(low, high))
            for block in int(blocks[first]) + np.flatnonzero(unchecked):
                rows = self._header.rows(int(block))
                self._check(file, column, int(block), read[rows.start - low : rows.stop - low])
            data[first : last + 1] = read[start - low : stop - low]
        return data

    def _read(self, file: h5py.File, column: Column, rows: slice) -> np.ndarray:
        try:
            data: np.ndarray = file[column.name][rows]
            return data
        except DAMAGE as error:
            where = f"{self._path}: rows {rows.start} to {rows.stop - 1} of dataset {column.name!r} cannot be read"
            why = (
                "one of its shards was removed, replaced or damaged"
                if self._merged
                else "the file is damaged"
            )
            raise CacheCorrupt(f"{where}; {why} ({' '.join(str(error).split())}).") from error

    def _check(self, file: h5py.File, column: Column, block: int, data: np.ndarray) -> None:
        place = self._place[column.name]
        digest = hashlib.sha256(np.ascontiguousarray(data).data).digest()
        if digest != self._checksums[block, place].tobytes():
            self._refuse(file, column.name, block)
        # What a shard had is not what it will have.
        self._passed[place, block] = not self._merged

    def _refuse(self, file: h5py.File, name: str, block: int) -> NoReturn:
        rows = self._header.rows(block)
        where = f"{self._path}: rows {rows.start} to {rows.stop - 1} of dataset {name!r}"
        if self._merged:
            shard = self._shard_of(file, rows.start)
            raise CacheCorrupt(
                f"{where} are not what was merged: {shard} was removed, replaced or damaged, or cannot be opened "
                "because this process has too many files open."
            )
        raise CacheCorrupt(
            f"{where} do not match their checksum; the file is damaged: restore it from a copy, or compute it again. "
            "`pnp verify` lists all damage."
        )

    def _shard_of(self, file: h5py.File, row: int) -> str:
        shards = shards_of(file, Path(file.filename))
        for shard, source in zip(shards, file["id"].virtual_sources(), strict=True):
            bounds = source.vspace.get_select_bounds()
            if bounds[0][0] <= row <= bounds[1][0]:
                return str(shard)
        return "one of its shards"


def _runs(numbers: np.ndarray) -> list[tuple[int, int]]:
    """First and last position of each run of consecutive numbers."""
    if not len(numbers):
        return []
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    return list(zip([0, *(breaks + 1).tolist()], [*breaks.tolist(), len(numbers) - 1], strict=True))
