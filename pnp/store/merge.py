"""Merging of shards into one cache."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from pnp._files import replacing
from pnp.errors import CacheConfigMismatch, CacheCorrupt, CacheError
from pnp.store.compression import LIBVER, is_compressed
from pnp.store.lock import WriterLock
from pnp.store.opening import open_cache
from pnp.store.provenance import differences
from pnp.store.schema import (
    CacheHeader,
    digest_rows,
    done_blocks,
    read_header,
    write_attributes,
    write_description,
)
from pnp.store.writer import CacheWriter

# Without its open file: a system may allow fewer open files than there are shards.
_Shard = tuple[Path, CacheHeader]


def merge(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    copy: bool = False,
) -> CacheHeader:
    """Join the shards of one design into one cache.

    Args:
        paths: Shards, in any order, or the one there is; together they must hold the whole design, each row once.
        out: The cache to make.
        copy: Copy all rows into one standalone file, with the bytes of a run without shards, compressed if
            the shards are. Otherwise `out` is a small file of HDF5 virtual datasets, which refer to the
            shards by relative paths.

    Returns:
        Header of the merged cache.

    Raises:
        FileNotFoundError: If a shard is missing.
        CacheConfigMismatch: If the shards come from different designs; the message names the differences.
        CacheError: If rows are missing, twice there or still to be computed, or `out` exists.
        CacheCorrupt: If a shard is damaged.
    """
    out = Path(out)
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    if not paths:
        raise ValueError("merge needs at least one shard, got none")
    if out.exists():
        raise CacheError(f"{out} exists already; choose another file for the merged cache, or delete it.")
    shards = sorted(map(_read, map(Path, paths)), key=lambda shard: shard[1].first_row)
    _check_fit(shards)
    first = shards[0][1]
    header = replace(first, n_rows=int(first.config["size"]), first_row=0, shard=(0, 1))
    if copy:
        _copy(shards, header, out)
    else:
        _link(shards, header, out)
    return header


def _read(path: Path) -> _Shard:
    with open_cache(path) as file:
        return path, read_header(file, str(path))


def _check_fit(shards: Sequence[_Shard]) -> None:
    first_path, first = shards[0]
    row = 0
    for path, header in shards:
        found = differences(first.config, header.config)
        if found:
            raise CacheConfigMismatch(
                f"{path} is of another design than {first_path}: "
                + "; ".join(found).replace("the file has", "the first has").replace("asked", "this has")
            )
        if header.first_row != row:
            problem = "are missing" if header.first_row > row else "are there twice"
            low, high = sorted((row, header.first_row))
            raise CacheError(f"rows {low} to {high - 1} {problem}, before {path}; merge each shard once.")
        with open_cache(path) as file:
            pending = header.n_blocks - len(done_blocks(header, file))
        if pending:
            raise CacheError(
                f"{path} has {pending} blocks still to be computed; run its command again first."
            )
        row += header.n_rows
    size = int(first.config["size"])
    if row != size:
        raise CacheError(f"rows {row} to {size - 1} are missing; give all shards of the design.")


def _copy(shards: Sequence[_Shard], header: CacheHeader, out: Path) -> None:
    parts, packed = list[dict[str, np.ndarray]](), True
    for path, _ in shards:
        with open_cache(path) as file:
            parts.append({name: file[name][...] for name in ("id", "fold", "theta", "u")})
            packed = packed and is_compressed(file)
    known = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    compression = "gzip" if packed else "none"
    with CacheWriter(out, header, known, compression) as writer:
        for path, part in shards:
            with open_cache(path) as file:
                for block in range(part.n_blocks):
                    columns = _checked_block(path, part, file, block)
                    writer.write_block(part.first_row // part.block + block, columns)
        if compression != "none":
            writer.compress()


def _checked_block(path: Path, part: CacheHeader, file: h5py.File, block: int) -> dict[str, np.ndarray]:
    rows = part.rows(block)
    columns = {column.name: file[column.name][rows] for column in part.columns}
    for column, checksum in zip(part.columns, file["checksum"][block], strict=True):
        if not np.array_equal(digest_rows(columns[column.name]), checksum):
            raise CacheCorrupt(
                f"{path}: rows {rows.start} to {rows.stop - 1} of dataset {column.name!r} do not match their "
                "checksum; compute this shard again."
            )
    return columns


def _link(shards: Sequence[_Shard], header: CacheHeader, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        WriterLock(out),
        replacing(out) as draft,
        h5py.File(draft, "w", libver=LIBVER, locking=False) as file,
    ):
        write_attributes(file, header.attributes())
        for column in (*header.columns, *header.bookkeeping):
            per_block = column in header.bookkeeping
            total = header.n_blocks if per_block else header.n_rows
            layout = h5py.VirtualLayout((total, *column.shape), np.dtype(column.dtype))
            for path, part in shards:
                start = part.first_row // part.block if per_block else part.first_row
                n_rows = part.n_blocks if per_block else part.n_rows
                target = os.path.relpath(path.absolute(), out.absolute().parent)
                layout[start : start + n_rows] = h5py.VirtualSource(
                    target, column.name, shape=(n_rows, *column.shape)
                )
            write_description(file.create_virtual_dataset(column.name, layout), column, header)
