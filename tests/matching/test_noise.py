"""Noise floor of a recording: its estimate, and what is left without it."""

import pytest
import torch

import pnp
from pnp.matching.noise import NOISE_LOWEST, noise_draw, noise_share, without_noise

RATE = 8000


def tone(n: int = 4096) -> torch.Tensor:
    t = torch.arange(n, dtype=torch.float64) / RATE
    return torch.sin(2 * torch.pi * 700.0 * t) * torch.exp(-4.0 * t)


def noisy(x: torch.Tensor, share: float, seed: int = 1) -> torch.Tensor:
    """x under noise of that part of the norm of the whole."""
    noise = torch.randn(len(x), generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
    return x + noise * (x.norm() / noise.norm() * share / (1 - share**2) ** 0.5)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.5])
def test_the_share_of_noise_is_estimated_to_a_decibel(share: float) -> None:
    assert noise_share(noisy(tone(), share)) == pytest.approx(share, rel=0.12)


def test_a_sound_without_noise_has_no_share_of_it() -> None:
    assert noise_share(tone()) < 1e-3
    assert noise_share(torch.nn.functional.pad(tone(), (500, 3000))) < 1e-3


def test_drums_that_fill_most_of_a_spectrogram_are_not_taken_for_noise() -> None:
    drum = pnp.synths.make("drum", n_samples=4096, sample_rate=11025.0)
    sounds = drum(drum.space.from_unit(drum.space.sample(24, method="uniform", seed=77)))
    # By the median of the spectrogram, 16 of them have a floor above -50 dB, up to -8 dB.
    assert sum(noise_share(x) > 3e-3 for x in sounds) <= 1


def test_silence_that_was_put_around_a_recording_does_not_count() -> None:
    x = noisy(tone(), 0.1)
    padded = torch.nn.functional.pad(x, (300, 9000))
    assert noise_share(padded) == pytest.approx(noise_share(x), rel=0.1)
    draw = noise_draw(padded)
    assert not draw[:300].any()
    assert not draw[300 + len(x) :].any()
    assert float(draw.norm()) == pytest.approx(1.0)


def test_what_is_left_without_noise_is_nearer_to_the_sound() -> None:
    x = tone()
    y = noisy(x, 0.3)
    assert (without_noise(y) - x).norm() < 0.5 * (y - x).norm()
    assert without_noise(torch.ones(64, dtype=torch.float64)).norm() > 0


def test_the_lowest_level_is_silence_for_sounds_that_are_zero() -> None:
    click = torch.zeros(1024, dtype=torch.float64)
    click[500] = 1.0
    assert NOISE_LOWEST <= noise_share(click) <= 1.0
