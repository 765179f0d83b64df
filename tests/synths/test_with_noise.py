"""Noise floor as one more parameter."""

import pytest
import torch
from toy import ToySynth

from pnp._torch.pushforward import along_axes
from pnp.synths.with_gain import WithGain
from pnp.synths.with_noise import WithNoise

DRAW = torch.randn(64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_the_last_parameter_is_the_level_of_one_draw() -> None:
    inner = ToySynth()
    synth = WithNoise(WithGain(inner, 0.1, 10.0), DRAW, 1e-3, 1.0)
    assert synth.space.names == ("f", "decay", "gain", "noise")
    theta = torch.tensor([[200.0, 5.0, 2.0, 0.25], [300.0, 9.0, 0.5, 1e-3]], dtype=torch.float64)
    expected = theta[:, 2:3] * inner(theta[:, :2]) + theta[:, 3:] * DRAW
    torch.testing.assert_close(synth(theta), expected)


def test_its_tangents_are_those_of_forward_mode() -> None:
    synth = WithNoise(WithGain(ToySynth(), 0.1, 10.0), DRAW, 1e-3, 1.0)
    theta = torch.tensor([[200.0, 5.0, 2.0, 0.25]], dtype=torch.float64)
    x, dx = synth.value_and_tangents(theta)
    torch.testing.assert_close(x, synth(theta))
    ours, theirs = dx, along_axes(lambda t: synth(t), theta)[1]
    torch.testing.assert_close(ours, theirs)


def test_a_draw_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise must have shape \(64,\), got \(63,\)"):
        WithNoise(ToySynth(), DRAW[:63], 1e-3, 1.0)
    twice = WithNoise(WithNoise(ToySynth(), DRAW, 0.5, 2.0), DRAW, 0.5, 2.0)
    assert twice.space.names == ("f", "decay", "noise", "noise_2")
