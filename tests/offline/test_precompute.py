"""Runs of the offline stage: numbers do not depend on how it is run, and what goes wrong is told."""

import importlib
import inspect
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from caches import SIZE, run
from torch import Tensor
from toy import ToyFeatures, ToySynth

from pnp.jacobian import value_and_jacobian
from pnp.offline.precompute import precompute
from pnp.store import MetricCache, Status


def test_rows_are_value_and_jacobian(tmp_path: Path) -> None:
    synth, features = ToySynth().double(), ToyFeatures().double()
    run(tmp_path / "toy.h5", synth, features, dtype="float64")
    with MetricCache(tmp_path / "toy.h5") as cache:
        S, J = value_and_jacobian(synth, features, cache.u)
        assert torch.allclose(cache.features(slice(None)), S, rtol=1e-12)
        assert torch.allclose(cache.jacobian(slice(None)), J, rtol=1e-10, atol=1e-14)
        assert torch.allclose(cache.metrics().matrix, J.mT @ J, rtol=1e-10)
        assert cache.config["precision"] == "float64"


def test_result_does_not_depend_on_the_threads_of_the_caller(tmp_path: Path) -> None:
    run(tmp_path / "1.h5")
    torch.set_num_threads(2)
    try:
        run(tmp_path / "2.h5")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_the_users_modules_are_left_alone(tmp_path: Path) -> None:
    features = ToyFeatures().train()
    before = features.get_buffer("cosines").clone()
    run(tmp_path / "toy.h5", features=features, precision="float64")
    assert features.training
    assert torch.equal(features.get_buffer("cosines"), before)


@pytest.mark.parametrize(
    ("trouble", "status", "reason"),
    [
        ("nan", Status.NOT_FINITE, "the sound is NaN or infinite, first at sample 0"),
        ("silence", Status.SILENT, "the sound is silent"),
        ("detached", Status.ZERO_JACOBIAN, "J is zero though the sound is not"),
    ],
)
def test_failed_sounds_are_recorded_and_counted(
    tmp_path: Path, trouble: str, status: Status, reason: str
) -> None:
    summary = run(tmp_path / "toy.h5", ToySynth(trouble=trouble), probe=False)
    with MetricCache(tmp_path / "toy.h5") as cache:
        failing = cache.theta[:, 1] > 16
        assert failing.any()
        assert torch.equal(cache.status == status, failing)
        assert torch.equal(cache.ok, ~failing)
        assert torch.equal(cache.metrics().valid, ~failing)
        assert all(text.startswith(reason) for text in cache.failures.values())
    assert summary.n_failed == int(failing.sum())
    assert summary.n_done == SIZE
    assert sum(summary.reasons.values()) == summary.n_failed
    assert f"{summary.n_failed} failed" in str(summary)


def test_neighbours_of_a_failed_sound_are_what_they_would_have_been(tmp_path: Path) -> None:
    run(tmp_path / "good.h5")
    run(tmp_path / "bad.h5", ToySynth(trouble="nan"))
    with MetricCache(tmp_path / "good.h5") as good, MetricCache(tmp_path / "bad.h5") as bad:
        assert torch.equal(bad.metrics().factor[bad.ok], good.metrics().factor[bad.ok])


def test_failed_sounds_can_be_asked_for_again(tmp_path: Path) -> None:
    path, trouble = tmp_path / "toy.h5", {"above": 0.9}

    class Moody(ToySynth):
        def forward(self, theta: Tensor) -> Tensor:
            if bool((self.space.to_unit(theta)[..., 1] > trouble["above"]).any()):
                raise ArithmeticError("not today")
            return super().forward(theta)

    first = run(path, Moody(), probe=False)
    assert 0 < first.n_failed < SIZE
    trouble["above"] = 2.0
    assert run(path, Moody()).n_failed == first.n_failed
    again = run(path, Moody(), retry_failed=True)
    assert 0 < again.n_resumed < SIZE
    assert (again.n_done, again.n_failed) == (SIZE, 0)
    run(tmp_path / "reference.h5", Moody())
    assert path.read_bytes() == (tmp_path / "reference.h5").read_bytes()
    assert run(path, Moody(), retry_failed=True).n_resumed == SIZE


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_whole_numbers_of_numpy_are_whole_numbers(tmp_path: Path, kind: type) -> None:
    run(tmp_path / "a.h5", seed=kind(3), block=kind(8), jobs=kind(1))
    assert run(tmp_path / "a.h5", seed=3, block=8).n_resumed == SIZE


@pytest.mark.parametrize("name", ["seed", "block", "jobs"])
@pytest.mark.parametrize("value", [1.5, "2", None])
def test_what_is_no_whole_number_is_named(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a whole number .*, got {value!r}"):
        inspect.unwrap(precompute)(ToySynth(), ToyFeatures(), tmp_path / "a.h5", size=8, **{name: value})


@pytest.mark.parametrize("n_samples", [0, -1, 10**12])
def test_impossible_lengths_are_named(tmp_path: Path, n_samples: int) -> None:
    with pytest.raises(
        ValueError, match=r"must have between 1 and 2,147,483,647 samples, for memory, got n_samples="
    ):
        run(tmp_path / "a.h5", ToySynth(n_samples=n_samples))
    assert not list(tmp_path.iterdir())


def test_progress_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "toy.h5", ToySynth(trouble="silence"), progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "70/70" in captured.err
    assert "failed=" in captured.err


def test_a_run_that_will_be_long_is_announced(tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(importlib.import_module("pnp.offline.precompute"), "_LONG", 0.0)
    with caplog.at_level(logging.WARNING, "pnp"):
        run(tmp_path / "toy.h5")
    assert re.search(r"a sound takes about .* and 70 of them about .* hours with jobs=1", caplog.text)


def test_size_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pnp"):
        run(tmp_path / "toy.h5")
    assert "70 sounds, at most 0.2896 MB of disk, new" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": None}, "needs `size`"),
        ({"size": 0}, "size must be a whole number from 1 to .*, got 0"),
        ({"jobs": 0}, "jobs must be a whole number of at least 1, got 0"),
        ({"block": 0}, "block must be a whole number of at least 1, got 0"),
        ({"backend": "threads"}, "backend must be one of 'loky', 'dask', got 'threads'"),
        ({"store": "all"}, "store must be one of 'metric', 'features', 'jacobian', got 'all'"),
        ({"store": ["K"]}, "store must hold 'S', 'J', both or none, got 'K'"),
        ({"dtype": "float8"}, "dtype must be one of 'float16', 'float32', 'float64', got 'float8'"),
        ({"compression": "zip"}, "compression must be one of 'none', 'gzip', got 'zip'"),
        ({"precision": "half"}, "precision must be 'float32' or 'float64', got 'half'"),
        ({"device": "cuda:99"}, "can use here, cpu.*; got 'cuda:99'"),
        ({"seed": -1}, "seed must be a whole number from 0 to .*, got -1"),
        ({"device": "cuda", "jobs": 2}, "on device 'cuda' use jobs=1, got 2"),
        ({"shard": (3, 3)}, r"shard must be \(i, n\) with 0 <= i < n, got \(3, 3\)"),
        ({"shard": (0, 20)}, "70 sounds in blocks of 8 make 9 blocks, too few for 20 shards"),
        ({"split": (0.5, 0.6, 0.1)}, r"split must be three shares that sum to 1"),
        ({"method": "halton"}, "unknown sampling method 'halton'"),
        ({"u": torch.zeros(3)}, r"u must have shape \(size, 2\) .* got \(3,\)"),
        ({"u": torch.zeros(3, 2)}, "got 70 for 3 rows"),
        ({"u": torch.full((2, 2), 1.5), "size": 2}, "1.5"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "toy.h5", **options)
    assert not list(tmp_path.iterdir())
