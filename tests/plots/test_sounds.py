"""Sounds beside each other in pictures."""

import math

import numpy as np
import pytest
import torch

from pnp.plots.sounds import sound_comparison


def tone(frequency: float) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency * torch.arange(4096) / 4096)


def test_levels_are_relative_to_the_first_sound_and_axes_are_labelled() -> None:
    figure = sound_comparison({"one": tone(256.0), "softer": 0.1 * tone(256.0)}, 4096.0)
    one, softer, bar = figure.axes
    levels = [np.asarray(ax.collections[0].get_array()).max() for ax in (one, softer)]
    assert levels == pytest.approx([0.0, -20.0], abs=0.1)
    assert one.get_ylabel() == "frequency (Hz), log scale"
    assert [ax.get_xlabel() for ax in (one, softer)] == ["time (s)"] * 2
    assert "dB" in bar.get_ylabel()


def test_what_happens_at_the_end_is_not_drawn_at_the_beginning() -> None:
    late = tone(512.0)
    late[:2048] = 0.0
    figure = sound_comparison({"late": late}, 4096.0)
    levels = np.asarray(figure.axes[0].collections[0].get_array())
    assert levels[:, :100].max() == -60.0


def test_sounds_of_different_length_and_silence_are_refused() -> None:
    with pytest.raises(ValueError, match="of one length"):
        sound_comparison({"a": tone(256.0), "b": tone(256.0)[:100]}, 4096.0)
    with pytest.raises(ValueError, match="first sound is silent"):
        sound_comparison({"a": torch.zeros(4096)}, 4096.0)
