"""Quadratic form of PNP loss: never negative, differentiable twice, and clear about what it cannot serve."""

import math

import numpy as np
import pytest
import torch
from forms import BATCH, N_PARAMETERS, N_SOUNDS, randn
from torch.autograd import forward_ad

from pnp.losses import PNPLoss
from pnp.metric.riemannian import RiemannianMetric

KINDS = ("identity", "diagonal", "mean")
INDEX = torch.tensor([3, 0, 19, 7, 7, 11])


def _metric(n_parameters=N_PARAMETERS):
    return RiemannianMetric.from_jacobian(randn(N_SOUNDS, 30, n_parameters))


def _pair(dtype=torch.float64, n_parameters=N_PARAMETERS):
    u_hat = randn(BATCH, n_parameters, seed=1, dtype=dtype).requires_grad_()
    return u_hat, randn(BATCH, n_parameters, seed=2, dtype=dtype)


def _loss(dtype=torch.float64, **options):
    return PNPLoss(_metric(), **({"damping": 0.3, "volume_weighting": 0.5, "dtype": dtype} | options))


def test_is_never_negative_in_single_precision():
    scales = torch.tensor([1.2e2, 8.0, 1.7, 0.14, 6e-9]).double()
    directions = torch.linalg.qr(randn(500, 5, 5, seed=1)).Q
    jacobian = torch.linalg.qr(randn(500, 40, 5)).Q * scales @ directions.mT
    inaudible = directions[..., -1].float()
    for kind in KINDS:
        loss = PNPLoss(
            RiemannianMetric.from_jacobian(jacobian), damping=1e-30, damping_kind=kind, reduction="none"
        )
        assert (loss(inaudible, torch.zeros_like(inaudible), torch.arange(500)) >= 0).all()


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_first_and_second_derivatives_agree_with_differences(kind, reduction):
    loss = _loss(damping_kind=kind, reduction=reduction)
    u_hat, u = _pair()
    assert torch.autograd.gradcheck(lambda x: loss(x, u, INDEX), u_hat, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, u, INDEX), u_hat)


@pytest.mark.parametrize("vectorize", [False, True])
def test_hessian_is_the_metric(vectorize):
    loss = PNPLoss(_metric(), reduction="sum", dtype=torch.float64)
    u_hat, u = _pair()
    hessian = torch.autograd.functional.hessian(
        lambda x: loss(x, u, INDEX), u_hat.detach(), vectorize=vectorize
    )
    expected = torch.einsum("bij,bc->bicj", _metric().matrix[INDEX], torch.eye(BATCH).double())
    torch.testing.assert_close(hessian, expected)


def test_forward_mode_agrees():
    loss, (u_hat, u) = _loss(), _pair()
    tangent = randn(BATCH, N_PARAMETERS, seed=4)
    (gradient,) = torch.autograd.grad(loss(u_hat, u, INDEX), u_hat)
    with forward_ad.dual_level():
        value = loss(forward_ad.make_dual(u_hat.detach(), tangent), u, INDEX)
        derivative = forward_ad.unpack_dual(value).tangent
    torch.testing.assert_close(derivative, (gradient * tangent).sum())


def test_derivatives_with_respect_to_the_truth_are_those_to_the_prediction_reversed():
    loss, (u_hat, u) = _loss(), _pair()
    u.requires_grad_()
    by_prediction, by_truth = torch.autograd.grad(loss(u_hat, u, INDEX), (u_hat, u))
    torch.testing.assert_close(by_truth, -by_prediction)


def test_gradients_add_up():
    loss, (u_hat, u) = _loss(), _pair()
    value = loss(u_hat, u, INDEX)
    value.backward(retain_graph=True)
    once = u_hat.grad.clone()
    value.backward()
    torch.testing.assert_close(u_hat.grad, 2 * once)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_an_index_outside_is_named_however_far_out(reduction):
    loss, (u_hat, u) = _loss(reduction=reduction), _pair()
    largest = np.iinfo(np.int64)
    for wrong in (-1, N_SOUNDS, largest.min, largest.max):
        index = INDEX.clone()
        index[-1] = wrong
        with pytest.raises(IndexError, match=rf"0 … 19, the rows of the cache; got \[{wrong}\]"):
            loss(u_hat, u, index)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_without_a_metric_is_named_and_a_prediction_of_nan_passes(reduction, kind):
    loss, (u_hat, u) = _loss(reduction=reduction, damping_kind=kind), _pair()
    loss.factor[7] = math.nan
    with pytest.raises(IndexError, match=r"without a metric, rows \[7, 7\]"):
        loss(u_hat, u, INDEX)
    index = torch.arange(BATCH)
    with torch.no_grad():
        u_hat[2, 1] = math.nan
    value = loss(u_hat, u, index)
    assert torch.isnan(value).tolist() == (
        True if reduction == "mean" else [False, False, True] + [False] * 3
    )
    value.sum().backward()
    assert torch.isnan(u_hat.grad).any(1).tolist() == [False, False, True] + [False] * 3
