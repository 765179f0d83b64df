"""Reading a cache: rows, folds, types, several processes."""

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from caches import BLOCK, SIZE, fork, forks, make, sealed, wait_for
from toy import ToyFeatures, ToySynth

from pnp.errors import CacheError
from pnp.metric.riemannian import RiemannianMetric
from pnp.offline.precompute import precompute
from pnp.store import MetricCache, check_integrity


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
            with pytest.raises(
                CacheError, match=r"and S is asked for; precompute it again with store='features'"
            ):
                cache.features(0)


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
