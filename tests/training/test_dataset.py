"""CacheDataset: the sounds of a fold, one by one and in batches."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader
from toy import ToyFeatures, ToySynth

from pnp.offline.precompute import precompute
from pnp.store import MetricCache
from pnp.training.dataset import CacheDataset


@pytest.fixture
def path(tmp_path: Path) -> Path:
    synth = ToySynth(trouble="silence")
    precompute(synth, ToyFeatures(), tmp_path / "toy.h5", size=70, block=8, progress=False)
    return tmp_path / "toy.h5"


def test_folds_share_out_the_sounds_that_have_a_metric(path: Path) -> None:
    with MetricCache(path) as cache:
        rows = [CacheDataset(cache, fold).index for fold in ("train", "validation", "test")]
        assert torch.equal(torch.cat(rows).sort()[0], cache.rows())
        assert torch.equal(CacheDataset(cache, None).index, cache.rows())
        assert 0 < len(cache.rows()) < 70


def test_items_are_rows_of_the_cache(path: Path) -> None:
    data = CacheDataset(path, "train", ToySynth(trouble="silence"), dtype=torch.float64)
    item = data[5]
    row = int(item["index"])
    assert torch.equal(item["u"], data.cache.u[row])
    assert torch.equal(item["theta"], data.cache.theta[row])
    assert torch.equal(item["x"], ToySynth()(item["theta"]))
    assert torch.equal(data[-1]["u"], data[len(data) - 1]["u"])
    data.cache.close()


def test_batches_have_the_metrics_of_their_rows(path: Path) -> None:
    data = CacheDataset(path, "train", metric=True)
    for batch in data.loader(16):
        expected = data.cache.metric(batch["index"]).matrix
        assert torch.equal(batch["M"], expected.float())
    assert data[3]["M"].shape == (2, 2)
    assert "M" not in CacheDataset(path, "train")[3]
    data.cache.close()


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_loader_batches_are_the_items(path: Path, workers: int) -> None:
    data = CacheDataset(path, "train", ToySynth(trouble="silence"))
    for batch in DataLoader(data, batch_size=16, num_workers=workers):
        assert batch["u"].shape[1:] == (2,)
        assert batch["x"].shape[1:] == (64,)
        assert torch.equal(batch["u"], data.cache.u[batch["index"]].float())
    data.cache.close()


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_own_loader_yields_every_sound_once_in_whole_batches(path: Path, workers: int) -> None:
    data = CacheDataset(path, "train", ToySynth(trouble="silence"))
    batches = list(data.loader(16, workers=workers, generator=torch.Generator().manual_seed(0)))
    index = torch.cat([batch["index"] for batch in batches])
    assert not torch.equal(index, data.index)
    assert torch.equal(index.sort()[0], data.index)
    assert {len(batch["x"]) for batch in batches[:-1]} == {16}
    assert torch.equal(torch.cat([batch["u"] for batch in batches]), data.cache.u[index].float())
    in_order = torch.cat([batch["index"] for batch in data.loader(16, shuffle=False)])
    assert torch.equal(in_order, data.index)
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1, got 0"):
        data.loader(0)
    data.cache.close()


def test_bad_input(path: Path) -> None:
    with MetricCache(path) as cache:
        with pytest.raises(ValueError, match="fold must be one of"):
            CacheDataset(cache, "dev")
        data = CacheDataset(cache, "test")
        with pytest.raises(IndexError, match=rf"item {len(data)} is out of range for {len(data)} sounds"):
            data[len(data)]
        with pytest.raises(IndexError, match="out of range"):
            data[-len(data) - 1]
        other = ToySynth()
        other.space = other.space.replace({"f": (1.0, 2.0)})
        with pytest.raises(
            ValueError, match=r"different parameter spaces: ToySynth has f in \[1, 2\] .*toy\.h5 has f"
        ):
            CacheDataset(cache, "test", other)
