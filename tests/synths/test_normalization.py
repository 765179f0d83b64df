"""Normalization of level."""

import pytest
import torch

from pnp.synths.base import pushforward
from pnp.synths.normalization import normalize, normalize_with_tangents


def noise(seed):
    return torch.randn(3, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_silence_stays_silence_with_zero_gradient():
    for kind in ("peak", "energy"):
        x = torch.zeros(2, 8, requires_grad=True)
        y = normalize(x, kind)
        assert not y.any()
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("kind", ["peak", "energy"])
def test_a_normalized_sound_does_not_change_with_its_gain(kind):
    x, gain, unit = noise(0), torch.tensor(2.0).double(), torch.tensor(1.0).double()
    _, tangent = torch.func.jvp(lambda gain: normalize(gain * x, kind), (gain,), (unit,))
    assert tangent.abs().max() < 1e-15


@pytest.mark.parametrize("kind", ["none", "peak", "energy"])
def test_derivative_matches_finite_differences(kind):
    x = noise(1).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: normalize(v, kind), x, check_forward_ad=True)


def test_an_unknown_kind_names_the_allowed_ones():
    with pytest.raises(ValueError, match="'rms', expected one of 'none', 'peak', 'energy'"):
        normalize(torch.ones(2), "rms")


@pytest.mark.parametrize("kind", ["none", "peak", "energy"])
def test_the_closed_form_of_its_tangents_is_that_of_automatic_differentiation(kind):
    x, tangents = noise(2), noise(3)[:, None] + noise(4).roll(1, 0)[None, :, :]
    expected = pushforward(lambda v: normalize(v, kind), x, tangents)
    torch.testing.assert_close(normalize_with_tangents(x, tangents, kind), expected)


@pytest.mark.parametrize("kind", ["peak", "energy"])
def test_tangents_of_silence_are_kept(kind):
    tangents = noise(5)[:, None]
    assert torch.equal(normalize_with_tangents(torch.zeros_like(noise(5)), tangents, kind)[1], tangents)
