"""Opening a cache for reading, with one clear sentence for whatever stands there instead."""

from __future__ import annotations

import math
import os
import re
import sys
from pathlib import Path

import h5py

from pnp.errors import CacheCorrupt, CacheError
from pnp.store.schema import DAMAGE, SCHEMA_NAME, SCHEMA_VERSION

# Whole chunks would be read for every row if HDF5's chunk cache could hold them; larger ones it reads in
# part.
_CHUNK_CACHE_BYTES = 0


if sys.platform != "win32":
    import resource

# What a training process has open beside the shards: libraries, pipes, memory shared with its workers.
_OTHER_FILES = 200


def open_cache(path: str | os.PathLike[str]) -> h5py.File:
    """Open a cache of a schema that this package reads.

    Args:
        path: The file.

    Returns:
        The open file, read-only. It takes no lock, so that readers and a writer can work side by side.

    Raises:
        FileNotFoundError: If there is no such file.
        PermissionError: If it may not be read.
        CacheError: If it is not HDF5, not a metric cache, or of a newer schema.
        CacheCorrupt: If it is cut short or damaged.
    """
    path = Path(path)
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
        file = h5py.File(path, "r", locking=False, rdcc_nbytes=_CHUNK_CACHE_BYTES)
    except OSError as error:
        raise CacheCorrupt(_why_unopenable(path, error)) from error
    try:
        _check_schema(file, path)
        _check_sources(file, path)
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


def _check_sources(file: h5py.File, path: Path) -> None:
    """HDF5 reads zeros where a virtual dataset's source cannot be opened; that must not pass for data."""
    ids = file.get("id")
    if not isinstance(ids, h5py.Dataset) or not ids.is_virtual:
        return
    sources = ids.virtual_sources()
    allowed = _most_open_files()
    if len(sources) + _OTHER_FILES > allowed:
        raise CacheError(
            f"{path} was merged from {len(sources)} shards, which HDF5 opens at the same time, and this process "
            f"may have {allowed} files open; raise that (`ulimit -n {len(sources) + _OTHER_FILES}`), or merge "
            "anew with `--copy` for one standalone file."
        )
    for source in sources:
        shard = path.parent / source.file_name
        if not shard.exists():
            raise FileNotFoundError(
                f"{path} was merged from shards, and {shard} is no longer there; put it back, or merge anew "
                "with `--copy` for one standalone file."
            )


def _most_open_files() -> float:
    if sys.platform == "win32":
        return math.inf
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit


def _check_schema(file: h5py.File, path: Path) -> None:
    try:
        name = file.attrs.get("schema", b"")
        version = int(file.attrs.get("schema_version", 0))
    except DAMAGE as error:
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
