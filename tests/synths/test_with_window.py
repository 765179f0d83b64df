"""Sounds that are faded or cut as a recording was."""

import pytest
import torch
from toy import ToySynth

from pnp._torch.pushforward import along_axes
from pnp.synths.with_gain import WithGain
from pnp.synths.with_window import WithWindow

WINDOW = torch.cat([torch.ones(40), torch.linspace(1, 0, 9), torch.zeros(15)]).double()
THETA = torch.tensor([[200.0, 5.0, 2.0], [300.0, 9.0, 0.5]], dtype=torch.float64)


def test_sounds_are_multiplied_by_the_window() -> None:
    inner = WithGain(ToySynth(), 0.1, 10.0)
    synth = WithWindow(inner, WINDOW)
    assert synth.space == inner.space
    torch.testing.assert_close(synth(THETA), inner(THETA) * WINDOW)
    assert synth(THETA.float()).dtype == torch.float32


def test_its_tangents_are_those_of_forward_mode() -> None:
    synth = WithWindow(WithGain(ToySynth(), 0.1, 10.0), WINDOW)
    x, dx = synth.value_and_tangents(THETA)
    torch.testing.assert_close(x, synth(THETA))
    torch.testing.assert_close(dx, along_axes(lambda t: synth(t), THETA)[1])
    assert dx[..., :40].abs().amax() > 0


def test_a_window_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a window must have shape \(64,\), got \(63,\)"):
        WithWindow(ToySynth(), WINDOW[:63])
