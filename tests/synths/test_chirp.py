"""The chirp: its physics, and its shift."""

import math

import pytest
import torch

from pnp.synths import Chirp

THETA = torch.tensor([700.0, 6.0, 1.0], dtype=torch.float64)


def instantaneous_frequency(synth, theta, t):
    """Frequency in Hz of the carrier at times t, from the phase of the analytic signal."""
    x = synth(theta)
    spectrum = torch.fft.fft(x)
    spectrum[x.shape[-1] // 2 + 1 :] = 0
    analytic = torch.fft.ifft(spectrum)
    n = ((t + synth.n_samples / synth.sample_rate / 2) * synth.sample_rate).round().long()
    turn = analytic[n + 1] * analytic[n - 1].conj()
    return turn.angle() / (4 * math.pi) * synth.sample_rate


def events(theta):
    """Times midway between zeros of the modulator, where it is largest."""
    return (torch.arange(-3, 3, dtype=torch.float64) + 0.5) / (2 * theta[1])


def test_defaults_are_four_seconds_at_8192_hz():
    synth = Chirp()
    assert (synth.sample_rate, synth.n_samples) == (8192.0, 32768)
    assert synth(THETA).shape == (32768,)


def test_it_follows_the_formula_evaluated_plainly():
    f_c, f_m, gamma = THETA.tolist()
    x = Chirp()(THETA)
    for n in (15000, 16000, 16384, 16385, 17000, 20000):
        t = n / 8192 - 2
        w = math.exp(-(t**2) / (2 * (0.2 / gamma) ** 2))
        phase = 2 * math.pi * f_c * (2 ** (gamma * t) - 1) / (gamma * math.log(2))
        expected = gamma * w * math.sin(2 * math.pi * f_m * t) * math.sin(phase)
        assert float(x[n]) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0])
def test_it_crosses_f_c_at_time_zero_and_rises_by_gamma_octaves_a_second(gamma):
    theta = torch.tensor([700.0, 4.0, gamma], dtype=torch.float64)
    t = events(theta)[2:4]
    frequency = instantaneous_frequency(Chirp(), theta, t)
    octaves = torch.log2(frequency)
    # Both times lie symmetrically about 0.
    assert float(octaves.mean()) == pytest.approx(math.log2(700.0), abs=2e-3)
    assert float(octaves[1] - octaves[0]) == pytest.approx(gamma * float(t[1] - t[0]), rel=2e-2)


@pytest.mark.parametrize("f_m", [4.0, 7.0, 16.0])
def test_events_come_two_f_m_times_a_second(f_m):
    theta = torch.tensor([600.0, f_m, 0.5], dtype=torch.float64)
    envelope = Chirp()(theta).square()
    spectrum = torch.fft.rfft(envelope).abs()
    resolution = 0.25
    low = int(2 / resolution)
    rate = (low + int(spectrum[low : int(64 / resolution)].argmax())) * resolution
    assert rate == pytest.approx(2 * f_m, abs=resolution)


@pytest.mark.parametrize("gamma", [0.5, 4.0])
def test_amplitude_is_proportional_to_gamma_times_a_gaussian_of_width_inverse_to_it(gamma):
    theta = torch.tensor([700.0, 16.0, gamma], dtype=torch.float64)
    t = events(theta)[4]
    around = ((t + 2) * 8192).round().long() + torch.arange(-10, 11)
    peak = Chirp()(theta)[around].abs().max()
    expected = gamma * math.exp(-(float(t) ** 2) / (2 * (0.2 / gamma) ** 2))
    assert float(peak) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("shift", [1, -3, 1000])
def test_a_whole_shift_moves_every_sample_bit_for_bit(shift):
    x, moved = Chirp()(THETA), Chirp(shift=shift)(THETA)
    if shift > 0:
        assert torch.equal(moved[shift:], x[:-shift])
    else:
        assert torch.equal(moved[:shift], x[-shift:])


def test_a_fractional_shift_is_a_delay_of_the_band_limited_sound():
    shift = 0.37
    x, moved = Chirp()(THETA), Chirp(shift=shift)(THETA)
    omega = 2 * math.pi * torch.fft.rfftfreq(x.shape[-1], dtype=torch.float64)
    delayed = torch.fft.irfft(torch.fft.rfft(x) * torch.exp(-1j * omega * shift))
    assert (moved - delayed).abs().max() < 1e-5


def test_the_amplitude_gamma_is_differentiated_too():
    synth = Chirp()
    _, tangents = synth.value_and_tangents(THETA[None])
    tangent = tangents[0, 2]
    without_amplitude = tangent - synth(THETA) / THETA[2]
    assert float((tangent - without_amplitude).norm() / tangent.norm()) > 0.01


def test_a_package_that_sets_the_constants_of_torch_does_not_change_the_sound(monkeypatch):
    """torchsynth sets torch.pi to its float32 value: here, workers would not agree with their parent."""
    chirp = Chirp(n_samples=2048)
    theta = chirp.space.from_unit(torch.zeros(1, 3, dtype=torch.float64))
    expected = chirp(theta)
    monkeypatch.setattr(torch, "pi", 3.1415927410125732)
    assert torch.equal(chirp(theta), expected)


@pytest.mark.parametrize("option", [{"bandwidth": 0}, {"bandwidth": math.nan}, {"shift": math.inf}])
def test_impossible_options_are_refused_by_name(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        Chirp(**option)
