"""The mean squared distance between two sounds is kept whatever else is, exactly, and as it was after interruptions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from caches import BLOCK, make, shards, wipe
from hypothesis import given
from hypothesis import strategies as st

from pnp.metric.reach import ceiling_of_reach
from pnp.store import MetricCache, merge
from pnp.store.moments import MOST_BLOCKS, has_moments, mean_squared_distance, moments_of


def over_pairs(S: np.ndarray) -> float:
    """The definition."""
    pairs = [((S[i] - S[j]) ** 2).sum() for i in range(len(S)) for j in range(len(S)) if i != j]
    return float(np.mean(pairs))


@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=9).filter(lambda sizes: sum(sizes) >= 2),
    n_features=st.integers(1, 5),
    offset=st.sampled_from([0.0, 1.0, 30.0]),
)
def test_blocks_combine_to_the_mean_over_all_pairs(
    seed: int, sizes: list[int], n_features: int, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    blocks = [offset + rng.standard_normal((n + 2, n_features)) for n in sizes]
    # The last two of each block belong to another fold, or failed.
    counted = [np.arange(n + 2) < n for n in sizes]
    for block in blocks:
        block[-1] = np.nan
    moments = np.stack([moments_of(block, mask) for block, mask in zip(blocks, counted, strict=True)])
    expected = over_pairs(np.concatenate([b[mask] for b, mask in zip(blocks, counted, strict=True)]))
    found = mean_squared_distance(moments)
    assert found is not None
    # Means are kept in single precision.
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5 * (1 + offset))


@pytest.mark.parametrize("store", ["metric", "features", "jacobian", ["J"]])
def test_every_cache_knows_it_whatever_it_keeps(tmp_path: Path, store: Any) -> None:
    exact = make(tmp_path / "exact.h5", dtype="float64", trouble="silence")
    with MetricCache(exact) as cache:
        expected = over_pairs(cache.features(cache.rows("train")).numpy())
    with MetricCache(make(tmp_path / "some.h5", store=store, trouble="silence")) as cache:
        assert cache.mean_squared_distance == pytest.approx(expected, rel=1e-6)
        assert ceiling_of_reach(cache, 2.0) == pytest.approx(expected / 4, rel=1e-6)


def test_shards_have_together_what_one_run_has(tmp_path: Path) -> None:
    make(tmp_path / "one.h5", store="metric")
    merge(shards(tmp_path, 3, store="metric"), tmp_path / "linked.h5")
    with MetricCache(tmp_path / "one.h5") as one, MetricCache(tmp_path / "linked.h5") as linked:
        assert linked.mean_squared_distance == one.mean_squared_distance


def test_blocks_that_are_not_done_do_not_count(tmp_path: Path) -> None:
    path = make(tmp_path / "toy.h5")
    wipe(path, "seal", 1)
    with MetricCache(path) as cache:
        rows = cache.rows("train")
        assert not ((rows >= BLOCK) & (rows < 2 * BLOCK)).any()
        expected = over_pairs(cache.features(rows).double().numpy())
        assert cache.mean_squared_distance == pytest.approx(expected, rel=1e-5)


def test_one_training_sound_has_no_distance(tmp_path: Path) -> None:
    path = make(tmp_path / "toy.h5", size=2, block=2, split=(0.5, 0.5, 0.0), store="metric")
    with MetricCache(path) as cache:
        assert cache.mean_squared_distance is None
        with pytest.raises(ValueError, match=r"needs two training sounds.*toy\.h5 has 1"):
            ceiling_of_reach(cache, 1.0)


@given(n_blocks=st.integers(1, 10**12), start=st.integers(0, 10**12))
def test_the_number_of_blocks_that_keep_their_moments_is_bounded_and_even(n_blocks: int, start: int) -> None:
    """Of any stretch of a design, about as many as its share."""
    start %= n_blocks
    stretch = np.arange(start, min(n_blocks, start + 100_000))
    share = min(1.0, MOST_BLOCKS / n_blocks)
    assert abs(has_moments(stretch, n_blocks).sum() - share * len(stretch)) <= 8


@pytest.mark.parametrize("step", [2, 3, 5, 8, 16, 60, 64, 100, 4096])
def test_blocks_that_keep_their_moments_fall_into_step_with_no_grid(step: int) -> None:
    """Each phase of a period gets its share: a grid repeats itself along its axes."""
    n_blocks = 500 * MOST_BLOCKS
    chosen = np.flatnonzero(has_moments(np.arange(n_blocks), n_blocks))
    shares = np.histogram(chosen % step, bins=min(step, 4), range=(0, step))[0] / len(chosen)
    even = np.histogram(np.arange(step), bins=min(step, 4), range=(0, step))[0] / step
    assert np.abs(shares - even).max() < 0.05


@pytest.mark.slow
def test_the_distance_of_a_long_design_is_that_of_some_blocks(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("pnp.store.moments.MOST_BLOCKS", 40)
    size, block = 120, 1
    whole = make(tmp_path / "whole.h5", size=size, block=block, probe=False)
    with MetricCache(whole) as cache:
        assert cache.header.length(cache.header.summaries[0]) == pytest.approx(40, abs=2)
        expected = 2 * float(cache.features(cache.rows("train")).double().var(0).sum())
        assert cache.mean_squared_distance == pytest.approx(expected, rel=0.2)
        d2 = cache.mean_squared_distance
    parts = shards(tmp_path, 4, size=size, block=block, probe=False)
    merge(parts, tmp_path / "copy.h5", copy=True)
    assert (tmp_path / "copy.h5").read_bytes() == whole.read_bytes()
    merge(parts, tmp_path / "linked.h5")
    with MetricCache(tmp_path / "linked.h5") as cache:
        assert cache.mean_squared_distance == d2
        assert torch.isfinite(cache.metrics().factor).all()


def test_a_file_of_version_2_with_features_computes_it() -> None:
    folder = Path(__file__).parent / "caches"
    with MetricCache(folder / "version-1.h5") as cache:
        expected = over_pairs(cache.features(cache.rows("train")).double().numpy())
        assert cache.mean_squared_distance == pytest.approx(expected, rel=1e-6)
    with MetricCache(folder / "version-2-chirp.h5") as cache:
        assert cache.mean_squared_distance is None
        with pytest.warns(UserWarning, match=r"version-2-chirp\.h5 keeps neither features nor the distance"):
            assert ceiling_of_reach(cache, 1.0) > 0
