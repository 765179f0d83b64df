"""Sounds of a cache to start from, and where a recording is made to begin."""

from dataclasses import replace

import numpy as np
import pytest
from chirps import SYNTH, U, catalogue_of_chirps

from pnp.matching.catalogue import Catalogue
from pnp.matching.onset import find_onset
from pnp.matching.recording import Recording, as_recording

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
    x = np.zeros(SYNTH.n_samples + 200)
    x[place : place + 100] = np.exp(-np.arange(100) / 10.0) * np.cos(2.0 * np.arange(100))
    return Recording(x, RATE, "click")
