"""LogFrequencySpectrogram and Encoder."""

import json
import math

import pytest
import torch

from pnp.parameters import Parameter, ParameterSpace
from pnp.training.encoder import Encoder, LogFrequencySpectrogram

RATE, N = 8192.0, 8192


def _tone(frequency, amplitude=1.0, n=N):
    return amplitude * torch.sin(2 * math.pi * frequency * torch.arange(n) / RATE)[None]


def _encoder(**options):
    """An encoder that answers with more than the centre, which it does before training."""
    encoder = Encoder(_space(), RATE, **options)
    torch.nn.init.normal_(encoder.dense[-1].weight)
    return encoder.eval()


def _space():
    return ParameterSpace([Parameter("f_c", 512.0, 1024.0, "log", "Hz"), Parameter("pan", -1.0, 1.0)])


def test_rates_known_already_change_nothing():
    encoder = _encoder()
    spectrograms = encoder.front_end(torch.randn(3, N, generator=torch.Generator().manual_seed(0)))
    encoder.standardize(spectrograms)
    rates = encoder.rates(spectrograms)
    torch.testing.assert_close(encoder.body(spectrograms, rates), encoder.body(spectrograms))
    # They are what half of the answer rests on.
    assert (encoder.body(spectrograms, rates.flip(0)) - encoder.body(spectrograms)).abs().max() > 1e-3


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


def test_predictions_lie_in_the_cube_and_do_not_depend_on_the_batch():
    encoder = _encoder()
    x = torch.cat([_tone(f) for f in (300.0, 500.0, 700.0)])
    u_hat = encoder(x)
    assert u_hat.shape == (3, 2)
    assert (u_hat.abs() < 1).all()
    assert u_hat.std(0).min() > 1e-3
    torch.testing.assert_close(encoder(x[1:2]), u_hat[1:2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder.body(encoder.front_end(x)), u_hat)


def test_begins_at_the_centre_of_the_cube_and_learns_from_there():
    encoder = Encoder(_space(), RATE)
    u_hat = encoder(_tone(700.0).repeat(2, 1))
    assert torch.equal(u_hat, torch.zeros(2, 2))
    (u_hat - 0.5).square().sum().backward()
    assert (encoder.dense[-1].weight.grad != 0).any()


def test_modulations_peak_at_the_rate_of_events_wherever_they_are():
    encoder = Encoder(_space(), RATE)
    n = 4 * N
    t = torch.arange(n) / RATE
    centres = 64.0 * 2.0 ** (6.0 * torch.arange(-32, 0) / 32)
    for rate in (4.0, 16.0):
        spectrogram = encoder.front_end((1 + torch.cos(2 * math.pi * rate * t)) * _tone(700.0, n=n))
        rates = encoder._rates(spectrogram)
        loudest = spectrogram[0, 0].mean(-1).argmax()
        nearest = (centres / rate).log2().abs().argmin()
        assert abs(int(rates[0, 0, loudest].argmax()) - int(nearest)) <= 1
        torch.testing.assert_close(encoder._rates(spectrogram.roll(37, -1)), rates, rtol=0, atol=1e-4)


def test_standardized_training_input_has_zero_mean_and_unit_variance():
    encoder = Encoder(_space(), RATE)
    spectrograms = encoder.front_end(torch.cat([_tone(f) for f in (300.0, 500.0, 700.0)]))
    encoder.standardize(spectrograms)
    scaled = (spectrograms - encoder.offset) / encoder.deviation
    torch.testing.assert_close(scaled.mean((0, 3)), torch.zeros(2, 48), rtol=0, atol=1e-4)
    torch.testing.assert_close(scaled.square().mean((0, 2, 3)), torch.ones(2), rtol=1e-4, atol=0)


def test_silence_does_not_divide_by_zero():
    encoder = _encoder()
    encoder.standardize(encoder.front_end(torch.zeros(3, N)))
    assert torch.isfinite(encoder(torch.zeros(3, N))).all()


def test_same_network_from_its_config_and_state():
    encoder = _encoder(
        n_channels=(4, 8), n_modulation_channels=(3,), n_hidden=16, front_end={"n_bands": 32, "windows": [2]}
    )
    twin = Encoder.from_config(json.loads(json.dumps(encoder.config()))).eval()
    twin.load_state_dict(encoder.state_dict())
    x = _tone(700.0)
    assert torch.equal(twin(x), encoder(x))
    assert twin.space == encoder.space


def test_bad_sounds_are_named():
    front_end = LogFrequencySpectrogram(RATE)
    for bad in (torch.zeros(N), torch.zeros(2, 50), torch.zeros(2, 1, N)):
        with pytest.raises(ValueError, match=r"\(B, N\) with N at least one hop, 64 samples; got"):
            front_end(bad)
