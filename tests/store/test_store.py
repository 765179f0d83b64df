"""What a cache file promises: the same bytes after interruptions, and one clear sentence for all else."""

import multiprocessing
import os
import pickle
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from toy import ToyFeatures, ToySynth

from pnp import synths
from pnp.errors import CacheBusy, CacheConfigMismatch, CacheCorrupt, CacheError
from pnp.metric.riemannian import RiemannianMetric
from pnp.offline.precompute import precompute
from pnp.store import (
    CacheHeader,
    CacheWriter,
    MetricCache,
    Status,
    cache_bytes,
    check_integrity,
    merge,
    writer,
)
from pnp.store.lock import WriterLock
from pnp.store.schema import STORE_LEVELS

SIZE, BLOCK = 70, 8

# From Python 3.12 on, a fork warns where a library has started threads; none of them is needed here.
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

RUN = """
import sys
from toy import ToyFeatures, ToySynth
from pnp.offline.precompute import precompute
path, seconds, jobs, size = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
precompute(ToySynth(seconds=seconds), ToyFeatures(), path, size=size, block=8, jobs=jobs, progress=False)
"""


@pytest.fixture(autouse=True)
def _fixed_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """The date is the one thing in which two runs of a command differ."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")


def make(path: Path, **options: Any) -> Path:
    synth = ToySynth(trouble=options.pop("trouble", ""), seconds=options.pop("seconds", 0.0))
    precompute(synth, ToyFeatures(), path, **{"size": SIZE, "block": BLOCK, "progress": False} | options)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make(tmp_path / "toy.h5")


def start(path: Path, seconds: float = 0.0, jobs: int = 1, **options: Any) -> subprocess.Popen[str]:
    """The same run by a fresh interpreter, whose messages can be read."""
    import pnp

    roots = [str(Path(__file__).parents[1]), str(Path(pnp.__file__).parents[1])]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(path), str(seconds), str(jobs), str(SIZE)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(roots), "OMP_NUM_THREADS": "1"},
        text=True,
        stderr=subprocess.PIPE,
        **options,
    )


def fork(path: Path, seconds: float, **options: Any) -> ForkProcess:
    """The same run in a fork of this process, which saves it the imports."""
    process = multiprocessing.get_context("fork").Process(
        target=make, args=(path,), kwargs={"seconds": seconds} | options
    )
    process.start()
    return process


def finish(process: subprocess.Popen[str]) -> str:
    """What a process that is expected to end by itself said."""
    return process.communicate(timeout=100)[1]


def sealed(path: Path) -> int:
    """Blocks that are done, as plain h5py sees them."""
    if not path.exists():
        return 0
    with h5py.File(path, "r", locking=False) as file:
        return int(file["seal"][...].any(axis=1).sum())


def wait_for(condition: Callable[[], bool], process: ForkProcess | subprocess.Popen[str]) -> None:
    while not condition():
        running = process.is_alive() if isinstance(process, ForkProcess) else process.poll() is None
        assert running, "the run ended before anything could happen to it"
        time.sleep(0.002)


# -- what is in the file -------------------------------------------------------------------------------------


def test_plain_h5py_reads_every_dataset_of_the_contract(path: Path) -> None:
    with h5py.File(path) as file:
        shapes = {name: file[name].shape for name in file}
        assert shapes == {
            "id": (SIZE,),
            "fold": (SIZE,),
            "theta": (SIZE, 2),
            "u": (SIZE, 2),
            "S": (SIZE, 7),
            "J": (SIZE, 7, 2),
            "M": (SIZE, 2, 2),
            "R": (SIZE, 2, 2),
            "sigma": (SIZE, 2),
            "status": (SIZE,),
            "reason": (SIZE,),
            "checksum": (9, 11, 32),
            "seal": (9, 32),
        }
        assert all(file[name].dtype == np.float32 for name in "SJ")
        assert all(file[name].dtype == np.float64 for name in ("theta", "u", "M", "R", "sigma"))
        assert all(file[name].chunks is not None for name in file)
        assert file.attrs["schema"].decode() == "pnp-metric-cache"
        assert [name.decode() for name in file.attrs["parameter_names"]] == ["f", "decay"]
        assert [unit.decode() for unit in file.attrs["parameter_units"]] == ["Hz", "1/s"]
        assert file.attrs["parameter_lows"].tolist() == [100.0, 1.0]
        assert file.attrs["date"].decode() == "2001-09-09T01:46:40+00:00"


def test_metric_is_that_of_the_jacobian(path: Path) -> None:
    with MetricCache(path) as cache:
        from_file = RiemannianMetric.from_jacobian(cache.jacobian(slice(None)))
        assert torch.allclose(cache.metrics().matrix, from_file.matrix, rtol=1e-5)
        assert torch.equal(cache.metric(3).factor, cache.metrics().factor[3])
        assert torch.equal(cache.metric([3, 1]).factor, cache.metrics().factor[[3, 1]])


def test_rows_come_in_the_order_they_are_asked_for(path: Path) -> None:
    with MetricCache(path) as cache:
        every = cache.features(slice(None))
        assert torch.equal(cache.features([5, 60, 5, -1]), every[[5, 60, 5, -1]])
        assert torch.equal(cache.features(torch.arange(8, 12)), every[8:12])
        assert torch.equal(cache.features(4), every[4])
        assert cache.jacobian([]).shape == (0, 7, 2)


def test_folds_are_eighty_ten_ten_and_disjoint(path: Path) -> None:
    with MetricCache(path) as cache:
        sizes = [len(cache.rows(fold)) for fold in ("train", "validation", "test")]
        assert sizes == [56, 7, 7]
        assert torch.equal(
            torch.cat([cache.rows(f) for f in ("train", "validation", "test")]).sort()[0], cache.rows()
        )


def test_two_runs_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    assert make(tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_theta_is_what_the_space_says(path: Path) -> None:
    with MetricCache(path) as cache:
        assert torch.equal(cache.theta, ToySynth().space.from_unit(cache.u))
        assert cache.space == ToySynth().space


@pytest.mark.parametrize(
    ("store", "kept"), [("metric", ()), ("features", ("S",)), ("jacobian", ("S", "J")), (["J"], ("J",))]
)
def test_what_is_kept_is_chosen(tmp_path: Path, store: Any, kept: tuple[str, ...]) -> None:
    with MetricCache(make(tmp_path / "some.h5", store=store)) as cache:
        assert cache.stored == kept
        assert cache.metric(0).valid
        if "S" not in kept:
            with pytest.raises(CacheError, match=r"not 'S'; precompute it again with store='features'"):
                cache.features(0)


# -- resuming ------------------------------------------------------------------------------------------------


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
    (tmp_path / "toy.h5.new").write_bytes(b"half a file")
    make(tmp_path / "toy.h5")
    assert [file.name for file in tmp_path.iterdir()] == ["toy.h5"]


def test_other_configuration_is_refused_with_the_fields(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(CacheConfigMismatch, match=r"seed: the file has 0, asked 1") as caught:
        make(path, seed=1)
    assert "u_sha256" not in str(caught.value)
    with pytest.raises(
        CacheConfigMismatch, match=r"synthesizer\.config\.trouble: the file has \"\", asked \"nan\""
    ):
        make(path, trouble="nan")
    assert path.read_bytes() == before


def test_modules_without_config_are_told_apart_by_their_state(path: Path) -> None:
    other = ToyFeatures()
    other.get_buffer("cosines").mul_(1.5)
    with pytest.raises(CacheConfigMismatch, match=r"features\.state_sha256"):
        precompute(ToySynth(), other, path, size=SIZE, block=BLOCK, progress=False)


# -- types and compression ------------------------------------------------------------------------------------


def compressed(path: Path, **options: Any) -> Path:
    return make(path, compression="gzip", **options)


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
    draft = path.with_name("toy.h5.new")
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
    assert not path.with_name("toy.h5.new").exists()


@pytest.mark.parametrize("n", [1, 3])
def test_compressed_shards_merge(path: Path, tmp_path: Path, n: int) -> None:
    parts = shards(tmp_path, n, compression="gzip")
    merge(parts, tmp_path / "copy.h5", copy=True)
    assert (tmp_path / "copy.h5").read_bytes() == compressed(tmp_path / "one.h5").read_bytes()
    merge(parts, tmp_path / "linked.h5")
    assert check_integrity(tmp_path / "linked.h5").ok
    with MetricCache(tmp_path / "linked.h5") as linked, MetricCache(path) as one:
        assert torch.equal(linked.jacobian(slice(None)), one.jacobian(slice(None)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_features_and_jacobians_are_kept_in_the_type_that_is_asked_for(tmp_path: Path, dtype: str) -> None:
    path = make(tmp_path / "some.h5", dtype=dtype)
    exact = make(tmp_path / "exact.h5", dtype="float64")
    assert check_integrity(path).ok
    with MetricCache(path) as cache, MetricCache(exact) as reference:
        assert cache.features(3).dtype == cache.jacobian(3).dtype == getattr(torch, dtype)
        rounded = reference.jacobian(slice(None)).to(getattr(torch, dtype))
        assert torch.equal(cache.jacobian(slice(None)), rounded)
        assert torch.equal(cache.metrics().factor, reference.metrics().factor)


@pytest.mark.parametrize("scale", [1e9, 1e-9])
def test_sound_whose_features_do_not_fit_fails_and_says_so(tmp_path: Path, scale: float) -> None:
    class Scaled(ToyFeatures):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return scale * super().forward(x)

    options = {"size": 8, "block": 4, "progress": False, "dtype": "float16"}
    summary = precompute(ToySynth(), Scaled(), tmp_path / "all.h5", **options)
    assert summary.reasons == {"S is beyond the range of float16": 8}
    assert precompute(ToySynth(), Scaled(), tmp_path / "M.h5", **options, store="metric").n_failed == 0


# -- several processes ---------------------------------------------------------------------------------------


@forks
def test_reader_beside_the_writer_sees_whole_blocks(tmp_path: Path) -> None:
    target = tmp_path / "toy.h5"
    process = fork(target, seconds=0.005)
    seen = set()
    try:
        wait_for(lambda: sealed(target) > 0, process)
        while process.is_alive():
            with MetricCache(target) as cache:
                seen.add(int(cache.ok.sum()))
                assert bool(torch.isfinite(cache.metrics().factor[cache.ok]).all())
                assert check_integrity(target).ok
    finally:
        process.join()
    assert len(seen) > 1
    assert all(count % BLOCK == 0 or count == SIZE for count in seen)


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


def row_sums(cache: MetricCache, queue: Any) -> None:
    queue.put([float(cache.features(row).sum()) for row in range(len(cache))])


@pytest.mark.parametrize("method", ["fork", "spawn"])
@forks
def test_cache_reads_in_other_processes(path: Path, method: str) -> None:
    context = multiprocessing.get_context(method)
    with MetricCache(path) as cache:
        expected = [float(cache.features(row).sum()) for row in range(len(cache))]
        queue = context.Queue()
        workers = [context.Process(target=row_sums, args=(cache, queue)) for _ in range(2)]
        for worker in workers:
            worker.start()
        assert [queue.get(timeout=60) for _ in workers] == [expected, expected]
        for worker in workers:
            worker.join()
        assert float(cache.features(0).sum()) == expected[0]


def test_cache_pickles_without_its_data(path: Path) -> None:
    cache = MetricCache(path)
    _ = cache.metrics()
    copy = pickle.loads(pickle.dumps(cache))
    assert torch.equal(copy.metrics().factor, cache.metrics().factor)
    assert len(pickle.dumps(cache)) < 20_000
    cache.close()
    copy.close()


# -- files that are not what they should be ------------------------------------------------------------------


def offset(path: Path, name: str) -> int:
    with h5py.File(path, "r") as file:
        return int(file[name].id.get_chunk_info(0).byte_offset)


def wipe(path: Path, name: str, row: int) -> None:
    with h5py.File(path, "r") as file:
        count = file[name][row].nbytes
    with path.open("r+b") as stream:
        stream.seek(offset(path, name) + row * count)
        stream.write(bytes(count))


def flip(path: Path, position: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 0x01]))


NAMES = ["id", "fold", "theta", "u", "S", "J", "M", "R", "sigma", "status", "reason", "checksum", "seal"]


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


@pytest.mark.parametrize("name", NAMES)
def test_any_flipped_byte_of_a_compressed_file_is_found(tmp_path: Path, name: str) -> None:
    path = compressed(tmp_path / "toy.h5")
    with h5py.File(path, "r") as file:
        chunk = file[name].id.get_chunk_info(0)
    rng = random.Random(name)
    for position in {0, chunk.size - 1, *(rng.randrange(chunk.size) for _ in range(20))}:
        place = chunk.byte_offset + position
        flip(path, place)
        assert not check_integrity(path).ok, f"byte {position} of {name}"
        flip(path, place)
    assert check_integrity(path).ok


def content(path: Path) -> dict[str, bytes]:
    with h5py.File(path, "r") as file:
        return {name: file[name][...].tobytes() for name in file} | {
            f"@{name}": np.asarray(value).tobytes() for name, value in file.attrs.items()
        }


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
    from pnp.store.schema import digest_rows, read_header

    with h5py.File(path, "r+") as file:
        header = read_header(file, str(path))
        names = [column.name for column in header.columns]
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
        (modernize, CacheError, r"schema version 99, and this pnp reads up to 2; upgrade pnp"),
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


@pytest.mark.parametrize("row", [SIZE, -SIZE - 1, [0, SIZE]])
def test_row_out_of_range(path: Path, row: Any) -> None:
    with (
        MetricCache(path) as cache,
        pytest.raises(IndexError, match=rf"out of range for a cache of {SIZE} rows"),
    ):
        cache.metric(row)


def test_failed_sound_has_no_metric(tmp_path: Path) -> None:
    with MetricCache(make(tmp_path / "toy.h5", trouble="silence")) as cache:
        row, reason = next(iter(cache.failures.items()))
        assert reason == "the sound is silent"
        assert not cache.ok[row]
        assert not cache.metrics().valid[row]
        with pytest.raises(
            CacheError, match=rf"row {row} of .* has no metric: its sound failed \(the sound is silent\)"
        ):
            cache.metric(row)


def test_unknown_fold(path: Path) -> None:
    with (
        MetricCache(path) as cache,
        pytest.raises(ValueError, match=r"fold must be one of 'train'.* got 'dev'"),
    ):
        cache.rows("dev")


# -- disks ---------------------------------------------------------------------------------------------------


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


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False).returncode
    ):
        pytest.skip("mounting a tmpfs needs root")
    yield place
    # Lazily: a file that a failed test left open must not keep the mount for good.
    subprocess.run(["umount", "-l", place], check=True)


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


def test_full_disk_leaves_nothing_behind(small_disk: Path) -> None:
    with pytest.raises(CacheError, match="and the disk has"):
        make(small_disk / "toy.h5", size=20_000)
    assert not list(small_disk.iterdir())


# -- shards --------------------------------------------------------------------------------------------------


def shards(folder: Path, n: int, **options: Any) -> list[Path]:
    return [make(folder / f"part{i}.h5", shard=(i, n), **options) for i in range(n)]


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


@forks
def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    """In a process of its own, whose limit is put below the number of shards."""
    parts = shards(tmp_path, 40, size=80, block=2)
    count = len(list(Path("/proc/self/fd").iterdir()))
    process = multiprocessing.get_context("fork").Process(
        target=merge_within, args=(parts, tmp_path, count + 20)
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
        CacheError, match=rf"merged from 40 shards, .* may have {limit} files open; raise that"
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


def test_compressed_copy_verifies_and_is_not_continued(path: Path, tmp_path: Path) -> None:
    """What `h5repack -f GZIP=4` does."""
    wipe(path, "seal", 2)
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


# -- versions ------------------------------------------------------------------------------------------------


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    """What pnp wrote with schema version 1: 40 sounds, of which the fast ones were silent."""
    return Path(shutil.copy(Path(__file__).parent / "caches" / "version-1.h5", tmp_path))


def test_cache_of_schema_version_1_opens_and_verifies(first_version: Path) -> None:
    assert str(check_integrity(first_version)).endswith("version-1.h5: 40 of 40 rows, 7 failed: intact")
    with MetricCache(first_version) as cache:
        assert cache.header.schema_version == 1
        assert cache.stored == ("S", "J")
        assert set(cache.failures.values()) == {"the sound is silent"}
        J = cache.jacobian(cache.rows()).double()
        M = cache.metric(cache.rows()).matrix
        assert torch.allclose(J.mT @ J, M, rtol=1e-5, atol=1e-6 * float(M.max()))


def test_cache_of_schema_version_1_is_continued_and_compressed(first_version: Path) -> None:
    before = first_version.read_bytes()
    with MetricCache(first_version) as cache:
        header = cache.header
    with h5py.File(first_version) as file:
        columns = {name: file[name][...] for name in file}
    known = {name: columns[name] for name in ("id", "fold", "theta", "u")}
    wipe(first_version, "seal", 2)
    with CacheWriter(first_version, header, known) as writer:
        assert writer.pending == [2]
        writer.write_block(2, {name: column[header.rows(2)] for name, column in columns.items()})
        assert first_version.read_bytes() == before
        writer.compress()
    assert check_integrity(first_version).ok


# -- interruption --------------------------------------------------------------------------------------------


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
    assert re.search(r"interrupted: .* has \d+ of 70 sounds; the same command goes on", message)
    assert "toy.h5.lock" not in {file.name for file in tmp_path.iterdir()}
    make(target)
    assert target.read_bytes() == path.read_bytes()


# -- sizes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "P", "C"), [("chirp", 3, 520), ("drum", 5, 5305)])
def test_the_sizes_that_the_documentation_gives_are_those_of_the_file(name: str, P: int, C: int) -> None:
    columns = (
        ("metric", "float32"),
        ("features", "float32"),
        ("jacobian", "float32"),
        ("jacobian", "float16"),
    )
    space = synths.make(name).space
    sizes = []
    for store, dtype in columns:
        header = CacheHeader(space, 100_000, C, 16, STORE_LEVELS[store], dtype, {}, {}, "")
        sizes.append(f"{cache_bytes(header) / 1e6:.0f} MB")
    page = (Path(__file__).parents[2] / "docs" / "cache-format.md").read_text(encoding="utf-8")
    assert f"| {name}, P = {P}, C = {C} | {' | '.join(sizes)} |" in page


def test_the_size_that_is_announced_is_that_of_the_file(path: Path) -> None:
    with MetricCache(path) as cache:
        assert 0 <= path.stat().st_size - cache_bytes(cache.header) < 2**15
