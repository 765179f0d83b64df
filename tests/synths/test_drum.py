"""The drum: its partials against the membrane's equation, its sound, its silent directions."""

import math

import pytest
import torch

from pnp.synths import Drum


def point(omega=2 * math.pi * 200.0, tau=0.4, p=0.01, D=0.05, alpha=0.6):
    return torch.tensor([omega, tau, p, D, alpha], dtype=torch.float64)


def coefficients(theta):
    """c², S⁴, d1 and d3 of the membrane's equation for a side of π (wav2shape)."""
    omega, tau, p, D, alpha = theta.unbind(-1)
    beta = alpha + 1 / alpha
    c2 = alpha * ((1 / beta - p**2 * beta) / tau**2 + omega**2 * (1 / beta - D**2 * beta))
    S4 = (D * omega * alpha) ** 2 + (p * alpha / tau) ** 2
    return c2, S4, 2 * (1 - p * beta) / tau, -2 * p * alpha / tau


def laplacian(alpha, order=10):
    """-∇² of the modes (k, l) of a membrane of sides π and απ, l fastest."""
    m = torch.arange(1, order + 1, dtype=torch.float64)
    return (m[:, None] ** 2 + (m[None] / alpha) ** 2).flatten()


def unit_jacobian(synth, u):
    """Derivative of the sound in unit coordinates, (N, P)."""
    theta = synth.space.from_unit(u)
    slope = torch.func.jvp(synth.space.from_unit, (u,), (torch.ones_like(u),))[1]
    return synth.value_and_tangents(theta[None])[1][0].mT * slope


def test_defaults_are_those_of_the_paper():
    synth = Drum()
    assert (synth.sample_rate, synth.n_samples) == (22050.0, 2**16)
    assert synth.space.names == ("omega", "tau", "p", "D", "alpha")
    assert synth.partials(point())[0].shape == (100,)
    assert synth(point()).abs().max() == 1


def test_every_partial_solves_the_characteristic_equation_of_the_membrane():
    synth = Drum()
    for theta in synth.space.from_unit(synth.space.sample(32)):
        c2, S4, d1, d3 = coefficients(theta)
        gamma = laplacian(theta[4])
        _, decay, omega = synth.partials(theta)
        s = torch.complex(-decay, omega)
        terms = torch.stack([s**2, (d1 - d3 * gamma) * s, (S4 * gamma**2 + c2 * gamma).to(s.dtype)])
        assert (terms.sum(0).abs() / terms.abs().amax(0)).max() < 1e-12


def test_the_fundamental_has_omega_and_tau_whatever_the_rest():
    synth = Drum()
    theta = synth.space.from_unit(synth.space.sample(64))
    _, decay, omega = synth.partials(theta)
    torch.testing.assert_close(omega[:, 0], theta[:, 0])
    torch.testing.assert_close(decay[:, 0], 1 / theta[:, 1])
    assert (omega[:, 0] <= omega.amin(-1)).all()


def test_every_point_of_the_box_is_a_membrane_and_the_bound_of_alpha_is_tight():
    space = Drum().space
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 5)
    theta = space.from_unit(torch.cat([corners, space.sample(1000)]))
    c2, _, d1, _ = coefficients(theta)
    tolerance = 1e-12 * theta[:, 0] ** 2
    assert (c2 >= -tolerance).all()
    assert (d1 >= 0).all()
    below = torch.stack([space.highs[0], space.highs[1], space.lows[2], space.highs[3], 0.99 * space.lows[4]])
    assert coefficients(below)[0] < 0


def test_dispersion_raises_the_partials_as_the_formula_says():
    synth = Drum()
    plain, stiff = point(D=1e-5), point(D=0.1)
    raised = synth.partials(stiff)[2] ** 2 - synth.partials(plain)[2] ** 2
    gamma = laplacian(stiff[4])
    ratio, beta = gamma / gamma[0], 0.6 + 1 / 0.6
    expected = point()[0] ** 2 * ratio * (ratio - 1) * beta**2 * (0.1**2 - 1e-5**2)
    torch.testing.assert_close(raised, expected, rtol=1e-9, atol=1e-3)


def test_p_damps_high_modes_more():
    synth = Drum()
    _, decay, omega = synth.partials(point(p=0.1))
    order = omega.argsort()
    assert (decay[order].diff() >= -1e-9).all()
    uniform = synth.partials(point(p=1e-5))[1]
    assert (decay[1:] > uniform[1:]).all()
    assert decay.max() > 10 * uniform.max()


def test_the_sound_s_lowest_partial_is_at_omega():
    x = Drum()(point(p=0.05)) * torch.hann_window(2**16, dtype=torch.float64)
    spectrum = torch.fft.rfft(x).abs()
    peaks = (spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] > spectrum[2:]) & (spectrum[1:-1] > 1.0)
    lowest = (int(peaks.nonzero()[0]) + 1) * 22050 / 2**16
    assert lowest == pytest.approx(200.0, abs=22050 / 2**16)


@pytest.mark.parametrize("tau", [0.1, 0.4, 0.8])
def test_the_sound_s_fundamental_falls_by_e_in_tau(tau):
    x = Drum()(point(tau=tau))
    t = torch.arange(2**16, dtype=torch.float64) / 22050
    # Amplitude at ω in two windows of 50 ms (ten periods), τ apart.
    window = torch.hann_window(round(0.05 * 22050), dtype=torch.float64)
    demodulated = x * torch.exp(-1j * point()[0] * t)
    starts = [round(0.05 * 22050), round((0.05 + tau) * 22050)]
    early, late = ((demodulated[n : n + len(window)] * window).sum().abs() for n in starts)
    assert float(early / late) == pytest.approx(math.e, rel=0.01)


def test_modes_above_nyquist_are_silent_and_fade_as_they_approach_it():
    synth = Drum()
    amplitude, _, omega = synth.partials(point(omega=2 * math.pi * 1000, D=0.3))
    above = omega >= math.pi * 22050
    assert above.sum() > 50
    assert not amplitude[above].any()
    assert amplitude[omega < 0.7 * math.pi * 22050].any()


def test_alpha_and_its_inverse_are_the_same_drum_turned():
    synth = Drum(ranges={"alpha": (0.5, 2.0)})
    torch.testing.assert_close(synth(point(alpha=0.6)), synth(point(alpha=1 / 0.6)), rtol=0, atol=1e-10)


def test_a_square_drum_does_not_change_to_first_order_in_alpha():
    synth = Drum()
    u = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    jacobian = unit_jacobian(synth, u)
    assert jacobian[:, 4].norm() < 1e-12 * jacobian.norm()
    singular = torch.linalg.svdvals(jacobian)
    assert singular[-1] < 1e-14 * singular[0]
    assert singular[-2] > 1e-6 * singular[0]


def test_a_square_drum_struck_off_its_diagonal_keeps_all_five_degrees_of_freedom():
    synth = Drum(struck_at=(0.4, 0.3), heard_at=(0.2, 0.45))
    singular = torch.linalg.svdvals(unit_jacobian(synth, torch.tensor([0.0, 0, 0, 0, 1]).double()))
    assert singular[-1] > 1e-6 * singular[0]


def test_a_rectangular_drum_keeps_all_five_degrees_of_freedom():
    singular = torch.linalg.svdvals(unit_jacobian(Drum(), torch.zeros(5, dtype=torch.float64)))
    assert singular[-1] > 1e-6 * singular[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_diagonal_sum_hears_only_the_products_of_p_and_D_with_beta(seed):
    synth = Drum(modes="diagonal")
    theta = synth.space.from_unit(0.9 * synth.space.sample(8, seed=seed))
    p, D, alpha = theta[:, 2], theta[:, 3], theta[:, 4]
    beta, slope = alpha + 1 / alpha, 1 - 1 / alpha**2
    # Along this direction pβ and Dβ stand still.
    silent = torch.stack([0 * p, 0 * p, -p * slope / beta, -D * slope / beta, torch.ones_like(p)], dim=-1)
    _, tangents = synth.value_and_tangents(theta)
    parts = tangents * silent[..., None]
    assert (parts.sum(1).norm(dim=-1) / parts.norm(dim=-1).amax(-1)).max() < 1e-10


def test_the_diagonal_sum_has_one_null_direction_in_float32_too():
    synth = Drum(modes="diagonal")
    u = torch.zeros(5)
    exact = torch.linalg.svdvals(unit_jacobian(synth, u.double()))
    rounded = torch.linalg.svdvals(unit_jacobian(synth, u).double())
    assert exact[-1] < 1e-14 * exact[0]
    assert rounded[-1] < 1e-6 * rounded[0]
    torch.testing.assert_close(rounded[:3], exact[:3], rtol=1e-3, atol=0)


def test_a_stroke_on_the_middle_leaves_the_even_modes_at_rest():
    amplitude = Drum(struck_at=(0.5, 0.5)).partials(point())[0].reshape(10, 10)
    assert not amplitude[1::2].any()
    assert not amplitude[:, 1::2].any()
    assert amplitude[0, 0] > 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"modes": "all"}, "unknown modes 'all', expected 'grid' or 'diagonal'"),
        ({"order": 0}, "order must be a whole number of at least 1, got 0"),
        ({"struck_at": (0.0, 0.4)}, "each of struck_at must be a finite number above 0 and below 1, got 0.0"),
        ({"heard_at": (0.4,)}, r"heard_at must be 2 numbers, got \[0\.4\]"),
    ],
)
def test_impossible_options_are_refused_by_name(option, message):
    with pytest.raises(ValueError, match=message):
        Drum(**option)
