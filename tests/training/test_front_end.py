"""LogFrequencySpectrogram."""

import math

import pytest
import torch

from pnp.training.front_end import LogFrequencySpectrogram

RATE, N = 8192.0, 8192


def _tone(frequency, amplitude=1.0, n=N):
    return amplitude * torch.sin(2 * math.pi * frequency * torch.arange(n) / RATE)[None]


def test_a_pure_tone_lights_its_own_band_in_every_window():
    front_end = LogFrequencySpectrogram(RATE, n_bands=64, n_octaves=8.0)
    centres = RATE / 2 * 2.0 ** (torch.arange(-64, 0) / 8)
    for frequency in (256.0, 700.0, 2000.0):
        bands = front_end(_tone(frequency))[0].mean(-1)
        nearest = (centres / frequency).log2().abs().argmin()
        assert (bands.argmax(-1) - nearest).abs().max() <= 1


def test_every_band_hears_something():
    front_end = LogFrequencySpectrogram(RATE, n_bands=96, n_octaves=9.0)
    torch.testing.assert_close(front_end.bank.sum(-1), torch.ones(96))
    assert (front_end(torch.randn(1, N, generator=torch.Generator().manual_seed(0))).mean(-1) > 0).all()


def test_transposition_by_an_octave_moves_along_the_bands():
    front_end = LogFrequencySpectrogram(RATE, n_bands=64, n_octaves=8.0)
    low, high = (front_end(_tone(f))[0].mean(-1).argmax(-1) for f in (500.0, 1000.0))
    assert ((high - low) - 8).abs().max() <= 1


def test_long_window_resolves_pitch_and_short_window_resolves_events():
    front_end = LogFrequencySpectrogram(RATE)
    short, long = front_end(_tone(512.0) + _tone(724.0))[0].mean(-1)
    centres = RATE / 2 * 2.0 ** (torch.arange(-64, 0) / 8)
    at = [(centres / f).log2().abs().argmin() for f in (512.0, 609.0, 724.0)]
    dip = [band[at[1]] / torch.minimum(band[at[0]], band[at[2]]) for band in (short, long)]
    assert dip[1] < dip[0]
    clicks = torch.zeros(1, N)
    clicks[0, ::512] = 1.0
    depth = [band.std() / band.mean() for band in front_end(clicks)[0].mean(-2)]
    assert depth[0] > depth[1]


def test_shape_follows_rate_and_windows():
    front_end = LogFrequencySpectrogram(22050.0, n_bands=40, windows=(1, 4, 16), frame_rate=100.0)
    assert front_end.hop == 256
    assert front_end(torch.zeros(2, 2**14)).shape == (2, 3, 40, 64)
    assert torch.equal(front_end(torch.zeros(2, 2**14)), torch.zeros(2, 3, 40, 64))


def test_small_amplitudes_are_linear_and_large_ones_logarithmic():
    front_end = LogFrequencySpectrogram(RATE)
    peak = [front_end(_tone(700.0, amplitude)).max() for amplitude in (1e-6, 2e-6, 10.0, 20.0)]
    assert float(peak[1] / peak[0]) == pytest.approx(2.0, rel=1e-2)
    assert float(peak[3] - peak[2]) == pytest.approx(math.log(2), rel=1e-2)


def test_bad_sounds_are_named():
    front_end = LogFrequencySpectrogram(RATE)
    for bad in (torch.zeros(N), torch.zeros(2, 50), torch.zeros(2, 1, N)):
        with pytest.raises(ValueError, match=r"\(B, N\) with N at least one hop, 64 samples; got"):
            front_end(bad)
