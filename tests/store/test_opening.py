"""Opening what is no cache, or no longer one: one clear sentence."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from caches import make

from pnp.errors import CacheCorrupt, CacheError
from pnp.store import MetricCache


def cut(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 1000)


def retitle(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = "something-else"


def modernize(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99


def amputate(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["R"]


def edit(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        config = file.attrs["config"].replace(b'"seed":0', b'"seed":7')
        file.attrs["config"] = config


def strip(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (cut, CacheCorrupt, r"is cut short: it has \d+ of \d+ bytes"),
        (
            lambda path: path.write_bytes(b"PK\3\4 and so on"),
            CacheError,
            r"is not an HDF5 file \(its first bytes",
        ),
        (lambda path: path.write_bytes(b""), CacheError, r"is not an HDF5 file \(it is empty\)"),
        (strip, CacheError, r"is HDF5 but not a metric cache \(it has no attribute 'schema'"),
        (retitle, CacheError, r"its schema is 'something-else', expected 'pnp-metric-cache'"),
        (modernize, CacheError, r"schema version 99, and this pnp reads up to 3; upgrade pnp"),
        (amputate, CacheCorrupt, r"dataset 'R' cannot be opened"),
        (edit, CacheCorrupt, r"configuration does not match its fingerprint"),
        (lambda path: path.unlink(), FileNotFoundError, r"there is no cache at .*`pnp precompute --out"),
    ],
    ids=["truncated", "foreign", "empty", "no-schema", "other-schema", "newer", "no-R", "edited", "missing"],
)
def test_wrong_file_is_one_clear_sentence(
    path: Path, damage: Any, error: type[Exception], message: str
) -> None:
    damage(path)
    with pytest.raises(error, match=message) as caught:
        MetricCache(path)
    assert "\n" not in str(caught.value)
    if path.exists():
        before = path.read_bytes()
        with pytest.raises(CacheError, match=message):
            make(path)
        assert path.read_bytes() == before, "what stands there must not be lost"


def test_directory_is_not_a_cache(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="is not a file"):
        MetricCache(tmp_path)
