"""Onsets and delays."""

import io

import numpy as np
import pytest
import soundfile

from pnp.matching.onset import count_onsets, find_lag, find_onset

RATE = 8000


def test_the_onset_of_a_noisy_recording_is_that_of_the_sound() -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal(8000)
    noise[3000:5000] += np.exp(-np.arange(2000) / 300) * np.cos(0.3 * np.arange(2000))
    assert abs(find_onset(noise, RATE) - 3000) < 40


@pytest.mark.parametrize("delay", [-700, 0, 123])
def test_the_lag_undoes_a_delay(delay) -> None:
    x = np.zeros(4096)
    x[1500:2500] = np.hanning(1000) * np.cos(0.7 * np.arange(1000))
    assert find_lag(np.roll(x, delay), x, RATE) == -delay


def attack(kind: str, frequency: float, decay: float) -> np.ndarray:
    t = np.arange(12_000) / 44_100
    carrier = {
        "cos": np.cos(2 * np.pi * frequency * t),
        "sin": np.sin(2 * np.pi * frequency * t),
        "noise": 0.3 * np.random.default_rng(0).standard_normal(len(t)),
    }
    return 0.6 * np.exp(-t / decay) * carrier[kind]


@pytest.mark.parametrize("coder", ["WAV", "OGG", "MP3"])
@pytest.mark.parametrize("kind", ["cos", "sin", "noise"])
@pytest.mark.parametrize("frequency", [60.0, 1000.0])
@pytest.mark.parametrize("decay", [0.01, 0.3])
def test_an_attack_begins_within_a_millisecond_of_its_place_whatever_the_coder(
    coder: str, kind: str, frequency: float, decay: float
) -> None:
    for place in (5000, 7000, 9137):
        x = np.concatenate([np.zeros(place), attack(kind, frequency, decay), np.zeros(3000)])
        file = io.BytesIO()
        soundfile.write(file, x, 44_100, format=coder)
        file.seek(0)
        read, _ = soundfile.read(file)
        assert abs(find_onset(read, 44_100) - place) <= 44.1


@pytest.mark.parametrize("rise", [0.02, 0.1, 0.5])
def test_a_sound_that_swells_begins_where_it_becomes_loud_enough_and_not_at_its_peak(rise: float) -> None:
    t = np.arange(RATE) / RATE
    swell = np.minimum(t / rise, 1.0) * np.sin(2 * np.pi * 500 * t)
    assert find_onset(swell, RATE) / RATE < 0.25 * rise


def test_silence_begins_at_once() -> None:
    assert find_onset(np.zeros(100), RATE) == 0


def strokes(*places: float, seconds: float = 1.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return sum(
        np.where(t >= place, np.exp(-(t - place) / 0.05) * np.cos(2 * np.pi * 300 * (t - place)), 0.0)
        for place in places
    )


@pytest.mark.parametrize("places", [(0.0,), (0.2,), (0.0, 0.4), (0.1, 0.4, 0.8)])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_onsets_are_counted(places: tuple[float, ...], noise: float) -> None:
    x = strokes(*places) + noise * np.random.default_rng(0).standard_normal(RATE)
    assert count_onsets(x, RATE) == len(places)


def test_a_tremolo_and_silence_have_no_further_onsets() -> None:
    t = np.arange(RATE) / RATE
    assert count_onsets((1 + 0.6 * np.sin(2 * np.pi * 5 * t)) * np.sin(2 * np.pi * 300 * t), RATE) == 1
    assert count_onsets(np.zeros(RATE), RATE) == 0


@pytest.mark.parametrize("frequency", [50.0, 60.0])
def test_hum_moves_no_onset(frequency: float) -> None:
    x = strokes(0.4)
    hum = 0.02 * np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)
    assert abs(find_onset(x + hum, RATE) - 0.4 * RATE) < 0.005 * RATE
