"""One writer at a time."""

from pathlib import Path

import pytest
from caches import fork, forks, make, wait_for

from pnp.errors import CacheBusy
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
