"""One writer at a time."""

import os
from pathlib import Path

import h5py
import pytest
from caches import fork, forks, make, wait_for, wipe

from pnp.errors import CacheBusy, CacheError
from pnp.store import check_integrity
from pnp.store.lock import WriterLock


@forks
def test_second_writer_is_told_who_the_first_is(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "busy.h5"
    process = fork(target, seconds=0.02)
    try:
        wait_for(target.exists, process)
        with pytest.raises(CacheBusy, match=rf"is being written by process {process.pid} on \S+;"):
            make(target)
    finally:
        process.kill()
        process.join()
    make(target)
    assert check_integrity(target).ok


def test_lock_file_of_a_dead_writer_locks_nothing(tmp_path: Path) -> None:
    (tmp_path / "toy.h5.lock").write_text("process 1 on elsewhere")
    make(tmp_path / "toy.h5")
    assert not (tmp_path / "toy.h5.lock").exists()


def test_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), WriterLock(tmp_path / "toy.h5"):
        raise RuntimeError("inside")
    with WriterLock(tmp_path / "toy.h5"):
        pass


@pytest.mark.parametrize("link", ["os.symlink", "os.link"])
def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path, link: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    {"os.symlink": os.symlink, "os.link": os.link}[link](victim, tmp_path / "toy.h5.lock")
    with pytest.raises(
        CacheError, match=r"lock file .*toy\.h5\.lock is a (symbolic link|file with several names)"
    ):
        make(tmp_path / "toy.h5")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("kind", ["directory", "fifo", "dangling"])
def test_a_lock_file_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    lock = tmp_path / "toy.h5.lock"
    if kind == "directory":
        lock.mkdir()
    elif kind == "fifo":
        os.mkfifo(lock)
    else:
        lock.symlink_to(tmp_path / "nowhere")
    with pytest.raises(CacheError, match=r"the lock file .* is .*; remove it"):
        make(tmp_path / "toy.h5")
    assert not (tmp_path / "nowhere").exists()


def test_a_second_writer_through_a_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other.h5").symlink_to(path)
    (tmp_path / "folder").symlink_to(tmp_path)
    with WriterLock(path):
        for other in (tmp_path / "elsewhere" / "other.h5", tmp_path / "folder" / "toy.h5"):
            with pytest.raises(CacheBusy, match=rf"is being written by process {os.getpid()} on"):
                make(other)
    make(tmp_path / "elsewhere" / "other.h5")


def test_a_writer_through_a_hard_link_is_refused(path: Path, tmp_path: Path) -> None:
    """The lock is beside the file, and cannot be beside all its names."""
    wipe(path, "seal", 2)
    before = path.read_bytes()
    other = tmp_path / "other.h5"
    os.link(path, other)
    for name in (path, other):
        with pytest.raises(CacheBusy, match=r"is one of 2 names of the same file \(hard links\)"):
            make(name)
    assert path.read_bytes() == before
    other.unlink()
    make(path)
    os.link(path, other)
    make(other)  # Nothing is left to write.


def test_a_link_to_a_cache_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.h5"
    link.symlink_to(path)
    make(link, compression="gzip")
    assert link.is_symlink()
    with h5py.File(path) as file:
        assert file["R"].compression == "gzip"
