"""Merging of shards into one cache."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from pnp._arguments import file_path, shown
from pnp._files import replacing
from pnp.errors import CacheConfigMismatch, CacheCorrupt, CacheError
from pnp.store.compression import is_compressed
from pnp.store.hdf5 import new_file
from pnp.store.header import read_header
from pnp.store.lock import WriterLock
from pnp.store.opening import open_cache
from pnp.store.provenance import differences
from pnp.store.schema import (
    DAMAGE,
    CacheHeader,
    digest_rows,
    done_blocks,
    write_attributes,
    write_description,
)
from pnp.store.sources import escaped, relative_source
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
            shards by relative paths; every row is read once to check it. A copy that was killed is continued by
            the same call.

    Returns:
        Header of the merged cache.

    Raises:
        FileNotFoundError: If a shard is missing.
        CacheConfigMismatch: If the shards come from different designs; the message names the differences.
        CacheError: If rows are missing, twice there or still to be computed, or `out` exists.
        CacheCorrupt: If a shard is damaged.
    """
    out = file_path("out", out)
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    if not isinstance(paths, Sequence):
        raise TypeError(f"merge takes the paths of shards, got {shown(paths)}")
    paths = [file_path("each shard", path) for path in paths]
    if not paths:
        raise ValueError("merge needs at least one shard, got none")
    if out.exists() and not copy:
        raise CacheError(_exists(out))
    shards = sorted(map(_read, map(Path, paths)), key=lambda shard: shard[1].first_row)
    _check_fit(shards)
    first = shards[0][1]
    version = min(part.schema_version for _, part in shards)
    header = replace(
        first, n_rows=int(first.config["size"]), first_row=0, shard=(0, 1), schema_version=version
    )
    if copy:
        _copy(shards, header, out)
    else:
        for path, part in shards:
            if part.digested != header.digested:
                raise CacheError(
                    f"{path} is of schema version {part.schema_version} and another shard of {version}, which keeps "
                    "other datasets; merge them with `--copy`."
                )
            with open_cache(path) as file:
                for block in range(part.n_blocks):
                    _checked_block(path, part, file, block)
        _link(shards, header, out)
    return header


def _exists(out: Path) -> str:
    return f"{out} exists already; choose another file for the merged cache, or delete it."


def _read(path: Path) -> _Shard:
    with open_cache(path) as file:
        return path, read_header(file, str(path))


def _n_done(header: CacheHeader, file: h5py.File) -> int:
    return len(done_blocks(header, file["seal"][...], file["checksum"][...]))


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
            pending = header.n_blocks - _n_done(header, file)
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
            parts.append({column.name: file[column.name][...] for column in header.known})
            packed = packed and is_compressed(file)
    known = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    compression = "gzip" if packed else "none"
    if out.exists() and not _is_begun(out, header, compression):
        raise CacheError(_exists(out))
    with CacheWriter(out, header, known, compression) as writer:
        for path, part in shards:
            with open_cache(path) as file:
                for block in range(part.n_blocks):
                    columns = _checked_block(path, part, file, block)
                    place = part.first_block + block
                    if place not in writer.done:
                        writer.write_block(place, columns)
        if compression != "none":
            writer.compress()


def _is_begun(out: Path, header: CacheHeader, compression: str) -> bool:
    """Tell if a file is what a copy of the same shards leaves when it is killed."""
    try:
        with open_cache(out) as file:
            stored = read_header(file, str(out))
            if (stored.fingerprint, stored.n_rows) != (header.fingerprint, header.n_rows) or file[
                "seal"
            ].is_virtual:
                return False
            pending = stored.n_blocks - _n_done(stored, file)
            return pending > 0 or (compression != "none" and not is_compressed(file))
    except CacheError:
        return False


def _checked_block(path: Path, part: CacheHeader, file: h5py.File, block: int) -> dict[str, np.ndarray]:
    rows = part.rows(block)
    where = f"{path}: rows {rows.start} to {rows.stop - 1}"
    try:
        columns = {column.name: file[column.name][part.part(column, block)] for column in part.digested}
        checksums = file["checksum"][block]
    except DAMAGE as error:
        raise CacheCorrupt(f"{where} cannot be read ({error}); compute this shard again.") from error
    for column, checksum in zip(part.digested, checksums, strict=True):
        if not np.array_equal(digest_rows(columns[column.name]), checksum):
            raise CacheCorrupt(
                f"{where} of dataset {column.name!r} do not match their checksum; compute this shard again."
            )
    return columns


def _link(shards: Sequence[_Shard], header: CacheHeader, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    place = Path(os.path.realpath(out))
    try:
        with WriterLock(out), replacing(place) as draft, new_file(draft) as (file, _):
            _lay_out_links(file, shards, header, place)
    except OSError as error:
        raise CacheError(f"cannot write {out}: {error.strerror or error}.") from error


def _lay_out_links(file: h5py.File, shards: Sequence[_Shard], header: CacheHeader, place: Path) -> None:
    write_attributes(file, header.attributes())
    for column in header.datasets:
        kind = np.dtype(column.dtype)
        layout = h5py.VirtualLayout((header.length(column), *column.shape), kind)
        for path, part in shards:
            n_rows = part.length(column)
            if n_rows:
                start = header.part(column, part.first_block).start
                target = escaped(relative_source(path, place))
                source = h5py.VirtualSource(target, column.name, shape=(n_rows, *column.shape))
                layout[start : start + n_rows] = source
        # For readers that do not look at the seals: what a shard no longer has is no number.
        fill = np.nan if kind.kind == "f" else None
        dataset = file.create_virtual_dataset(column.name, layout, fillvalue=fill)
        write_description(dataset, column, header)
