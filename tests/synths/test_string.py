"""The string: its partials, their limits, and what the position of the stroke does."""

import math

import pytest
import torch

from pnp.synths import String


def point(omega=2 * math.pi * 200.0, tau=0.4, p=0.01, D=0.05, position=0.2):
    return torch.tensor([omega, tau, p, D, position], dtype=torch.float64)


def test_partials_are_harmonic_in_the_limit_of_no_stiffness_and_little_damping():
    omega = String().partials(point(tau=0.8, p=1e-5, D=1e-5))[2]
    m = torch.arange(1, 51, dtype=torch.float64)
    torch.testing.assert_close(omega, m * omega[0], rtol=1e-6, atol=0)


def test_every_partial_solves_the_characteristic_equation_of_the_stiff_string():
    synth = String()
    m2 = torch.arange(1, 51, dtype=torch.float64) ** 2
    for theta in synth.space.from_unit(synth.space.sample(32)):
        omega, tau, p, D, _ = theta
        # The coefficients of the equation for a length of π.
        S4 = (D * omega) ** 2 + (p / tau) ** 2
        c2 = omega**2 * (1 - D**2) + (1 - p**2) / tau**2
        d1, d3 = 2 * (1 - p) / tau, -2 * p / tau
        _, decay, frequency = synth.partials(theta)
        s = torch.complex(-decay, frequency)
        terms = torch.stack([s**2, (d1 - d3 * m2) * s, (S4 * m2**2 + c2 * m2).to(s.dtype)])
        assert (terms.sum(0).abs() / terms.abs().amax(0)).max() < 1e-12


def test_the_fundamental_has_omega_and_tau_whatever_the_rest():
    synth = String()
    theta = synth.space.from_unit(synth.space.sample(64))
    _, decay, omega = synth.partials(theta)
    torch.testing.assert_close(omega[:, 0], theta[:, 0])
    torch.testing.assert_close(decay[:, 0], 1 / theta[:, 1])


def test_stiffness_and_p_act_on_high_modes_more():
    synth = String()
    omega = synth.partials(point(D=0.2))[2]
    assert (omega.diff().diff() > 0).all()
    assert (synth.partials(point(p=0.1))[1].diff() > 0).all()


def test_a_stroke_in_the_middle_leaves_the_even_modes_at_rest_but_not_their_derivative():
    synth = String()
    theta = point(position=0.5)
    amplitude = synth.partials(theta)[0]
    assert amplitude[1::2].abs().max() < 1e-15
    slope = torch.func.jvp(lambda t: synth.partials(t)[0], (theta,), (torch.eye(5).double()[4],))[1]
    assert slope[1:8:2].abs().min() > 1e-3


def test_the_sound_is_a_harmonic_spectrum_on_omega():
    x = String()(point(tau=0.8, p=1e-5, D=1e-5)) * torch.hann_window(2**16, dtype=torch.float64)
    spectrum = torch.fft.rfft(x).abs()
    for m in range(1, 5):
        peak = round(m * 200 * 2**16 / 22050)
        around = spectrum[peak - 100 : peak + 101]
        assert abs(int(around.argmax()) - 100) <= 1


@pytest.mark.parametrize("option", [{"order": 0}, {"heard_at": 1.0}])
def test_impossible_options_are_refused_by_name(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        String(**option)
