"""Writing a cache so that a killed process, a full disk or a second writer costs at most the block in flight.

The HDF5 library is a poor companion for a process that may die at any moment: it keeps metadata (chunk
indices, the end of the file) in memory, and a kill between two of its flushes leaves a file that cannot be
opened. It is therefore used once, to lay the file out. Every dataset has a fixed shape and no filter and is
allocated in full; HDF5 then stores its chunks one after another ("implicit index"), so that row r begins at a
fixed offset. The finished layout is moved into place in one step. From there on blocks are written as plain
bytes at those offsets. No metadata ever changes again, so the file opens at any moment, for any reader, and
its bytes depend on nothing but its content. What a filter makes of a block has no size known in advance, so
compression comes last: a copy of the finished file, moved into its place in one step.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import h5py
import numpy as np

from pnp._files import replacing
from pnp.errors import CacheBusy, CacheCorrupt, CacheError
from pnp.store.compression import check_compression, is_compressed, write_compressed
from pnp.store.hdf5 import new_file
from pnp.store.header import read_header
from pnp.store.integrity import EXACT, check_integrity
from pnp.store.lock import WriterLock
from pnp.store.moments import moments_of
from pnp.store.opening import open_cache
from pnp.store.schema import (
    FOLDS,
    CacheHeader,
    Column,
    Status,
    cache_bytes,
    digest_rows,
    done_blocks,
    write_attributes,
    write_description,
)

# Attributes, object headers and rounding of chunks, on top of the datasets themselves.
_OVERHEAD_BYTES = 1 << 18


class CacheWriter:
    """The one writer of a cache: creates the file or continues it, block by block.

    Use as a context manager; the writer's lock is held from entry to exit.

    Args:
        path: The cache.
        header: Description of the file to make.
        known: Columns that are known from the start, those of `header.known`, (n_rows, ...) each.
        compression: "none", or "gzip" for a disk on which `compress` is to be possible.

    Raises:
        ValueError: If the compression is unknown, or a column has the wrong shape.
        CacheBusy: If another process is writing the file.
        CacheConfigMismatch: If the file exists and was made with another configuration.
        CacheError: If the disk is too small, or the file there is no cache.
        PermissionError: If file or directory cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: CacheHeader,
        known: Mapping[str, np.ndarray],
        compression: str = "none",
    ) -> None:
        check_compression(compression)
        self.path = Path(path)
        self.header = header
        self.compression = compression
        self._known = {column.name: _as_column(column, known[column.name]) for column in header.known}
        # A draft must take the place of the file itself, not that of a symbolic link to it.
        self._place = Path(os.path.realpath(self.path))
        self._lock = WriterLock(self.path)
        self._offsets: dict[str, int] = {}
        self._stream: BinaryIO | None = None
        self.done: set[int] = set()
        self._reopened: set[int] = set()
        self._is_plain = True

    def __enter__(self) -> CacheWriter:
        self._make_directory()
        try:
            self._lock.__enter__()
        except PermissionError as error:
            raise PermissionError(
                f"cannot write in {self.path.parent}: {error.strerror}; choose another directory."
            ) from error
        try:
            if not self.path.exists():
                self._create()
            self._open()
        except BaseException as error:
            self._lock.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._stream is not None:
                self._flush()
                self._stream.close()
                self._stream = None
        finally:
            self._lock.__exit__(kind, error, trace)

    @property
    def pending(self) -> list[int]:
        """Blocks still to be computed, in order."""
        return [block for block in range(self.header.n_blocks) if block not in self.done]

    def reopen(self, blocks: Iterable[int]) -> None:
        """Make finished blocks pending, so that they are computed again.

        Each keeps what it has until it is written again.

        Args:
            blocks: Numbers of blocks.

        Raises:
            CacheError: If the file was merged or compressed.
        """
        again = self.done & set(blocks)
        if not again:
            return
        self.done -= again
        self._reopened |= again
        self._prepare()

    def write_block(self, block: int, columns: Mapping[str, np.ndarray]) -> None:
        """Write one block and seal it.

        The seal is written only once the data are on the disk; without it the block counts as never computed.

        Args:
            block: Number of the block in this file.
            columns: Rows of every column that is not known from the start, (rows, ...) each. "S" is needed whether it
                is kept or not, for its moments; or these themselves.

        Raises:
            ValueError: If a column is missing or has the wrong shape.
            CacheError: If the disk refuses the data.
        """
        columns = {**columns, **self._summaries(block, columns)}
        checksums = []
        table, seal = self.header.bookkeeping
        try:
            if block in self._reopened:
                # Sealed until its own bytes change, and not while they do.
                self._put(seal, block, np.zeros(seal.shape, seal.dtype))
                self._flush()
            for column in self.header.digested:
                rows = self.header.part(column, block)
                if column.name in self._known:
                    data = self._known[column.name][rows]
                else:
                    data = _as_column(column, _given(columns, column.name))
                    if len(data) != rows.stop - rows.start:
                        expected = rows.stop - rows.start
                        raise ValueError(
                            f"block {block} has {expected} rows, got {len(data)} of {column.name!r}"
                        )
                    self._put(column, rows.start, data)
                checksums.append(digest_rows(data))
            self._put(table, block, np.stack(checksums))
            self._flush()
            self._put(seal, block, self.header.seal(block, np.stack(checksums)))
        except OSError as error:
            raise CacheError(
                f"cannot write block {block} of {self.path}: {error.strerror}; all blocks before it are "
                "safe, and the same command resumes there."
            ) from error
        self.done.add(block)

    def _summaries(self, block: int, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Moments of the features of a block, from the features as computed, where they are to be kept."""
        found = {}
        for column in self.header.summaries:
            rows = self.header.part(column, block)
            if column.name not in columns:
                counted = (_given(columns, "status") == Status.OK) & (
                    self._known["fold"][self.header.rows(block)] == FOLDS.index("train")
                )
                features = np.asarray(_given(columns, "S"))
                if features.shape != (len(counted), self.header.n_features):
                    expected = (len(counted), self.header.n_features)
                    raise ValueError(f"block {block} has features of shape {expected}, got {features.shape}")
                found[column.name] = moments_of(features, counted)[None][: rows.stop - rows.start]
        return found

    @property
    def bytes_needed(self) -> int:
        """Bytes of disk that a new file takes at most; at the end a compressed copy lies beside the plain file."""
        return (cache_bytes(self.header) + _OVERHEAD_BYTES) * (2 if self.compression != "none" else 1)

    def compress(self) -> None:
        """Replace the finished file by a compressed copy, if it is still plain.

        The copy is flushed to the disk and verified before it takes the plain file's place: a process that is
        killed meanwhile leaves a finished, plain cache.

        Raises:
            CacheError: If blocks are pending, or the disk refuses the copy; the plain file stays.
            CacheCorrupt: If the copy does not verify; the plain file stays.
        """
        if self.pending:
            raise CacheError(f"{self.path} cannot be compressed before its last {len(self.pending)} blocks.")
        if not self._is_plain:
            return
        try:
            with replacing(self._place) as draft:
                with open_cache(self.path) as source:
                    write_compressed(source, self.header, draft)
                report = check_integrity(draft)
                if not report.ok:
                    raise CacheCorrupt(
                        f"{self.path}: its compressed copy does not verify ({report.problems[0]}); the plain "
                        "file is kept, see what `pnp verify` says about it."
                    )
        except CacheError:
            raise
        except (OSError, RuntimeError) as error:
            # HDF5 puts file descriptors and addresses into its messages.
            number = getattr(error, "errno", None)
            why = os.strerror(number) if number else " ".join(str(error).split())
            raise CacheError(
                f"cannot compress {self.path}: {why}; it is finished, and stays as it is."
            ) from error
        self._is_plain = False

    def _make_directory(self) -> None:
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(f"cannot make the directory {self.path.parent}: {error.strerror}.") from error

    def _create(self) -> None:
        needed = self.bytes_needed
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise CacheError(_too_small(self.path, needed, free))
        try:
            # The lock is ours, so a draft that is there already is what a killed writer left.
            with replacing(self._place) as draft:
                with new_file(draft) as (file, _):
                    _lay_out(file, self.header)
                    for name, data in self._known.items():
                        file[name][...] = data
                if hasattr(os, "posix_fallocate"):
                    with draft.open("r+b", buffering=0) as stream:
                        # Claims the disk space now, rather than running out of it overnight.
                        os.posix_fallocate(stream.fileno(), 0, draft.stat().st_size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise CacheError(_too_small(self.path, needed, free)) from error
            if isinstance(error, PermissionError):
                raise
            raise CacheError(f"cannot create {self.path}: {error.strerror or error}.") from error

    def _open(self) -> None:
        with open_cache(self.path) as file:
            stored = read_header(file, str(self.path))
            self.header.check_same(stored, str(self.path))
            self.header = stored
            self._check_known(file)
            self.done = done_blocks(stored, file["seal"][...], file["checksum"][...])
            self._is_plain = not (file["M"].is_virtual or is_compressed(file))
        if self.pending:
            self._prepare()

    def _prepare(self) -> None:
        """Find the places of all rows in the file, and open it for writing."""
        if self._stream is not None:
            return
        with open_cache(self.path) as file:
            self._offsets = {
                column.name: _offset(file[column.name], column, self.path)
                for column in self.header.datasets
                if self.header.length(column)
            }
        names = self.path.stat().st_nlink
        if names > 1:
            raise CacheBusy(
                f"{self.path} is one of {names} names of the same file (hard links), and another process may be "
                "writing it under another name; copy the file and continue the copy, or remove the other names."
            )
        try:
            self._stream = self.path.open("r+b", buffering=0)
        except PermissionError as error:
            raise PermissionError(f"cannot write {self.path}: {error.strerror}; it is read-only.") from error

    def _check_known(self, file: h5py.File) -> None:
        for name, data in self._known.items():
            stored = file[name][...]
            # A mathematical library rounds by the processor that it finds, and a run may go on on another.
            if not (stored.shape == data.shape and np.allclose(stored, data, rtol=EXACT, atol=EXACT)):
                raise CacheCorrupt(
                    f"{self.path}: dataset {name!r} is not what its configuration gives; the file is "
                    "damaged, or was begun with other library versions. Delete it to start over."
                )

    def _put(self, column: Column, row: int, data: np.ndarray) -> None:
        assert self._stream is not None
        if not len(data):
            return
        self._stream.seek(self._offsets[column.name] + row * column.row_bytes)
        view = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
        while view:
            view = view[self._stream.write(view) :]

    def _flush(self) -> None:
        assert self._stream is not None
        os.fsync(self._stream.fileno())


def _given(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in columns:
        raise ValueError(f"a block needs the column {name!r}, got {', '.join(columns)}")
    return columns[name]


def _as_column(column: Column, data: np.ndarray) -> np.ndarray:
    if data.shape[1:] != column.shape:
        raise ValueError(f"a row of {column.name!r} has shape {column.shape}, got {data.shape[1:]}")
    return np.ascontiguousarray(data, dtype=column.dtype)


def _lay_out(file: h5py.File, header: CacheHeader) -> None:
    write_attributes(file, header.attributes())
    for column in header.datasets:
        rows = header.length(column)
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if rows:
            plan.set_chunk((header.chunk_rows(column), *column.shape))
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        plan.set_obj_track_times(False)
        kind = h5py.h5t.py_create(np.dtype(column.dtype), logical=True)
        space = h5py.h5s.create_simple((rows, *column.shape))
        dataset = h5py.Dataset(h5py.h5d.create(file.id, column.name.encode(), kind, space, plan))
        write_description(dataset, column, header)


def _offset(dataset: h5py.Dataset, column: Column, path: Path) -> int:
    """Return the place of row 0 in the file, after a check that all other rows follow."""
    linear = dataset.chunks is not None and dataset.chunks[1:] == column.shape and not dataset.is_virtual
    if linear and dataset.id.get_create_plist().get_nfilters() == 0:
        count = dataset.id.get_num_chunks()
        first, last = dataset.id.get_chunk_info(0), dataset.id.get_chunk_info(count - 1)
        expected = -(-dataset.shape[0] // dataset.chunks[0])
        size = dataset.chunks[0] * column.row_bytes
        if count == expected and last.byte_offset - first.byte_offset == (count - 1) * size:
            return int(first.byte_offset)
    raise CacheError(f"{path} cannot be continued: it was merged or compressed.")


def _too_small(path: Path, needed: int, free: int) -> str:
    return (
        f"{path} needs {needed / 1e9:.3g} GB and the disk has {free / 1e9:.3g} GB free; store less "
        "(store='metric' keeps neither features nor Jacobians), or choose another disk."
    )
