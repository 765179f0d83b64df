"""Compressing a finished cache: the same numbers, and the plain file until the copy is whole."""

import random
import shutil
import time
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from caches import NAMES, compressed, fork, forks, make, wait_for, wipe

from pnp.errors import CacheCorrupt, CacheError
from pnp.store import CacheHeader, MetricCache, check_integrity, writer


def test_compression_changes_the_file_and_not_the_numbers(path: Path, tmp_path: Path) -> None:
    packed = compressed(tmp_path / "packed.h5")
    assert packed.stat().st_size < 0.9 * path.stat().st_size
    with h5py.File(path) as plain, h5py.File(packed) as file:
        for name in plain:
            assert np.array_equal(file[name][...], plain[name][...])
        filtered = [name for name in file if file[name].compression == "gzip" and file[name].fletcher32]
        assert sorted(filtered) == sorted(set(NAMES) - {"checksum", "seal"})
    assert check_integrity(packed).ok
    with MetricCache(packed) as cache, MetricCache(path) as original:
        assert torch.equal(cache.jacobian([3, 50]), original.jacobian([3, 50]))


def test_finished_file_is_compressed_by_running_again(path: Path, tmp_path: Path) -> None:
    expected = compressed(tmp_path / "packed.h5").read_bytes()
    assert compressed(path).read_bytes() == expected
    assert make(path).read_bytes() == expected, "nothing is left to do, and nothing is undone"


@forks
def test_killed_runs_with_compression_resume_to_the_same_bytes(tmp_path: Path) -> None:
    options = {"size": 100, "probe": False}
    expected = compressed(tmp_path / "whole.h5", **options).read_bytes()
    target, rng = tmp_path / "killed.h5", random.Random(0)
    for _ in range(8):
        process = fork(target, seconds=0.004, compression="gzip", **options)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.join()
        assert not target.exists() or check_integrity(target).ok
    assert compressed(target, **options).read_bytes() == expected


@forks
def test_kill_during_compression_leaves_the_finished_plain_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, plain = compressed(tmp_path / "packed.h5").read_bytes(), path.read_bytes()
    draft = path.with_name("toy.h5.partial")
    # Between writing the copy and putting it in place.
    with monkeypatch.context() as patch:
        patch.setattr("pnp.store.writer.check_integrity", lambda _: time.sleep(60))
        process = fork(path, seconds=0.0, compression="gzip")
        wait_for(lambda: draft.exists() and draft.stat().st_size > 0, process)
        process.kill()
        process.join()
    assert path.read_bytes() == plain
    assert compressed(path).read_bytes() == expected
    assert not draft.exists()


def test_copy_that_does_not_verify_is_thrown_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write = path.read_bytes(), writer.write_compressed

    def write_badly(source: h5py.File, header: CacheHeader, target: Path) -> None:
        write(source, header, target)
        with h5py.File(target, "r+", locking=False) as file:
            file["M"][3] += 1.0

    monkeypatch.setattr(writer, "write_compressed", write_badly)
    with pytest.raises(CacheCorrupt, match=r"its compressed copy does not verify \(rows 0 to 7: dataset 'M'"):
        compressed(path)
    assert path.read_bytes() == before
    assert not path.with_name("toy.h5.partial").exists()


def test_compression_asks_for_room_for_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage, size = shutil.disk_usage(tmp_path), 20_000 + 2**18
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 * size))
    with pytest.raises(CacheError, match=r"needs .* GB and the disk has"):
        compressed(tmp_path / "packed.h5")
    make(tmp_path / "plain.h5")


def test_full_disk_leaves_the_finished_file_uncompressed(small_disk: Path) -> None:
    path = make(small_disk / "toy.h5", size=1000)
    before = path.read_bytes()
    with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    with pytest.raises(
        CacheError, match=r"cannot compress .*: No space left on device; it is finished"
    ) as caught:
        compressed(path, size=1000)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    (small_disk / "filler").unlink()
    compressed(path, size=1000)
    assert path.stat().st_size < 0.9 * len(before)


def test_compressed_copy_verifies_and_is_not_continued(path: Path, tmp_path: Path) -> None:
    """The work of `h5repack -f GZIP=4`."""
    wipe(path, "seal", 2)
    wipe(path, "checksum", 2)
    small = tmp_path / "small.h5"
    with h5py.File(path) as source, h5py.File(small, "w") as target:
        target.attrs.update(source.attrs)
        for name, dataset in source.items():
            copy = target.create_dataset(name, data=dataset[...], chunks=dataset.chunks, compression="gzip")
            copy.attrs.update(dataset.attrs)
    assert check_integrity(small).ok
    with MetricCache(small) as cache, MetricCache(path) as original:
        assert torch.equal(cache.jacobian([3, 50]), original.jacobian([3, 50]))
    with pytest.raises(CacheError, match="cannot be continued: it was merged or compressed"):
        make(small)
