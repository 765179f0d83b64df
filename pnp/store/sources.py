"""Places outside a cache that its bytes may come from: the shards of a merged one, and nothing else.

An HDF5 file can refer to any other file: by links, by external storage, by virtual datasets. A cache that somebody sent
must not show what lies elsewhere on the disk of its reader, so that only virtual datasets of caches of the same
configuration are followed.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import h5py

from pnp.errors import CacheCorrupt, CacheError
from pnp.store.schema import DAMAGE

if sys.platform != "win32":
    import resource

# What a training process has open beside the shards: libraries, pipes, memory shared with its workers.
_OTHER_FILES = 200


def check_links(file: h5py.File, path: Path) -> None:
    """Refuse a file whose contents lie elsewhere, virtual datasets apart.

    Raises:
        CacheError: If there is a link, or a dataset in external storage.
        CacheCorrupt: If the contents cannot be listed.
    """
    try:
        for name in file:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                raise CacheError(
                    f"{path}: {name!r} is a link to another place, which a cache never has; refused."
                )
            member = file[name]
            if isinstance(member, h5py.Dataset) and member.external:
                where = member.external[0][0]
                raise CacheError(
                    f"{path}: {name!r} lies in another file ({where!r}), which it never does; refused."
                )
    except CacheError:
        raise
    except DAMAGE as error:
        raise CacheCorrupt(f"{path}: its contents cannot be listed; it is damaged ({error}).") from error


def shards_of(file: h5py.File, path: Path) -> list[Path]:
    """Shards that a cache was merged from; none for a file with rows of its own.

    Args:
        file: The open file.
        path: Its real path, without symbolic links.

    Returns:
        Paths of the shards, in the order of their rows.

    Raises:
        CacheError: If datasets refer to different files or to other datasets than their own.
        CacheCorrupt: If the datasets cannot be read.
    """
    try:
        sources = {name: _sources(file[name]) for name in file if isinstance(file[name], h5py.Dataset)}
    except DAMAGE as error:
        raise CacheCorrupt(f"{path}: its contents cannot be listed; it is damaged ({error}).") from error
    named = sources.get("id", [])
    if not any(sources.values()):
        return []
    files = [source for source, _ in named]
    for name, found in sources.items():
        # A shard without any row of a dataset is no source of it.
        strangers = {source for source, _ in found} - set(files)
        if strangers or any(dataset != name for _, dataset in found) or (not found and name in _ROW_DATASETS):
            raise CacheError(
                f"{path}: dataset {name!r} does not refer to its like in the shards that 'id' refers to; refused."
            )
    # The escape of HDF5's own patterns, see `escaped`.
    return [path.parent / source.replace("%%", "%") for source in files]


# Those that decide about a row; any other that lies in the merged file itself is checked against its seals anyway.
_ROW_DATASETS = ("id", "status", "seal", "checksum")


def _sources(dataset: h5py.Dataset) -> list[tuple[str, str]]:
    if not dataset.is_virtual:
        return []
    return [(source.file_name, source.dset_name.lstrip("/")) for source in dataset.virtual_sources()]


def escaped(name: str) -> str:
    """Name of a source as HDF5 wants it, which takes "%b" for a pattern."""
    return name.replace("%", "%%")


def check_descriptors(path: Path, count: int) -> None:
    """Refuse to open more shards than this process may have files open.

    Raises:
        CacheError: If there are more.
    """
    allowed = _most_open_files()
    if count and count + _OTHER_FILES > allowed:
        raise CacheError(
            f"{path} was merged from {count} shards, which HDF5 opens at the same time, and this process "
            f"may have {allowed} files open; raise that (`ulimit -n {count + _OTHER_FILES}`), or merge "
            "again with `--copy` for one standalone file."
        )


def _most_open_files() -> float:
    if sys.platform == "win32":
        return math.inf
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit


def relative_source(shard: Path, merged: Path) -> str:
    """Path of a shard as seen from the folder of a merged file, by which HDF5 finds it.

    Folders are taken for what they are, not for the symbolic links that lead to them: the way up from a folder is not
    the way back through a link.

    Raises:
        CacheError: If it is no text, which HDF5 would write and h5py not read again.
    """
    folder = Path(os.path.realpath(shard.parent))
    source = os.path.relpath(folder / shard.name, os.path.realpath(merged.parent))
    if any("\ud800" <= character <= "\udfff" for character in source):
        raise CacheError(
            f"the name of {shard} is not text in UTF-8, and a merged cache could not find it again; rename it, or "
            "merge with `--copy` for one standalone file."
        )
    return source
