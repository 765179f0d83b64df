"""Coarse spectrograms: tangents, levels, lengths, and what white noise does to them."""

import math

import pytest
import torch

from pnp.features.band_spectrogram import BandSpectrogram


@pytest.mark.parametrize("n_samples", [1, 7, 100, 1024, 22050])
def test_tangents_are_those_of_forward_mode_and_of_differences(n_samples: int) -> None:
    torch.manual_seed(0)
    phi = BandSpectrogram(n_samples, floor=0.01)
    x = torch.randn(2, n_samples, dtype=torch.float64)
    dx = torch.randn(2, 3, n_samples, dtype=torch.float64)
    value, tangents = phi.value_and_tangents(x, dx)
    torch.testing.assert_close(value, phi(x))
    step = 1e-6
    for p in range(3):
        _, forward = torch.func.jvp(phi, (x,), (dx[:, p],))
        torch.testing.assert_close(tangents[:, p], forward, rtol=1e-9, atol=1e-12)
        difference = (phi(x + step * dx[:, p]) - phi(x - step * dx[:, p])) / (2 * step)
        torch.testing.assert_close(tangents[:, p], difference, rtol=1e-5, atol=1e-7)


def test_silence_is_zero_with_tangents_of_zero() -> None:
    phi = BandSpectrogram(512, floor=0.01)
    value, tangents = phi.value_and_tangents(torch.zeros(1, 512), torch.randn(1, 2, 512))
    assert not value.any()
    assert not tangents.any()


def test_bands_are_averages() -> None:
    phi = BandSpectrogram(4096, floor=0.01)
    for window in phi.windows:
        bands = getattr(phi, f"bands_{window}")
        torch.testing.assert_close(bands.sum(1), torch.ones(len(bands)))
        assert (bands >= 0).all()
        # The highest reaches to half an octave below the Nyquist frequency, or further.
        assert bands[-1].nonzero().max() > window / 2 / math.sqrt(2)


def test_draws_of_noise_differ_less_than_levels() -> None:
    phi = BandSpectrogram(4096, floor=0.01)
    one, other = torch.randn(2, 1, 4096, generator=torch.Generator().manual_seed(1))
    assert (phi(one) - phi(other)).norm() < (phi(one) - phi(2 * one)).norm()


def test_another_representation_of_the_same_arguments_is_the_same() -> None:
    phi = BandSpectrogram(1000, floor=0.5)
    x = torch.randn(1, 1000)
    assert torch.equal(BandSpectrogram(**phi.config())(x), phi(x))
    assert torch.isfinite(phi(1e3 * x)).all()


@pytest.mark.parametrize("floor", [0.0, -1.0, math.inf, math.nan])
def test_a_floor_is_a_power(floor: float) -> None:
    with pytest.raises(ValueError, match="floor must be a positive power"):
        BandSpectrogram(64, floor=floor)
