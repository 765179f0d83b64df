"""Shards into one cache: the bytes of one run, and no zeros for a shard that is gone."""

import multiprocessing
import os
import re
import resource
from pathlib import Path

import pytest
import torch
from caches import BLOCK, SIZE, compressed, flip, forks, make, offset, sealed, shards, wipe
from toy import ToyFeatures, ToySynth

from pnp.errors import CacheConfigMismatch, CacheCorrupt, CacheError
from pnp.offline.precompute import precompute
from pnp.store import CacheWriter, MetricCache, check_integrity, merge


@pytest.mark.parametrize("n", [1, 2, 4])
def test_copied_shards_are_the_bytes_of_one_run(path: Path, tmp_path: Path, n: int) -> None:
    merge(shards(tmp_path, n)[::-1], tmp_path / "merged.h5", copy=True)
    assert (tmp_path / "merged.h5").read_bytes() == path.read_bytes()


def test_linked_shards_read_like_one_run(path: Path, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    merged = tmp_path / "merged.h5"
    merge(shards(tmp_path / "parts", 3), merged)
    with MetricCache(path) as one, MetricCache(merged) as many:
        assert many.fingerprint == one.fingerprint
        assert torch.equal(many.metrics().factor, one.metrics().factor)
        assert torch.equal(many.jacobian(slice(None)), one.jacobian(slice(None)))
        assert torch.equal(many.features([3, 50, 20]), one.features([3, 50, 20]))
        assert torch.equal(many.id, torch.arange(SIZE))
    assert check_integrity(merged).ok
    summary = precompute(ToySynth(), ToyFeatures(), merged, size=SIZE, block=BLOCK, progress=False)
    assert summary.n_resumed == SIZE


@pytest.mark.parametrize("n", [1, 3])
def test_compressed_shards_merge(path: Path, tmp_path: Path, n: int) -> None:
    parts = shards(tmp_path, n, compression="gzip")
    merge(parts, tmp_path / "copy.h5", copy=True)
    assert (tmp_path / "copy.h5").read_bytes() == compressed(tmp_path / "one.h5").read_bytes()
    merge(parts, tmp_path / "linked.h5")
    assert check_integrity(tmp_path / "linked.h5").ok
    with MetricCache(tmp_path / "linked.h5") as linked, MetricCache(path) as one:
        assert torch.equal(linked.jacobian(slice(None)), one.jacobian(slice(None)))


@forks
def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    """In a process of its own, whose limit is put below the number of shards."""
    parts = shards(tmp_path, 24, size=24, block=1)
    count = len(list(Path("/proc/self/fd").iterdir()))
    process = multiprocessing.get_context("fork").Process(
        target=merge_within, args=(parts, tmp_path, count + 16)
    )
    process.start()
    process.join()
    assert process.exitcode == 0


def merge_within(parts: list[Path], folder: Path, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    merge(parts, folder / "linked.h5")
    merge(parts, folder / "copy.h5", copy=True)
    assert check_integrity(folder / "copy.h5").ok
    # HDF5 would read zeros from the shards that it cannot open.
    with pytest.raises(
        CacheError, match=rf"merged from 24 shards, .* may have {limit} files open; raise that"
    ):
        MetricCache(folder / "linked.h5")


def test_linked_shards_move_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    merge(shards(tmp_path / "here", 2), tmp_path / "here" / "merged.h5")
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir("/")
    assert check_integrity(tmp_path / "there" / "merged.h5").ok


def test_missing_shard_is_named(tmp_path: Path) -> None:
    """HDF5 would read zeros."""
    parts = shards(tmp_path, 2)
    merge(parts, tmp_path / "merged.h5")
    parts[1].unlink()
    with pytest.raises(FileNotFoundError, match=r"part1\.h5 is no longer there"):
        MetricCache(tmp_path / "merged.h5")


def test_flipped_byte_in_a_shard_is_found(tmp_path: Path) -> None:
    parts = shards(tmp_path, 2)
    merge(parts, tmp_path / "merged.h5")
    flip(parts[1], offset(parts[1], "M") + 5)
    assert "rows 32 to 39: dataset 'M'" in " ".join(check_integrity(tmp_path / "merged.h5").problems)
    with pytest.raises(CacheCorrupt, match=r"part1\.h5: rows 0 to 7 of dataset 'M'"):
        merge(parts, tmp_path / "copy.h5", copy=True)


def test_shards_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    parts = shards(tmp_path, 3)
    with pytest.raises(CacheError, match=r"rows 24 to 47 are missing, before .*part2"):
        merge([parts[0], parts[2]], tmp_path / "merged.h5")
    with pytest.raises(CacheError, match=r"rows 48 to 69 are missing"):
        merge(parts[:2], tmp_path / "merged.h5")
    with pytest.raises(CacheError, match=r"are there twice"):
        merge([parts[0], parts[1], parts[1], parts[2]], tmp_path / "merged.h5")
    other = make(tmp_path / "other.h5", shard=(1, 3), seed=4)
    with pytest.raises(
        CacheConfigMismatch, match=r"other\.h5 is of another design .*seed: the first has 0, this has 4"
    ):
        merge([parts[0], other, parts[2]], tmp_path / "merged.h5")
    wipe(parts[1], "seal", 0)
    with pytest.raises(CacheError, match=r"part1\.h5 has 1 blocks still to be computed"):
        merge(parts, tmp_path / "merged.h5")
    assert not (tmp_path / "merged.h5").exists()


def test_one_path_is_one_path(tmp_path: Path) -> None:
    (part,) = shards(tmp_path, 1)
    merge(str(part), tmp_path / "merged.h5")
    assert len(MetricCache(tmp_path / "merged.h5")) == len(MetricCache(part))


NAMES_OF_SHARDS = ["80%_{}.h5", "a%%b.{}.h5", "%b{}.h5", "%{}", "a b{}.h5", "ü{}.h5", "%%%{}%.h5"]


@pytest.mark.parametrize("name", NAMES_OF_SHARDS)
def test_shards_may_have_any_name(path: Path, tmp_path: Path, name: str) -> None:
    """HDF5 takes a per cent sign in the name of a source for a pattern."""
    parts = [part.rename(part.with_name(name.format(i))) for i, part in enumerate(shards(tmp_path, 2))]
    merge(parts, tmp_path / "merged.h5")
    assert check_integrity(tmp_path / "merged.h5").ok
    with MetricCache(tmp_path / "merged.h5") as merged, MetricCache(path) as one:
        assert torch.equal(merged.jacobian(slice(None)), one.jacobian(slice(None)))
    parts[1].unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(parts[1]))):
        MetricCache(tmp_path / "merged.h5")


def test_a_shard_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    first, second = shards(tmp_path, 2)
    try:
        second = second.rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.h5"))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with pytest.raises(CacheError, match="is not text in UTF-8"):
        merge([first, second], tmp_path / "merged.h5")
    assert not (tmp_path / "merged.h5").exists()
    merge([first, second], tmp_path / "merged.h5", copy=True)
    assert check_integrity(tmp_path / "merged.h5").ok


@pytest.mark.parametrize("where", ["out", "shards", "both", "file"])
def test_folders_may_be_symbolic_links(path: Path, tmp_path: Path, where: str) -> None:
    """The way up from a folder is not the way back through a link."""
    (tmp_path / "deep" / "er" / "target").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er" / "target")
    (tmp_path / "parts").mkdir()
    folder = tmp_path / "link" if where in ("shards", "both") else tmp_path / "parts"
    out = (tmp_path / "link" if where in ("out", "both") else tmp_path) / "merged.h5"
    merge(shards(folder, 2), out)
    if where == "file":
        (tmp_path / "link" / "other.h5").symlink_to(out)
        out = tmp_path / "link" / "other.h5"
    with MetricCache(out) as merged, MetricCache(path) as one:
        assert torch.equal(merged.jacobian(slice(None)), one.jacobian(slice(None)))
    assert check_integrity(out).ok


@forks
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_copy_that_is_killed_is_continued_to_the_same_bytes(
    tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make(tmp_path / "one.h5", compression=compression).read_bytes()
    parts, out = shards(tmp_path, 3, compression=compression), tmp_path / "copy.h5"
    write, done = CacheWriter.write_block, []

    def write_and_die(self: CacheWriter, *arguments: object) -> None:
        if len(done) == 2:
            os._exit(1)
        done.append(write(self, *arguments))

    # Each process dies after two more blocks.
    monkeypatch.setattr(CacheWriter, "write_block", write_and_die)
    for round_ in range(1, 4):
        process = multiprocessing.get_context("fork").Process(
            target=merge, args=(parts, out), kwargs={"copy": True}
        )
        process.start()
        process.join()
        assert process.exitcode == 1
        assert sealed(out) == 2 * round_
    monkeypatch.undo()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    merge(parts, out, copy=True)
    assert out.read_bytes() == expected
    with pytest.raises(CacheError, match=r"copy\.h5 exists already"):
        merge(parts, out, copy=True)


def test_a_copy_does_not_touch_what_is_not_its_own(path: Path, tmp_path: Path) -> None:
    parts = shards(tmp_path, 2)
    other = make(tmp_path / "other.h5", seed=3)
    wipe(other, "seal", 1)
    (tmp_path / "text.h5").write_text("text")
    for out in (other, tmp_path / "text.h5", parts[0], path):
        before = out.read_bytes()
        with pytest.raises(CacheError, match=r"exists already"):
            merge(parts, out, copy=True)
        assert out.read_bytes() == before


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("name", ["J", "M", "u", "reason", "moments"])
def test_a_damaged_shard_is_not_merged(tmp_path: Path, copy: bool, name: str) -> None:
    parts = shards(tmp_path, 2)
    flip(parts[1], offset(parts[1], name) + 3)
    with pytest.raises(CacheCorrupt, match=rf"part1\.h5: rows 0 to 7 of dataset '{name}' do not match"):
        merge(parts, tmp_path / "merged.h5", copy=copy)
    assert copy or not (tmp_path / "merged.h5").exists()
