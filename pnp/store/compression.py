"""A finished cache, compressed by the filters that come with every HDF5 library."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from pnp.store.hdf5 import new_file
from pnp.store.schema import CacheHeader, Column, write_attributes, write_description

COMPRESSIONS = ("none", "gzip")

# Beyond 4, gzip takes several times as long for a percent.
_GZIP_LEVEL = 4

# A row is read by unpacking its whole chunk: large enough to compress, small enough for a random row.
_CHUNK_BYTES = 65536


def check_compression(compression: str) -> None:
    """Refuse a compression that does not exist."""
    if compression not in COMPRESSIONS:
        raise ValueError(
            f"compression must be one of {', '.join(map(repr, COMPRESSIONS))}, got {compression!r}"
        )


def is_compressed(file: h5py.File) -> bool:
    """Tell if an open cache is compressed; one that only refers to shards is not."""
    metrics = file["M"]
    return not metrics.is_virtual and bool(metrics.id.get_create_plist().get_nfilters())


def write_compressed(source: h5py.File, header: CacheHeader, target: Path) -> None:
    """Write a compressed copy of a finished cache.

    The same content gives the same bytes. Fletcher's checksum over every compressed chunk lets HDF5 itself
    notice a flipped byte, those included that the decompressor would pass over.

    Args:
        source: The open cache.
        header: Its header.
        target: File to write.

    Raises:
        OSError: If the disk refuses the data.
    """
    with new_file(target) as (file, check):
        write_attributes(file, header.attributes())
        for column in header.datasets:
            # Digests are random bytes.
            filtered = column in header.digested
            length = header.length(column)
            rows = max(1, min(length, _CHUNK_BYTES // max(1, column.row_bytes)))
            dataset = _create(file, column, length, rows, filtered)
            for start in range(0, length, rows):
                dataset[start : start + rows] = source[column.name][start : start + rows]
                check()
            write_description(dataset, column, header)


def _create(file: h5py.File, column: Column, n_rows: int, chunk_rows: int, filtered: bool) -> h5py.Dataset:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if not n_rows:
        # HDF5 has no empty chunks.
        filtered = False
    else:
        plan.set_chunk((chunk_rows, *column.shape))
    # The last chunk may be larger than what is left for it: the rest of it is zeros, not leftovers in memory.
    plan.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    plan.set_obj_track_times(False)
    if filtered:
        plan.set_shuffle()
        plan.set_deflate(_GZIP_LEVEL)
        plan.set_fletcher32()
    kind = h5py.h5t.py_create(np.dtype(column.dtype), logical=True)
    space = h5py.h5s.create_simple((n_rows, *column.shape))
    return h5py.Dataset(h5py.h5d.create(file.id, column.name.encode(), kind, space, plan))
