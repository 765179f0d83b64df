"""Modes of PyTorch that a caller is in: what was built or called in them trains afterwards, and computes as without."""

import pytest
import torch
from task import Energies, MemoryCache
from torch import nn

import pnp
from pnp.losses import ParameterLoss, PNPLoss, SpectralLoss, SurrogateLoss
from pnp.metric.field import MetricField


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


def _losses(cache):
    return {
        "p": ParameterLoss(),
        "pnp": PNPLoss.from_cache(
            cache, normalize=True, damping=0.1, damping_kind="mean", volume_weighting=0.5
        ),
        "surrogate": SurrogateLoss.from_cache(cache),
        "spectral": SpectralLoss(cache.synth, Energies()),
        "stored": SpectralLoss(cache.synth, Energies(), targets=cache.features(cache.rows()).float()),
    }


NAMES = ("p", "pnp", "surrogate", "spectral", "stored")


def _batch(cache):
    index = torch.arange(6)
    return cache.u[index].float(), index


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("built", ["inside", "outside"])
def test_a_loss_built_or_called_in_inference_mode_trains_afterwards(cache, name, built):
    u, index = _batch(cache)
    expected_network = nn.Linear(2, 2)
    network = nn.Linear(2, 2)
    network.load_state_dict(expected_network.state_dict())
    expected = _losses(cache)[name](expected_network(u), u, index)
    expected.backward()
    loss = None if built == "inside" else _losses(cache)[name]
    with torch.inference_mode():
        loss = _losses(MemoryCache())[name] if loss is None else loss
        validation = loss(network(u), u, index)
    value = loss(network(u), u, index)
    value.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(validation, expected.detach())
    torch.testing.assert_close(network.weight.grad, expected_network.weight.grad)


@pytest.mark.parametrize("synth", ["chirp", "ripple", "drum", "string"])
def test_a_spectral_loss_through_any_synthesizer_trains_after_validation(synth):
    features = nn.Linear(4096, 8).requires_grad_(False)
    with torch.inference_mode():
        loss = SpectralLoss(pnp.synths.make(synth, n_samples=4096), features)
        u = torch.zeros(2, len(loss.space))
        loss(u, u)
    u_hat = torch.full((2, len(loss.space)), 0.1, requires_grad=True)
    loss(u_hat, torch.zeros(2, len(loss.space))).backward()
    assert u_hat.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_compute_in_single_precision_under_autocast_and_for_half_precision(cache, name, dtype):
    u, index = _batch(cache)
    u_hat = (0.9 * u).to(dtype)
    loss = _losses(cache)[name]
    expected = loss(u_hat.float(), u, index)
    with torch.autocast("cpu", dtype=dtype):
        values = [loss(u_hat, u, index), loss(u_hat.float(), u, index)]
    for value in (*values, loss(u_hat, u, index)):
        assert value.dtype == torch.float32
        assert torch.equal(value, expected)


def test_metrics_and_fields_of_inference_mode_train_afterwards(cache):
    rows = cache.rows("train")
    with torch.inference_mode():
        metric = MemoryCache().metrics()
        field = MetricField(metric[rows], cache.u[rows])
        inside = field(cache.u[:4])
        assert inside.matrix.shape == inside.eigenvectors.shape
    du = torch.ones(4, 2, dtype=torch.float64, requires_grad=True)
    for each in (inside, field(cache.u[:4])):
        (each.matrix @ du.unsqueeze(-1)).sum().backward()
        each.distance_squared(du).sum().backward()
        PNPLoss()(du, torch.zeros_like(du), metric=each).backward()
    assert du.grad.isfinite().all()
