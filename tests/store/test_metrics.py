"""Metrics that are read where they are asked for are those of the cache."""

from pathlib import Path

import pytest
import torch
from random_caches import metric_cache

from pnp import RiemannianMetric
from pnp.errors import PnpError
from pnp.store.metrics import StoredMetrics


def test_every_way_to_select_gives_the_metrics_of_those_rows(tmp_path: Path) -> None:
    cache = metric_cache(tmp_path / "a.h5", 4, size=12, failed=3, block=4)
    rows = cache.ok.nonzero().flatten()
    stored, whole = StoredMetrics(cache, rows), cache.metrics()[rows]
    assert (len(stored), stored.n_parameters, stored.valid.tolist()) == (9, 4, [True] * 9)
    scattered = torch.tensor([[8, 0, 3], [3, 3, 7]])
    for key in (slice(2, 5), slice(None), stored.valid, torch.tensor([5, 1]), scattered):
        assert torch.equal(stored[key].factor, whole[key].factor)


def test_some_columns_give_the_block_of_the_metric(tmp_path: Path) -> None:
    cache = metric_cache(tmp_path / "a.h5", 4, size=6)
    stored = StoredMetrics(cache, torch.arange(6), [2, 0])
    assert stored.n_parameters == 2
    block = cache.metrics().matrix[1:3][:, [2, 0]][:, :, [2, 0]]
    torch.testing.assert_close(stored[1:3].matrix, block)
    assert isinstance(stored[1:3], RiemannianMetric)


def test_a_row_without_a_metric_is_refused(tmp_path: Path) -> None:
    cache = metric_cache(tmp_path / "a.h5", 2, size=6, failed=1)
    with pytest.raises(PnpError, match="row 0"):
        StoredMetrics(cache, torch.arange(6))[:]
