"""Sums of decaying sinusoids against their definition."""

import math

import pytest
import torch

from pnp.synths.modal import fade_below_nyquist, modal_sum, shape_at

RATE = 8000.0


def example(n_modes=7, rows=3):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.rand(*shape, dtype=torch.float64, generator=generator)

    return draw(2, rows, n_modes), draw(2, rows, n_modes), 50 * draw(2, n_modes), 20000 * draw(2, n_modes)


def plain_sum(sines, cosines, decay, omega, n_samples):
    t = torch.arange(n_samples, dtype=torch.float64) / RATE
    phase = omega[:, None, :, None] * t
    waves = sines[..., None] * phase.sin() + cosines[..., None] * phase.cos()
    return (waves * torch.exp(-decay[:, None, :, None] * t)).sum(-2)


@pytest.mark.parametrize("n_samples", [1, 2, 100, 1024, 1025])
def test_the_matrix_product_is_the_plain_sum_for_any_length(n_samples):
    arguments = example()
    fast = modal_sum(*arguments, n_samples, RATE, torch.float64)
    assert fast.shape == (2, 3, n_samples)
    torch.testing.assert_close(fast, plain_sum(*arguments, n_samples), rtol=0, atol=1e-11)


def test_float32_is_within_1e_6_of_float64_however_large_the_phases():
    arguments = example()
    exact = modal_sum(*arguments, 2**16, RATE, torch.float64)
    error = (modal_sum(*arguments, 2**16, RATE, torch.float32) - exact).norm() / exact.norm()
    assert error < 1e-6


def test_a_mode_that_has_died_away_leaves_no_subnormal_numbers():
    sines, cosines, _, omega = example()
    decay = torch.full_like(omega, 400.0)
    x = modal_sum(sines, cosines, decay, omega, 8000, RATE, torch.float32)
    assert not ((x != 0) & (x.abs() < torch.finfo(torch.float32).tiny)).any()
    assert not x[..., -1].any()


def test_the_fade_is_one_in_the_band_and_zero_from_nyquist_on_with_a_continuous_slope():
    nyquist = math.pi * RATE
    omega = torch.tensor([0.0, 0.5, 0.8, 0.9, 1.0, 1.5, 100.0], dtype=torch.float64) * nyquist
    weight = fade_below_nyquist(omega, RATE)
    expected = torch.tensor([1.0, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(weight, expected, rtol=0, atol=1e-12)
    dense = torch.linspace(0.7, 1.1, 4001, dtype=torch.float64) * nyquist
    slope = torch.func.jvp(lambda w: fade_below_nyquist(w, RATE), (dense,), (torch.ones_like(dense),))[1]
    assert slope.diff().abs().max() < 0.02 * slope.abs().max()


def test_a_node_is_exactly_at_rest():
    numbers = torch.arange(1, 11, dtype=torch.float64)
    shape = shape_at(0.4, numbers)
    assert (shape == 0).nonzero().flatten().tolist() == [4, 9]
    torch.testing.assert_close(shape, torch.sin(0.4 * math.pi * numbers), rtol=0, atol=1e-14)
