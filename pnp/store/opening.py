"""Opening a cache for reading, with one clear sentence for whatever stands there instead."""

from __future__ import annotations

import os
import re
from pathlib import Path

import h5py
import numpy as np

from pnp.errors import CacheCorrupt, CacheError
from pnp.store.schema import DAMAGE, SCHEMA_NAME, SCHEMA_VERSION
from pnp.store.sources import check_descriptors, check_links, shards_of

# Whole chunks would be read for every row if HDF5's chunk cache could hold them; larger ones it reads in
# part.
_CHUNK_CACHE_BYTES = 0


def open_cache(path: str | os.PathLike[str]) -> h5py.File:
    """Open a cache of a schema that this package reads.

    Args:
        path: The file.

    Returns:
        The open file, read-only. It takes no lock, so that readers and a writer can work side by side.

    Raises:
        FileNotFoundError: If there is no such file.
        PermissionError: If it may not be read.
        CacheError: If it is not HDF5, not a metric cache, of a newer schema, or refers to other files than the shards
            that it was merged from.
        CacheCorrupt: If it is cut short or damaged.
    """
    file = _opened(Path(path))
    try:
        _check_shards(file, Path(os.path.realpath(path)))
    except BaseException:
        file.close()
        raise
    return file


def _opened(path: Path) -> h5py.File:
    """Open a file of the schema, whose shards are still to be looked at."""
    if not path.exists():
        raise FileNotFoundError(f"there is no cache at {path}; `pnp precompute --out {path}` makes one.")
    if not path.is_file():
        raise CacheError(f"{path} is not a file; expected an HDF5 file made by `pnp precompute`.")
    with path.open("rb") as stream:
        head = stream.read(8)
    if head != b"\x89HDF\r\n\x1a\n":
        got = f"its first bytes are {head!r}" if head else "it is empty"
        raise CacheError(f"{path} is not an HDF5 file ({got}); expected a cache made by `pnp precompute`.")
    try:
        # By its real path, from which HDF5 looks for shards.
        file = h5py.File(os.path.realpath(path), "r", locking=False, rdcc_nbytes=_CHUNK_CACHE_BYTES)
    except OSError as error:
        raise CacheCorrupt(_why_unopenable(path, error)) from error
    try:
        _check_schema(file, path)
        check_links(file, path)
    except BaseException:
        file.close()
        raise
    return file


def _why_unopenable(path: Path, error: OSError) -> str:
    cut = re.search(r"truncated file.*stored_eof = (\d+)", str(error))
    if cut:
        return (
            f"{path} is cut short: it has {path.stat().st_size} of {cut[1]} bytes; "
            "it was probably copied in part, copy it again."
        )
    return f"{path} is an HDF5 file that cannot be opened; it is damaged ({error})."


def _check_shards(file: h5py.File, path: Path) -> None:
    """Check that every shard of a merged cache is there, and is one.

    HDF5 reads a fill value where the source of a virtual dataset cannot be opened; that must not pass for data.
    """
    shards = shards_of(file, path)
    check_descriptors(path, len(shards))
    for shard in shards:
        if not shard.exists():
            raise FileNotFoundError(
                f"{path} was merged from shards, and {shard} is no longer there; put it back, or merge again "
                "with `--copy` for one standalone file."
            )
        with _opened(shard) as part:
            if str(part.attrs.get("fingerprint")) != str(file.attrs.get("fingerprint")) or shards_of(
                part, shard
            ):
                raise CacheError(
                    f"{path}: {shard} is no shard of the same configuration; it was replaced since they were merged, "
                    "or this file refers to what it was not merged from."
                )


def _check_schema(file: h5py.File, path: Path) -> None:
    try:
        name = file.attrs.get("schema", b"")
        # A single number, alone or in an array: NumPy turns longer arrays into errors, or into warnings before that.
        version = int(np.asarray(file.attrs.get("schema_version", 0)).item())
    except (*DAMAGE, OverflowError) as error:
        raise CacheCorrupt(f"{path}: its attributes cannot be read; it is damaged ({error}).") from error
    name = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    if name != SCHEMA_NAME:
        got = f"its schema is {name!r}" if name else "it has no attribute 'schema'"
        raise CacheError(f"{path} is HDF5 but not a metric cache ({got}, expected {SCHEMA_NAME!r}).")
    if version > SCHEMA_VERSION:
        raise CacheError(
            f"{path} was written by schema version {version}, and this pnp reads up to {SCHEMA_VERSION}; "
            "upgrade pnp."
        )
    if version < 1:
        raise CacheCorrupt(f"{path}: schema version must be at least 1, got {version}.")
