"""Writing a cache: the same bytes after interruptions, one sentence for a disk that refuses."""

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import pytest
from caches import BLOCK, SIZE, finish, fork, forks, make, sealed, start, wait_for, wipe
from toy import ToyFeatures, ToySynth

from pnp.errors import CacheCorrupt, CacheError
from pnp.offline.precompute import precompute
from pnp.store import MetricCache, Status, check_integrity


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere; files are read-only for somebody else."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_two_runs_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    assert make(tmp_path / "again.h5").read_bytes() == path.read_bytes()


@forks
def test_thirty_kills_resume_to_the_same_bytes(tmp_path: Path) -> None:
    """Wherever thirty SIGKILLs happen to fall, creation of the file included."""
    options = {"size": 300, "probe": False}
    reference, target, rng = make(tmp_path / "whole.h5", **options), tmp_path / "killed.h5", random.Random(0)
    done = 0
    for _ in range(30):
        process = fork(target, seconds=0.004, **options)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it could be killed"
        assert sealed(target) >= done, "a sealed block was lost"
        done = sealed(target)
        assert not target.exists() or check_integrity(target).ok
    make(target, **options)
    assert target.read_bytes() == reference.read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"killed.h5", "whole.h5"}


@pytest.mark.slow
def test_killed_run_with_workers_resumes_to_the_same_bytes(path: Path, tmp_path: Path) -> None:
    target, rng = tmp_path / "killed.h5", random.Random(0)
    for goal in (1, 4):
        process = start(target, seconds=0.05, jobs=2)
        wait_for(lambda goal=goal: sealed(target) >= goal, process)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        finish(process)
        assert check_integrity(target).ok
    make(target, jobs=2)
    assert target.read_bytes() == path.read_bytes()


def test_kill_between_data_and_seal_costs_one_block(path: Path) -> None:
    """A block whose seal is missing counts as never computed, whatever its rows hold."""
    reference = path.read_bytes()
    wipe(path, "seal", 2)
    wipe(path, "J", 2 * BLOCK)
    with MetricCache(path) as cache:
        assert (cache.status == Status.PENDING).nonzero().squeeze(1).tolist() == list(range(16, 24))
        assert not cache.metrics().valid[16:24].any()
        with pytest.raises(CacheError, match=r"row 17 .* still to be computed"):
            cache.metric(17)
    summary = precompute(ToySynth(), ToyFeatures(), path, size=SIZE, block=BLOCK, progress=False)
    assert (summary.n_resumed, summary.n_done) == (SIZE - BLOCK, SIZE)
    assert path.read_bytes() == reference


def test_draft_of_a_killed_creation_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "toy.h5.partial").write_bytes(b"half a file")
    make(tmp_path / "toy.h5")
    assert [file.name for file in tmp_path.iterdir()] == ["toy.h5"]


@forks
def test_interrupted_run_resumes_to_the_same_bytes(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "interrupted.h5"
    process = fork(target, seconds=0.005)
    wait_for(lambda: sealed(target) > 0, process)
    os.kill(process.pid or 0, signal.SIGINT)
    process.join()
    assert process.exitcode != 0
    assert {file.name for file in tmp_path.iterdir()} == {"interrupted.h5", "toy.h5"}
    make(target)
    assert target.read_bytes() == path.read_bytes()


def test_a_run_goes_on_where_parameters_are_rounded_otherwise_and_not_where_they_differ(path: Path) -> None:
    content = path.read_bytes()
    for factor, ends in ((1 + 2**-52, True), (1 + 1e-9, False)):
        path.write_bytes(content)
        with h5py.File(path, "r+", locking=False) as file:
            file["theta"][...] *= factor
        wipe(path, "seal", 2)
        if ends:
            make(path)
            assert sealed(path) == -(-SIZE // BLOCK)
        else:
            with pytest.raises(CacheCorrupt, match="'theta' is not what its configuration gives"):
                make(path)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_with_one_line_and_a_resumable_file(path: Path, tmp_path: Path, jobs: int) -> None:
    target = tmp_path / "interrupted.h5"
    process = start(target, seconds=0.05, jobs=jobs, start_new_session=True)
    wait_for(lambda: sealed(target) > 0, process)
    os.killpg(process.pid, signal.SIGINT)
    message = finish(process)
    assert process.returncode != 0
    assert re.search(r"interrupted: .* has \d+ of 70 sounds; run the same command again to continue", message)
    assert "toy.h5.lock" not in {file.name for file in tmp_path.iterdir()}
    make(target)
    assert target.read_bytes() == path.read_bytes()


def test_read_only_file_is_refused_and_kept(public: Path) -> None:
    path = make(public / "toy.h5")
    wipe(path, "seal", 2)
    before = path.read_bytes()
    path.chmod(0o444)
    public.chmod(0o777)
    with (
        unprivileged(),
        pytest.raises(PermissionError, match=r"cannot write .*toy\.h5: .*; it is read-only\."),
    ):
        make(path)
    assert path.read_bytes() == before


def test_read_only_directory_is_refused(public: Path) -> None:
    public.chmod(0o555)
    with (
        unprivileged(),
        pytest.raises(PermissionError, match=r"cannot write in .*; choose another"),
    ):
        make(public / "toy.h5")
    with unprivileged(), pytest.raises(PermissionError, match=r"cannot make the directory .*new"):
        make(public / "new" / "toy.h5")


def test_disk_that_is_too_small_is_refused_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(CacheError, match=r"toy\.h5 needs .* GB and the disk has 1e-06 GB free; store less"):
        make(tmp_path / "toy.h5")
    assert not list(tmp_path.iterdir())


@forks
def test_space_is_claimed_at_creation(small_disk: Path) -> None:
    """With its space claimed, a disk that others fill meanwhile does not end the run."""
    target = small_disk / "toy.h5"
    process = fork(target, seconds=0.01)
    wait_for(target.exists, process)
    with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    process.join()
    assert process.exitcode == 0
    assert check_integrity(target).n_pending == 0


def test_full_disk_leaves_nothing_behind(small_disk: Path) -> None:
    with pytest.raises(CacheError, match="and the disk has"):
        make(small_disk / "toy.h5", size=20_000)
    assert not list(small_disk.iterdir())
