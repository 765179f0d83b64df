"""The cache file: HDF5 schema, crash-safe writing, reading, merging and verification.

This package is the only one that imports h5py. The format is described in docs/reference/cache-file.md.
"""

from pnp.store.integrity import IntegrityReport, check_integrity
from pnp.store.merge import merge
from pnp.store.reader import MetricCache
from pnp.store.schema import FOLDS, SCHEMA_NAME, SCHEMA_VERSION, CacheHeader, Status, cache_bytes
from pnp.store.writer import CacheWriter

__all__ = [
    "FOLDS",
    "SCHEMA_NAME",
    "SCHEMA_VERSION",
    "CacheHeader",
    "CacheWriter",
    "IntegrityReport",
    "MetricCache",
    "Status",
    "cache_bytes",
    "check_integrity",
    "merge",
]
