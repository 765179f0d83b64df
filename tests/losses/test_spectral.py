"""SpectralLoss: the distance that PNP loss expands, and its stored targets."""

import pytest
import torch
from forms import BATCH, N_SOUNDS, randn
from torch import nn

from pnp.losses import PNPLoss, SpectralLoss
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters import Parameter, ParameterSpace


class _Synth(nn.Module):
    sample_rate, n_samples = 100.0, 50

    def __init__(self, power):
        super().__init__()
        self.space = ParameterSpace([Parameter("a", 1.0, 2.0, "log"), Parameter("b", -1.0, 3.0)])
        self.power = power
        self.register_buffer("basis", randn(2, 50))

    def forward(self, theta):
        return self.space.to_unit(theta) ** self.power @ self.basis.to(theta.dtype)


def test_spectral_loss_of_a_linear_synthesizer_is_pnp_loss():
    synth, features = _Synth(1), nn.Linear(50, 30).double()
    u, u_hat = randn(BATCH, 2, seed=1).tanh(), randn(BATCH, 2, seed=2).tanh()
    jacobian = torch.func.jacrev(lambda u: features(synth(synth.space.from_unit(u))))(u[0])
    metric = RiemannianMetric.from_jacobian(jacobian).factor.expand(BATCH, 2, 2)
    pnp = PNPLoss(RiemannianMetric.from_factor(metric), reduction="none", dtype=torch.float64)
    spectral = SpectralLoss(synth, features, reduction="none")
    torch.testing.assert_close(spectral(u_hat, u), pnp(u_hat, u, torch.arange(BATCH)))


def test_spectral_loss_approaches_pnp_loss_for_small_differences():
    synth, features = _Synth(3), nn.Sequential(nn.Linear(50, 30), nn.Tanh()).double().requires_grad_(False)
    u = randn(1, 2, seed=1).tanh()
    jacobian = torch.func.jacrev(lambda u: features(synth(synth.space.from_unit(u))))(u[0])
    pnp = PNPLoss(RiemannianMetric.from_jacobian(jacobian), dtype=torch.float64)
    spectral = SpectralLoss(synth, features)
    du = randn(1, 2, seed=2)
    errors = [abs(float(spectral(u + h * du, u) / pnp(u + h * du, u)) - 1) for h in (1e-2, 1e-3, 1e-4)]
    # First-order expansion: the relative error shrinks in proportion to the difference.
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.3)
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.3)


def test_spectral_loss_takes_stored_targets_and_sends_gradients():
    synth, features = _Synth(1), nn.Linear(50, 30).double()
    cube = randn(N_SOUNDS, 2, seed=1).tanh()
    targets = features(synth(synth.space.from_unit(cube))).detach()
    index = torch.tensor([3, 0, 19])
    u_hat = randn(3, 2, seed=2).tanh().requires_grad_()
    stored = SpectralLoss(synth, features, targets=targets)(u_hat, cube[index], index)
    torch.testing.assert_close(stored, SpectralLoss(synth, features)(u_hat, cube[index]))
    stored.backward()
    assert (u_hat.grad != 0).all()
    loss = SpectralLoss(synth, features, targets=targets)
    for wrong, error, message in (
        (None, ValueError, "needs the index"),
        (index[:1], ValueError, r"B = 3, a row for each item; got \(1,\)"),
        (index.float(), TypeError, r"\(torch\.int64\); got torch\.float32"),
        (index - 1, IndexError, r"0 … 19, the rows of the cache; got \[-1\]"),
        (index + 1, IndexError, r"0 … 19, the rows of the cache; got \[20\]"),
    ):
        with pytest.raises(error, match=message):
            loss(u_hat, cube[index], wrong)
    loss.targets[0] = torch.nan
    with pytest.raises(IndexError, match=r"without features, rows \[0\] of the cache"):
        loss(u_hat, cube[index], index)
