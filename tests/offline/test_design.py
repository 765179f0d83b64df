"""Designs, folds and shards of a run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from caches import BLOCK, SIZE, run
from toy import ToySynth

from pnp.errors import CacheConfigMismatch
from pnp.store import MetricCache


def test_given_design_is_kept_as_it_is(tmp_path: Path) -> None:
    u = torch.linspace(-1, 1, 10, dtype=torch.float64)[:, None].expand(-1, 2)
    summary = run(tmp_path / "toy.h5", u=u, size=None)
    with MetricCache(tmp_path / "toy.h5") as cache:
        assert torch.equal(cache.u, u)
        assert cache.config["method"] == "given"
    assert summary.n_total == 10
    with pytest.raises(CacheConfigMismatch, match="u_sha256"):
        run(tmp_path / "toy.h5", u=-u, size=None)


@pytest.mark.parametrize(("method", "size"), [("uniform", 12), ("lhs", 12), ("grid", (3, 4))])
def test_designs(tmp_path: Path, method: str, size: Any) -> None:
    run(tmp_path / "toy.h5", size=size, method=method, seed=5)
    with MetricCache(tmp_path / "toy.h5") as cache:
        assert torch.equal(cache.u, ToySynth().space.sample(size, method=method, seed=5))
        assert len(cache) == 12


def test_folds_follow_seed_and_split(tmp_path: Path) -> None:
    folds = {}
    for name, options in {"a": {}, "b": {"seed": 1}, "c": {"split": (0.5, 0.25, 0.25)}}.items():
        run(tmp_path / f"{name}.h5", **options)
        with MetricCache(tmp_path / f"{name}.h5") as cache:
            folds[name] = cache.fold
    assert not torch.equal(folds["a"], folds["b"])
    assert folds["c"].bincount().tolist() == [35, 17, 18]


def test_shards_hold_consecutive_whole_blocks(tmp_path: Path) -> None:
    ids = []
    for part in range(3):
        run(tmp_path / f"{part}.h5", shard=(part, 3))
        with MetricCache(tmp_path / f"{part}.h5") as cache:
            assert int(cache.id[0]) % BLOCK == 0
            ids.append(cache.id)
    assert torch.equal(torch.cat(ids), torch.arange(SIZE))


def test_shard_of_another_run_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "toy.h5", shard=(0, 3))
    with pytest.raises(CacheConfigMismatch, match=r"shard: the file has \[0, 3\], asked \[1, 3\]"):
        run(tmp_path / "toy.h5", shard=(1, 3))
