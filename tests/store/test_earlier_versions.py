"""Caches that earlier versions wrote: their fingerprints stay, and they are read and continued."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from caches import wipe
from torch import nn

import pnp
from pnp.features import Features, MultiscaleSpectrogram, MultiscaleSTFT, TimeFrequencyScattering
from pnp.store import CacheWriter, MetricCache, check_integrity
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
    if name in ("drum", "restriction"):
        pytest.importorskip("auraloss")  # MultiscaleSTFT takes its spectrograms from it
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


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    """A cache that pnp wrote with schema version 1: 40 sounds, of which the fast ones were silent."""
    return Path(shutil.copy(FOLDER / "version-1.h5", tmp_path))


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
