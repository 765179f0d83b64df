import math

import numpy as np
import pytest

from pnp.features.scattering.filterbank import (
    gauss,
    impulse_response,
    morlet,
    padded_length,
    periodize,
    wavelet_bank,
)


@pytest.mark.parametrize(("J", "Q"), [(6, 1), (8, 8), (13, 12), (3, 2)])
def test_bank_covers_the_axis_from_high_to_low(J, Q):
    bank = wavelet_bank(J, Q)
    assert list(bank.xi) == sorted(bank.xi, reverse=True)
    assert list(bank.j) == sorted(bank.j)
    assert min(bank.sigma) >= 0.1 / 2**J
    assert all(xi < 0.5 for xi in bank.xi)


def test_adjacent_wavelets_meet_at_half_power():
    bank = wavelet_bank(10, 8)
    for i in range(10):
        crossing = (bank.xi[i] * bank.sigma[i + 1] + bank.xi[i + 1] * bank.sigma[i]) / (
            bank.sigma[i] + bank.sigma[i + 1]
        )
        height = math.exp(-((crossing - bank.xi[i]) ** 2) / (2 * bank.sigma[i] ** 2))
        assert height == pytest.approx(math.sqrt(0.5), rel=1e-2)


def test_wavelets_have_no_mean_and_unit_mass():
    psi = morlet(512, 0.2, 0.03)
    assert abs(psi[0]) < 1e-12
    assert np.abs(impulse_response(psi)).sum() == pytest.approx(1)


def test_periodizing_is_sampling_in_time():
    phi = gauss(512, 0.01)
    np.testing.assert_allclose(
        impulse_response(periodize(phi, 2)), 4 * impulse_response(phi)[::4], atol=1e-14
    )


@pytest.mark.parametrize("n", [100, 4096, 5000])
def test_padding_never_needs_more_than_the_signal_has(n):
    padded = padded_length(n, 64)
    assert padded >= n
    assert padded & (padded - 1) == 0
    assert math.ceil((padded - n) / 2) < n
