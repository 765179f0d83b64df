"""Multiscale spectrograms: the loss they make, and their derivatives."""

import pytest
import torch

from pnp.features.spectrogram import MultiscaleSpectrogram


def test_absolute_differences_sum_to_the_mean_over_scales_and_coefficients(generator) -> None:
    x, y = torch.randn(2, 256, generator=generator, dtype=torch.float64)
    module = MultiscaleSpectrogram((64, 16))
    expected = []
    for window in (64, 16):
        hann = torch.hann_window(window, dtype=torch.float64)
        X, Y = (torch.stft(s, window, window // 4, window=hann, return_complex=True).abs() for s in (x, y))
        expected.append((X - Y).abs().mean())
    torch.testing.assert_close((module(x) - module(y)).abs().sum(), torch.stack(expected).mean())


def test_tangents_are_those_of_forward_mode(generator) -> None:
    x, dx = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((1, 128), (1, 2, 128))
    )
    module = MultiscaleSpectrogram((32, 16))
    value, tangents = module.value_and_tangents(x, dx)
    torch.testing.assert_close(value, module(x))
    for p in range(2):
        expected = torch.func.jvp(module, (x,), (dx[:, p],))[1]
        torch.testing.assert_close(tangents[:, p], expected)


def test_silence_and_the_smallest_numbers_have_finite_derivatives() -> None:
    module = MultiscaleSpectrogram((16,))
    x = torch.zeros(1, 128)
    x[0, 100] = 1e-41
    _, tangents = module.value_and_tangents(x, torch.ones(1, 1, 128))
    assert torch.isfinite(tangents).all()
    silence = torch.zeros(1, 128, requires_grad=True)
    module(silence).sum().backward()
    assert silence.grad is not None
    assert not silence.grad.any()


def test_it_is_what_auraloss_computes(generator) -> None:
    auraloss = pytest.importorskip("auraloss.freq")
    x, y = torch.randn(2, 1, 1, 4096, generator=generator)
    windows = [256, 64]
    theirs = auraloss.MultiResolutionSTFTLoss(
        fft_sizes=windows,
        hop_sizes=[window // 4 for window in windows],
        win_lengths=windows,
        w_sc=0.0,
        w_log_mag=0.0,
        w_lin_mag=1.0,
    )(x, y)
    module = MultiscaleSpectrogram(windows)
    # Theirs keeps magnitudes above 1e-4.
    torch.testing.assert_close((module(x) - module(y)).abs().sum(), theirs, rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("windows", [(), (30,), (0,)])
def test_window_lengths_are_checked(windows) -> None:
    with pytest.raises(ValueError, match="window"):
        MultiscaleSpectrogram(windows)


def test_a_sound_too_short_for_the_longest_window_is_named() -> None:
    with pytest.raises(ValueError, match="a window of 64 samples needs sounds of more than 32"):
        MultiscaleSpectrogram((64,))(torch.ones(1, 20))
