"""Equalizer behind a synthesizer, as further parameters."""

import pytest
import torch
from torch import nn
from toy import ToySynth

import pnp
from pnp._torch.pushforward import along_axes
from pnp.synths.with_equalizer import WithBand, with_equalizer
from pnp.synths.with_gain import WithGain

KNOTS = (60.0, 120.0, 240.0)


class Pulse(nn.Module):
    """Pulse in the middle, far from both ends."""

    space = pnp.ParameterSpace([pnp.Parameter("height", 0.1, 1.0)])
    sample_rate, n_samples = 1000.0, 1024

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(theta, (511, 512))


def test_gains_add_in_decibels_between_knots() -> None:
    synth = with_equalizer(Pulse(), KNOTS, 4.0)
    assert synth.space.names == ("height", "band_60_Hz", "band_120_Hz", "band_240_Hz")
    hertz = torch.fft.rfftfreq(1024, 1e-3, dtype=torch.float64)

    def response(*gains: float) -> torch.Tensor:
        return torch.fft.rfft(synth(torch.tensor([[1.0, *gains]], dtype=torch.float64))[0]).abs()

    torch.testing.assert_close(response(1.0, 1.0, 1.0), torch.ones(513, dtype=torch.float64))
    # The same gain in all bands is a gain. The response has corners, so that the filter rings to the ends and beyond.
    torch.testing.assert_close(
        response(2.0, 2.0, 2.0), torch.full((513,), 2.0, dtype=torch.float64), rtol=1e-2, atol=0
    )
    # Linear in octaves: 6 dB below 60 Hz, none at 120 Hz, -12 dB above 240 Hz.
    steps = torch.where(
        hertz < 120, (120 / hertz.clamp(60, 120)).log2(), -2 * (hertz.clamp(120, 240) / 120).log2()
    )
    torch.testing.assert_close(response(2.0, 1.0, 0.25), 2.0**steps, rtol=2e-2, atol=0)


def test_its_tangents_are_those_of_forward_mode() -> None:
    synth = with_equalizer(WithGain(ToySynth(), 0.1, 10.0), KNOTS, 4.0)
    theta = torch.tensor([[200.0, 5.0, 2.0, 0.5, 1.5, 3.0]], dtype=torch.float64)
    x, dx = synth.value_and_tangents(theta)
    torch.testing.assert_close(x, synth(theta))
    torch.testing.assert_close(dx, along_axes(lambda t: synth(t), theta)[1])


def test_a_band_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="a band must have 65 weights, got 64"):
        WithBand(ToySynth(), torch.ones(64), "band", 4.0)
    with pytest.raises(ValueError, match="the largest gain of a band"):
        WithBand(ToySynth(), torch.ones(65), "band", 1.0)
