"""The ripple: its formula, and where its crests go."""

import math

import pytest
import torch

from pnp.synths import Ripple


def test_it_follows_the_formula_evaluated_plainly():
    density, rate = 1.5, 7.0
    synth = Ripple(n_samples=2000, octaves=2.0, tones_per_octave=5)
    x = synth(torch.tensor([density, rate], dtype=torch.float64))
    golden = (math.sqrt(5) - 1) / 2
    for n in (0, 1, 999, 1999):
        t, expected = n / 8192, 0.0
        for k in range(10):
            envelope = 1 + 0.9 * math.sin(2 * math.pi * (rate * t - density * k / 5))
            expected += envelope * math.sin(2 * math.pi * (200 * 2 ** (k / 5) * t + golden * k))
        assert float(x[n]) == pytest.approx(expected / math.sqrt(10), abs=1e-10)


@pytest.mark.parametrize(("direction", "sign"), [("up", 1), ("down", -1)])
def test_crests_travel_rate_over_density_octaves_per_second(direction, sign):
    density, rate = 0.25, 4.0
    synth = Ripple(octaves=2.0, tones_per_octave=1, direction=direction)
    x = synth(torch.tensor([density, rate], dtype=torch.float64))
    t = torch.arange(synth.n_samples, dtype=torch.float64) / synth.sample_rate
    phases = []
    for frequency in (200.0, 400.0):
        # The upper sideband over the carrier turns with the envelope of that tone.
        at = [(x * torch.exp(-2j * math.pi * f * t)).mean() for f in (frequency, frequency + rate)]
        phases.append(float((at[1] / at[0]).angle()))
    lag = math.remainder(phases[0] - phases[1], 2 * math.pi) / (2 * math.pi * rate)
    assert lag == pytest.approx(sign * density / rate, abs=1e-6)


def test_without_its_ripple_every_tone_has_the_same_power():
    x = Ripple(depth=1e-9)(torch.tensor([1.0, 8.0], dtype=torch.float64))
    assert float(x.square().mean()) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"direction": "left"}, "'left', expected 'up' or 'down'"),
        ({"depth": 1.5}, r"depth must be a finite number above 0 and at most 1, got 1\.5"),
        ({"tones_per_octave": 0}, "tones_per_octave must be a whole number of at least 1"),
        ({"lowest": 0}, "lowest must be a finite number above 0"),
        ({"octaves": 5}, "highest tone, 5 octaves above 200 Hz, lies above the Nyquist frequency 4096 Hz"),
    ],
)
def test_impossible_options_are_refused_by_name(option, message):
    with pytest.raises(ValueError, match=message):
        Ripple(**option)
