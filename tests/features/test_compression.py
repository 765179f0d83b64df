import pytest
import torch
from torch import nn
from torch.func import jvp

from pnp import Features, TimeFrequencyScattering

JTFS = TimeFrequencyScattering(shape=256, J=4, Q=(4, 1), J_fr=2, T="global", F="global")


@pytest.mark.parametrize("compression", ["log1p", "none"])
@pytest.mark.parametrize("representation", [JTFS, nn.Linear(256, 9).double()], ids=["scattering", "module"])
def test_tangents_are_directional_derivatives(representation, compression):
    features = Features(representation, compression=compression, scale=50.0)
    x, dx = torch.randn(3, 256, dtype=torch.float64), torch.randn(3, 2, 256, dtype=torch.float64)
    S, dS = features.value_and_tangents(x, dx)
    torch.testing.assert_close(S, features(x))
    for p in range(2):
        torch.testing.assert_close(dS[:, p], jvp(features, (x,), (dx[:, p],))[1], rtol=1e-10, atol=1e-12)


def test_features_are_flat_whatever_the_representation():
    jtfs = TimeFrequencyScattering(shape=256, J=4, Q=(4, 1), J_fr=2, T=None, F=None, format="joint")
    x = torch.randn(2, 3, 256)
    assert Features(jtfs)(x).shape == (2, 3, jtfs(x)[0, 0].numel())


def test_compression_is_odd_and_smooth_at_zero():
    features = Features(nn.Identity(), scale=10.0)
    S = torch.tensor([-2.0, -0.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    value = features(S)
    torch.testing.assert_close(value, -value.flip(0))
    value.sum().backward()
    torch.testing.assert_close(S.grad, 10 / (1 + 10 * S.detach().abs()))


def test_settings_round_trip():
    features = Features(JTFS, scale=7.0)
    config = features.config()
    again = Features(TimeFrequencyScattering(**config.pop("representation")), **config)
    x = torch.randn(256)
    assert torch.equal(again(x), features(x))


def test_bad_settings():
    with pytest.raises(ValueError, match="compression must be one of log1p, none, got 'sqrt'"):
        Features(JTFS, compression="sqrt")
    with pytest.raises(ValueError, match="scale must be a finite number above 0"):
        Features(JTFS, scale=0.0)
