"""Verification finds every flipped byte and every contradiction."""

import json
import random
from pathlib import Path

import h5py
import pytest
from caches import BLOCK, NAMES, SIZE, content, flip, make, offset, shards, wipe

from pnp.errors import CacheError
from pnp.store import check_integrity, merge
from pnp.store.header import read_header
from pnp.store.schema import digest_rows


@pytest.mark.parametrize("name", NAMES)
def test_any_flipped_byte_is_found(path: Path, name: str) -> None:
    with h5py.File(path, "r") as file:
        size = file[name].dtype.itemsize * file[name].size
    rng = random.Random(name)
    for position in {0, size - 1, *(rng.randrange(size) for _ in range(10))}:
        place = offset(path, name) + position
        flip(path, place)
        report = check_integrity(path)
        assert not report.ok, f"byte {position} of {name}"
        assert name in " ".join(report.problems) or name in ("seal", "checksum")
        flip(path, place)
    assert check_integrity(path).ok


def test_a_report_goes_into_json_and_says_if_all_is_well(path: Path) -> None:
    flip(path, offset(path, "R"))
    plain = check_integrity(path).to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["ok"] is False
    assert "R" in " ".join(plain["problems"])


@pytest.mark.parametrize("name", NAMES)
def test_any_flipped_byte_of_a_compressed_file_is_found(packed: Path, name: str) -> None:
    path = packed
    with h5py.File(path, "r") as file:
        chunk = file[name].id.get_chunk_info(0)
    rng = random.Random(name)
    for position in {0, chunk.size - 1, *(rng.randrange(chunk.size) for _ in range(20))}:
        place = chunk.byte_offset + position
        flip(path, place)
        assert not check_integrity(path).ok, f"byte {position} of {name}"
        flip(path, place)
    assert check_integrity(path).ok


def test_flipped_byte_of_the_metadata_is_found_or_without_effect(path: Path) -> None:
    """HDF5's own checksums cover the superblock, the object headers and the attributes; gaps mean nothing."""
    of_data = set[int]()
    with h5py.File(path, "r") as file:
        for name in file:
            for number in range(file[name].id.get_num_chunks()):
                chunk = file[name].id.get_chunk_info(number)
                of_data.update(range(chunk.byte_offset, chunk.byte_offset + chunk.size))
    metadata = sorted(set(range(path.stat().st_size)) - of_data)
    before, found = content(path), 0
    for position in random.Random(0).sample(metadata, 100):
        flip(path, position)
        try:
            intact = check_integrity(path).ok
        except CacheError:
            intact = False
        if intact:
            assert content(path) == before, f"byte {position}"
        found += not intact
        flip(path, position)
    assert found > 50


def test_contradictions_are_found_though_the_checksums_are_right(path: Path) -> None:
    """Whoever rewrites a block together with its checksums still has to keep M = R^T R."""
    with h5py.File(path, "r+") as file:
        header = read_header(file, str(path))
        names = [column.name for column in header.digested]
        for name, change in {"sigma": 2.0, "theta": 1.01, "M": 1.5}.items():
            data = file[name][:BLOCK]
            file[name][:BLOCK] = data * change
            checksum = file["checksum"][0]
            checksum[names.index(name)] = digest_rows(data * change)
            file["checksum"][0] = checksum
            file["seal"][0] = header.seal(0, checksum)
    problems = " ".join(check_integrity(path).problems)
    assert "sigma are not the singular values of R" in problems
    assert "theta is not the physical value of u" in problems
    assert "M is not R^T R" in problems


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("size", [6, SIZE])
def test_a_finished_file_without_seals_is_not_intact(tmp_path: Path, compression: str, size: int) -> None:
    path = make(tmp_path / "toy.h5", size=size, compression=compression)
    with h5py.File(path, "r+") as file:
        file["seal"][...] = 0
    report = check_integrity(path)
    assert not report.ok
    assert "have no seal; seals were lost" in str(report)
    with h5py.File(path, "r+") as file:
        file["seal"][...] = 0
        file["checksum"][...] = 0
    report = check_integrity(path)
    assert report.ok
    assert str(report).endswith(f"0 of {size} rows, 0 failed: nothing to check yet")


def test_a_file_whose_writer_was_killed_at_a_seal_is_no_damage(path: Path) -> None:
    wipe(path, "seal", 3)
    path.with_name("toy.h5.lock").write_text("process 1 on elsewhere")
    assert str(check_integrity(path)).endswith("62 of 70 rows, 0 failed: intact so far")
    wipe(path, "seal", 4)
    wipe(path, "checksum", 4)
    assert check_integrity(path).ok


def test_a_merged_file_without_a_seal_is_damaged(tmp_path: Path) -> None:
    parts = shards(tmp_path, 2)
    merge(parts, tmp_path / "merged.h5")
    wipe(parts[0], "seal", 1)
    assert "rows 8 to 15: there is no seal" in str(check_integrity(tmp_path / "merged.h5"))
