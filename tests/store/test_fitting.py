"""A synthesizer fits a cache if it makes the same sounds, and what differs is named."""

import math
from pathlib import Path

import pytest
import torch
from task import Energies, MemoryCache, Tones
from torch import nn
from toy import ToyFeatures, ToySynth

import pnp
from pnp.offline.precompute import precompute
from pnp.parameters import Parameter, ParameterSpace
from pnp.store import MetricCache
from pnp.store.fitting import check_fits
from pnp.store.provenance import describe
from pnp.training.dataset import CacheDataset
from pnp.training.encoder import Encoder
from pnp.training.evaluate import evaluate
from pnp.training.train import train


class Tone(nn.Module):
    """A module of a user: no `config`, and an attribute that decides the sound."""

    def __init__(self, ratio=1.0, n=1024, rate=8000.0):
        super().__init__()
        self.space = ParameterSpace(
            [Parameter("f0", 200.0, 800.0, "log"), Parameter("decay", 0.05, 0.5, "log")]
        )
        self.sample_rate, self.n_samples, self.ratio = rate, n, ratio

    def forward(self, theta):
        t = torch.arange(self.n_samples, dtype=theta.dtype) / self.sample_rate
        return torch.exp(-t / theta[..., 1:]) * torch.sin(2 * math.pi * self.ratio * theta[..., :1] * t)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fitting")
    chirp = pnp.synths.make("chirp", n_samples=2048)
    precompute(chirp, ToyFeatures(2048), folder / "chirp.h5", size=32, progress=False)
    precompute(Tone(1.4), Energies(), folder / "tone.h5", size=32, progress=False, store="features")
    return folder


def uses(cache, synth, features=None):
    """Every place where a synthesizer meets a cache."""
    yield lambda: check_fits(cache, synth, features)
    yield lambda: CacheDataset(cache, synth=synth)
    yield lambda: train(cache, synth, loss="p", progress=False)
    yield lambda: evaluate(Encoder(cache.space, synth.sample_rate), cache, synth, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"different lengths: Chirp makes 32768 samples; .*chirp\.h5 was made with 2048 samples"),
        (
            {"n_samples": 2048, "sample_rate": 4096.0},
            r"different sampling rates: Chirp makes 4096 Hz; .* 8192 Hz",
        ),
        (
            {"n_samples": 2048, "normalization": "peak"},
            r'other settings .*\(config\.normalization: the file has "none", asked "peak"\)',
        ),
        ({"n_samples": 2048, "ranges": {"f_c": (300.0, 600.0)}}, "different parameter spaces"),
    ],
)
def test_another_length_rate_setting_or_range_is_refused_wherever_synthesizers_meet_caches(
    path, options, message
):
    with MetricCache(path / "chirp.h5") as cache:
        for use in uses(cache, pnp.synths.make("chirp", **options)):
            with pytest.raises(ValueError, match=message):
                use()


def test_the_synthesizer_of_the_cache_fits_in_any_precision(path):
    with MetricCache(path / "chirp.h5") as cache:
        check_fits(cache, pnp.synths.make("chirp", n_samples=2048))
        check_fits(cache, pnp.synths.make("chirp", n_samples=2048).double())


def test_tensors_decide_in_either_precision():
    class Weighted(Tones):
        def __init__(self, weight):
            super().__init__()
            self.register_buffer("weight", torch.tensor(weight))

    cache = MemoryCache()
    cache.config = {"synthesizer": describe(Weighted(0.3))}
    check_fits(cache, Weighted(0.3))
    check_fits(cache, Weighted(0.3).double())
    with pytest.raises(ValueError, match="state_sha256"):
        check_fits(cache, Weighted(0.4))


def test_where_features_are_kept_the_sound_itself_decides(path):
    with MetricCache(path / "tone.h5") as cache:
        check_fits(cache, Tone(1.4), Energies())
        with pytest.raises(ValueError, match=r"features of row 0 differ by .* of their norm"):
            check_fits(cache, Tone(3.5), Energies())
        with pytest.raises(ValueError, match=r"not those that .*tone\.h5 was made with"):
            evaluate(Encoder(cache.space, 8000.0), cache, Tone(3.5), features=Energies(), progress=False)
        with pytest.raises(ValueError, match=r"not those that .*tone\.h5 was made with"):
            train(cache, Tone(3.5), loss="spectral", features=Energies(), progress=False)


def test_a_class_is_known_by_its_name_wherever_its_file_is():
    cache = MemoryCache()
    cache.config = {"synthesizer": {"class": "__main__.Tones"}}
    check_fits(cache, Tones())
    other = ToySynth()
    other.space = cache.space
    with pytest.raises(ValueError, match=r'class: the file has "Tones", asked "ToySynth"'):
        check_fits(cache, other)


def test_a_synthesizer_may_have_an_attribute_named_parameters(tmp_path: Path) -> None:
    class Listed(ToySynth):
        """Its list of parameters hides the method of `torch.nn.Module`."""

        def __init__(self) -> None:
            super().__init__()
            self.parameters = list(self.space)
            self.gain = nn.Parameter(torch.ones(()))

    synth = Listed()
    precompute(synth, ToyFeatures(), tmp_path / "a.h5", size=6, progress=False)
    cache = MetricCache(tmp_path / "a.h5")
    check_fits(cache, synth, ToyFeatures())
    assert "state_sha256" in cache.config["synthesizer"]
