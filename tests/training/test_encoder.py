"""Encoder."""

import json
import math

import torch

from pnp.parameters import Parameter, ParameterSpace
from pnp.training.encoder import Encoder

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
