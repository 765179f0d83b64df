"""Caches that earlier versions wrote: their fingerprints stay, and they are read and continued."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import pnp
from pnp.features import Features, MultiscaleSpectrogram, MultiscaleSTFT, TimeFrequencyScattering
from pnp.store import check_integrity
from pnp.store.provenance import describe
from pnp.synths import Restriction, make

FOLDER = Path(__file__).parent / "caches"
# What version 0.1 described each pair by, and the fingerprint of its cache.
PINNED = json.loads((FOLDER / "version-2.json").read_text(encoding="utf-8"))
# Its metrics of all four sounds. Its files hold the first two: each run was interrupted.
METRICS = np.load(FOLDER / "version-2-metrics.npz")


def scattering() -> TimeFrequencyScattering:
    return TimeFrequencyScattering(
        shape=1024, J=5, Q=(2, 1), J_fr=2, Q_fr=1, T="global", F="global", pad_mode="reflect"
    )


def pair(name: str) -> tuple[nn.Module, nn.Module]:
    if name == "restriction":
        return Restriction(make("chirp", n_samples=1024), {"f_m": 8.0}), MultiscaleSTFT((256,), (64,), (128,))
    features = {
        "chirp": lambda: Features(scattering(), compression="log1p", scale=1e3),
        "ripple": scattering,
        "drum": lambda: Features(MultiscaleSTFT((256,), (64,), (128,)), compression="none"),
        "string": lambda: Features(MultiscaleSpectrogram((128, 64)), compression="log1p", scale=1e3),
    }
    return make(name, n_samples=1024), features[name]()


@pytest.mark.parametrize("name", PINNED)
def test_a_configuration_has_the_description_that_it_had(name: str) -> None:
    synth, features = pair(name)
    assert describe(synth) == PINNED[name]["synthesizer"]
    assert describe(features) == PINNED[name]["features"]


@pytest.mark.parametrize("name", PINNED)
def test_a_cache_that_was_begun_is_continued_to_the_same_end(name: str, tmp_path: Path) -> None:
    path = Path(shutil.copy(FOLDER / f"version-2-{name}.h5", tmp_path))
    synth, features = pair(name)
    with pnp.MetricCache(path) as cache:
        assert cache.fingerprint == PINNED[name]["fingerprint"]
        assert int(cache.ok.sum()) == 2
    summary = pnp.precompute(synth, features, path, size=4, block=2, seed=3, store="metric", progress=False)
    assert (summary.n_resumed, summary.n_done, summary.n_failed) == (2, 4, 0)
    with pnp.MetricCache(path) as cache:
        assert cache.fingerprint == PINNED[name]["fingerprint"]
        matrix, expected = cache.metrics().matrix.numpy(), METRICS[name]
        # Other releases of PyTorch may round otherwise; the scale is that of each sound's metric.
        assert (np.abs(matrix - expected).max((1, 2)) <= 1e-4 * np.abs(expected).max((1, 2))).all()
    assert check_integrity(path).ok
