"""A cache that refers to files that are none of its shards is refused."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from caches import NAMES, make, shards

from pnp.errors import CacheError
from pnp.store import MetricCache, check_integrity, merge

SECRET = b"root:x:0:0:root:/root:/bin/bash\n" * 300


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET)
    return tmp_path / "secret"


def refused(path: Path, message: str) -> None:
    for action in (MetricCache, check_integrity, make, lambda path: merge([path], path.with_name("m.h5"))):
        with pytest.raises(CacheError, match=message) as caught:
            action(path)
        assert "root:x" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_external_storage_is_refused(path: Path, secret: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        file.create_dataset(name, shape, dtype, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    refused(path, rf"toy\.h5: '{name}' lies in another file")


@pytest.mark.parametrize("name", [*NAMES, "another"])
@pytest.mark.parametrize("kind", ["external", "soft"])
def test_links_are_refused(path: Path, tmp_path: Path, name: str, kind: str) -> None:
    other = make(tmp_path / "other.h5", probe=False) if name == "R" else tmp_path / "other.h5"
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        file[name] = h5py.ExternalLink(str(other), "R") if kind == "external" else h5py.SoftLink("/u")
    refused(path, rf"toy\.h5: '{name}' is a link to another place")


@pytest.mark.parametrize("name", NAMES)
def test_virtual_datasets_of_a_cache_that_was_not_merged_are_refused(
    path: Path, tmp_path: Path, name: str
) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(path, "r+") as file, h5py.File(other, "w") as target:
        shape, dtype = file[name].shape, file[name].dtype
        target[name] = np.zeros(shape, dtype)
        del file[name]
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(str(other), name, shape=shape)
        file.create_virtual_dataset(name, layout)
    refused(path, r"toy\.h5: dataset '\w+' does not refer|other\.h5 is HDF5 but not a metric cache")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "id"])
def test_a_merged_cache_with_a_source_that_is_no_shard_is_refused(tmp_path: Path, name: str) -> None:
    merge(shards(tmp_path, 2), tmp_path / "toy.h5")
    with h5py.File(tmp_path / "stranger.h5", "w") as file:
        file[name] = np.zeros(10)
    with h5py.File(tmp_path / "toy.h5", "r+") as file:
        old = file[name]
        layout = h5py.VirtualLayout(old.shape, old.dtype)
        layout[...] = h5py.VirtualSource("stranger.h5", name, shape=old.shape)
        del file[name]
        file.create_virtual_dataset(name, layout)
    refused(tmp_path / "toy.h5", rf"toy\.h5: dataset '{name}' does not refer to its like in the shards")


def test_a_shard_of_another_configuration_or_a_merged_one_is_refused(tmp_path: Path) -> None:
    parts = shards(tmp_path, 2)
    merge(parts, tmp_path / "toy.h5")
    parts[1].rename(tmp_path / "kept.h5")
    make(parts[1], shard=(1, 2), seed=5)
    refused(tmp_path / "toy.h5", r"part1\.h5 is no shard of the same configuration")
    parts[1].unlink()
    os.link(tmp_path / "toy.h5", parts[1])
    refused(tmp_path / "toy.h5", r"part1\.h5 is no shard of the same configuration")


def test_a_file_that_refers_to_itself_is_refused(tmp_path: Path) -> None:
    merge(shards(tmp_path, 2), tmp_path / "toy.h5")
    with h5py.File(tmp_path / "toy.h5", "r+") as file:
        for name in list(file):
            shape, dtype = file[name].shape, file[name].dtype
            del file[name]
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource("toy.h5", name, shape=shape)
            file.create_virtual_dataset(name, layout)
    refused(tmp_path / "toy.h5", r"toy\.h5 is no shard of the same configuration")
