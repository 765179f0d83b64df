"""Sounds of a cache to start from, and where a recording is made to begin."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from chirps import SYNTH, U, catalogue_of_chirps

import pnp
from pnp import Parameter, ParameterSpace
from pnp.features.standard import standard_features
from pnp.matching.catalogue import Catalogue
from pnp.matching.onset import find_onset
from pnp.matching.recording import Recording, as_recording
from pnp.matching.search import Search

RATE = SYNTH.sample_rate


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return catalogue_of_chirps(tmp_path_factory.mktemp("catalogue"), size=32)


def test_onsets_of_sounds_span_those_of_the_cache(catalogue: Catalogue) -> None:
    first, last = catalogue.onsets
    assert first <= catalogue.onset < last < SYNTH.n_samples
    sounds = SYNTH(SYNTH.space.from_unit(catalogue.design)).numpy()
    found = [find_onset(sound, RATE) for sound in sounds]
    assert (min(found), max(found)) == (first, last)


@pytest.fixture
def late(catalogue: Catalogue) -> Catalogue:
    """Catalogue of a synthesizer that is never early."""
    return replace(catalogue, onset=80, onsets=(60, 110))


@pytest.mark.parametrize("place", ["first", "last", "between"])
def test_a_recording_that_may_have_been_made_as_it_is_stays(late: Catalogue, place: str) -> None:
    first, last = late.onsets
    at = {"first": first, "last": last, "between": (first + last) // 2}[place]
    assert late.place(click_at(at)) == at


def test_an_early_or_late_recording_is_moved_to_the_usual_place(late: Catalogue) -> None:
    first, last = late.onsets
    assert late.place(click_at(first - 20)) == late.onset
    assert late.place(click_at(last + 20)) == late.onset


@pytest.mark.parametrize("silence", [1000, 1023, 1024, 3000])
def test_silence_before_a_recording_may_be_longer_than_a_sound(late: Catalogue, silence: int) -> None:
    assert late.place(click_at(silence)) == late.onset


def test_noise_is_not_taken_for_an_early_onset(late: Catalogue) -> None:
    sound = SYNTH(SYNTH.space.from_unit(U[None]))[0].numpy()
    noise = np.random.default_rng(5).normal(size=len(sound))
    noisy = sound + noise * np.linalg.norm(sound) / np.linalg.norm(noise)
    begins = late.place(as_recording(noisy, RATE))
    # The noise is there from the beginning, before any chirp: the recording is left alone.
    assert begins < late.onsets[0]
    assert begins == find_onset(as_recording(noisy, RATE).samples, RATE)


def click_at(place: int) -> Recording:
    """A click that dies away, after silence."""
    x = np.zeros(place + SYNTH.n_samples + 200)
    x[place : place + 100] = np.exp(-np.arange(100) / 10.0) * np.cos(2.0 * np.arange(100))
    return Recording(x, RATE, "click")


class WithoutDerivatives(torch.nn.Module):
    """Decaying tones by NumPy, which PyTorch cannot differentiate; `gate` is when they stop, in samples."""

    space = ParameterSpace([Parameter("f", 100.0, 400.0, "log"), Parameter("decay", 1.0, 20.0)])
    sample_rate, n_samples = 1000.0, 512

    def __init__(self, gate: int = 512) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        t = np.arange(512) / 1000.0
        f, decay = theta.detach().numpy().astype(np.float64).T[:, :, None]
        return torch.from_numpy(np.exp(-decay * t) * np.sin(2 * np.pi * f * t) * (t < self.gate / 1e3)).to(
            theta
        )


@pytest.mark.parametrize("gate", [512, 200])
def test_there_is_one_warning_of_a_synthesizer_without_derivatives(tmp_path, caplog, gate: int) -> None:
    synth = WithoutDerivatives(gate)
    phi = standard_features(synth, J=5, Q=(8, 1), Q_fr=1, J_fr=3)
    pnp.precompute(synth, phi, tmp_path / "tones.h5", size=16, store=("S",), progress=False)
    caplog.clear()
    with pnp.MetricCache(tmp_path / "tones.h5") as cache:
        catalogue = Catalogue.from_cache(cache, synth, phi)
    assert catalogue.stops == (gate < 512)
    theta = torch.tensor([[180.0, 4.0]], dtype=torch.float64)
    found = Search(catalogue).match(as_recording(synth(theta)[0].numpy(), 1000.0))
    assert found.theta.numpy() == pytest.approx(theta[0].numpy(), rel=0.01)
    assert sum("cannot be differentiated" in record.message for record in caplog.records) == 1
