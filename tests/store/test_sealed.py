"""Reads return what was written, or raise: flipped bits, shards that are gone, too few descriptors."""

import multiprocessing
import random
import re
import resource
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from caches import BLOCK, NAMES, SIZE, flip, forks, make, offset, shards, wipe
from hypothesis import given, settings
from hypothesis import strategies as st

import pnp
from pnp.errors import CacheCorrupt, CacheError
from pnp.store import MetricCache, merge, opening


def read_all(cache: MetricCache) -> dict[str, Any]:
    """Everything that a loss, a data set, `match` or `inspect` can ask for."""
    return {
        "id": cache.id,
        "fold": cache.fold,
        "theta": cache.theta,
        "u": cache.u,
        "status": cache.status,
        "R": cache.metrics().factor,
        "S": cache.features(slice(None)),
        "J": cache.jacobian(slice(None)),
        "moments": cache.mean_squared_distance,
    }


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(
        torch.equal(a[key], b[key]) if isinstance(a[key], torch.Tensor) else a[key] == b[key] for key in a
    )


def outcome(read: Callable[[Any], Any], rows: Any) -> tuple[Any, str]:
    """Rows that are read, or the sentence that came instead."""
    try:
        return read(rows), ""
    except CacheError as error:
        return None, str(error)


READ = [name for name in NAMES if name not in ("M", "sigma", "reason", "checksum", "seal")]


@pytest.mark.parametrize("name", READ)
def test_a_flipped_bit_of_what_is_read_raises_and_names_the_rows(path: Path, name: str) -> None:
    with h5py.File(path, "r") as file:
        size = file[name].dtype.itemsize * file[name].size
        row = size // len(file[name])
    rng = random.Random(name)
    for position in {0, size - 1, *(rng.randrange(size) for _ in range(10))}:
        place = offset(path, name) + position
        flip(path, place)
        rows = min(BLOCK * (position // row // (1 if name == "moments" else BLOCK)), SIZE)
        with (
            MetricCache(path) as cache,
            pytest.raises(
                CacheCorrupt, match=rf"toy\.h5: rows {rows} to \d+ of dataset '{name}' do not match"
            ),
        ):
            read_all(cache)
        flip(path, place)
    with MetricCache(path) as cache:
        read_all(cache)


@pytest.mark.parametrize("name", ["checksum", "seal"])
def test_a_flipped_bit_of_a_seal_raises(path: Path, name: str) -> None:
    rng = random.Random(name)
    with h5py.File(path, "r") as file:
        size = file[name].size
    for position in {0, size - 1, *(rng.randrange(size) for _ in range(20))}:
        flip(path, offset(path, name) + position)
        with pytest.raises(CacheCorrupt, match=r"dataset 'seal' do not match"):
            MetricCache(path)
        flip(path, offset(path, name) + position)


def test_any_flipped_bit_of_the_file_raises_or_changes_nothing(
    path: Path, packed: Path, tmp_path: Path
) -> None:
    """A sweep over the whole file, metadata included, plain and compressed."""
    for original in (path, packed):
        with MetricCache(original) as cache:
            expected = read_all(cache)
        copy, found = tmp_path / "copy.h5", 0
        shutil.copy(original, copy)
        for position in random.Random(1).sample(range(original.stat().st_size), 150):
            flip(copy, position)
            try:
                with MetricCache(copy) as cache:
                    assert same(read_all(cache), expected), f"byte {position} of {original.name}"
            except CacheError:
                found += 1
            flip(copy, position)
        assert found > 50


def test_a_loss_of_a_flipped_factor_is_refused(path: Path) -> None:
    flip(path, offset(path, "R") + 7)
    with MetricCache(path) as cache, pytest.raises(CacheCorrupt, match=r"rows 0 to 7 of dataset 'R'"):
        pnp.PNPLoss.from_cache(cache)


def test_rows_of_other_blocks_are_read_all_the_same(path: Path) -> None:
    flip(path, offset(path, "J") + 5)
    with MetricCache(path) as cache:
        cache.jacobian(slice(BLOCK, None))
        with pytest.raises(CacheCorrupt, match=r"rows 0 to 7 of dataset 'J'"):
            cache.jacobian(3)


def test_a_block_is_hashed_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    counted = []
    sha256 = hashlib.sha256
    monkeypatch.setattr("pnp.store.sealed.hashlib.sha256", lambda *data: counted.append(1) or sha256(*data))
    with MetricCache(path) as cache:
        _ = cache.ok
        counted.clear()
        for _ in range(3):
            for row in range(SIZE):
                cache.jacobian(row)
            cache.jacobian(slice(None))
        assert len(counted) == -(-SIZE // BLOCK)


@given(rows=st.lists(st.integers(-SIZE, SIZE - 1), max_size=30))
@settings(max_examples=60)
def test_any_rows_in_any_order(rows: list[int], made_once: Path) -> None:
    with h5py.File(made_once, "r", locking=False) as file:
        expected = file["S"][...]
    with MetricCache(made_once) as cache:
        for _ in range(2):
            assert np.array_equal(cache.features(rows).numpy(), expected[np.array(rows, int)])


# -- merged caches -------------------------------------------------------------------------------------------


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    merge(shards(tmp_path, 3), tmp_path / "merged.h5")
    return tmp_path / "merged.h5"


def remove(shard: Path) -> None:
    shard.unlink()


def empty(shard: Path) -> None:
    shard.write_bytes(b"")


def exchange(shard: Path) -> None:
    shard.unlink()
    make(shard, shard=(1, 3), seed=7)


def unseal(shard: Path) -> None:
    wipe(shard, "seal", 0)


def zero(shard: Path) -> None:
    for name in ("R", "J", "S", "u", "theta"):
        wipe(shard, name, 0)


@pytest.mark.parametrize("damage", [remove, empty, exchange, unseal, zero])
def test_a_shard_that_changes_before_opening_is_named(merged: Path, damage: Callable[[Path], None]) -> None:
    damage(merged.with_name("part1.h5"))
    with pytest.raises((CacheError, FileNotFoundError), match=r"part1\.h5"), MetricCache(merged) as cache:
        read_all(cache)


@pytest.mark.parametrize("damage", [remove, empty, exchange, zero])
@pytest.mark.parametrize("before", ["nothing", "something", "everything"])
def test_a_shard_that_changes_after_opening_gives_what_was_written_or_an_error(
    merged: Path, path: Path, damage: Callable[[Path], None], before: str
) -> None:
    with MetricCache(path) as whole:
        expected = whole.jacobian(slice(None))
    with MetricCache(merged) as cache:
        if before == "something":
            cache.jacobian([0, 30, 31])
        if before == "everything":
            read_all(cache)
        damage(merged.with_name("part1.h5"))
        for rows in ([25], slice(None), [0, 40], [69]):
            jacobian, complaint = outcome(cache.jacobian, rows)
            if jacobian is not None:
                assert torch.equal(jacobian, expected[rows])
            else:
                assert re.search(r"(part1\.h5|one of its shards) was removed, replaced or damaged", complaint)
        if before != "everything":
            with pytest.raises(CacheCorrupt, match=r"(part1\.h5|one of its shards) was removed"):
                pnp.PNPLoss.from_cache(cache)


def test_zeros_of_an_older_merge_do_not_pass(merged: Path) -> None:
    """A merged file of an earlier version fills what is missing with zeros, which no row of status 1 has."""
    with h5py.File(merged, "r+") as file:
        for name in ("R", "J", "S"):
            old = file[name]
            layout = h5py.VirtualLayout(old.shape, old.dtype)
            for source in old.virtual_sources():
                low, high = (int(bound[0]) for bound in source.vspace.get_select_bounds())
                shape = (high + 1 - low, *old.shape[1:])
                layout[low : high + 1] = h5py.VirtualSource(source.file_name, name, shape=shape)
            del file[name]
            file.create_virtual_dataset(name, layout)
    with MetricCache(merged) as cache:
        read = cache.status
        merged.with_name("part2.h5").unlink()
        with pytest.raises(CacheCorrupt, match=r"part2\.h5 was removed"):
            cache.metrics()
    assert read.eq(1).all()


def test_other_readers_see_no_numbers_where_a_shard_is_gone(merged: Path) -> None:
    merged.with_name("part1.h5").unlink()
    with h5py.File(merged, locking=False) as file:
        missing = slice(24, 48)
        assert np.isnan(file["R"][missing]).all()
        assert np.isnan(file["u"][missing]).all()
        assert (file["status"][missing] == 0).all()


@forks
def test_too_few_descriptors_raise(tmp_path: Path) -> None:
    """The limit is reached after opening: other files are open meanwhile."""
    parts = shards(tmp_path, 12, size=24, block=2, probe=False)
    merge(parts, tmp_path / "merged.h5")
    process = multiprocessing.get_context("fork").Process(
        target=read_with_few, args=(tmp_path / "merged.h5",)
    )
    process.start()
    process.join()
    assert process.exitcode == 0


TOO_MANY = re.compile(r"part\d+\.h5 was removed, .* too many files open")


def read_with_few(merged: Path) -> None:
    cache = MetricCache(merged)
    expected = cache.jacobian(slice(None))
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, used + 4))
    for rows in ([0], [23], slice(None)):
        jacobian, complaint = outcome(cache.jacobian, rows)
        assert TOO_MANY.search(complaint) if jacobian is None else torch.equal(jacobian, expected[rows])
    assert jacobian is None, "not all shards can be open"
    cache.close()
    held = []
    with suppress(OSError):
        while True:
            held.append(merged.open("rb"))
    for one in held[:4]:
        one.close()
    # As if the limit had been high enough when it was asked for.
    opening.check_descriptors = lambda *_: None
    jacobian, complaint = outcome(lambda rows: MetricCache(merged).jacobian(rows), slice(None))
    assert jacobian is None
    assert TOO_MANY.search(complaint), complaint


def test_a_file_that_changes_between_processes_is_noticed(path: Path, tmp_path: Path) -> None:
    import pickle

    with MetricCache(path) as cache:
        pickled = pickle.dumps(cache)
    wipe(path, "seal", 3)
    with pytest.raises(CacheCorrupt, match="is another file than the one that was opened"):
        pickle.loads(pickled).metrics()
