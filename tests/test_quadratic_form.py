"""Quadratic form: its product is its derivative, and the compiled loop agrees with PyTorch wherever it serves."""

import gc
import itertools
import math
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from pnp import _compiled, quadratic_form
from pnp.losses import PNPLoss
from pnp.metric import RiemannianMetric

N_SOUNDS, N_PARAMETERS, BATCH = 20, 3, 6
KINDS = ("identity", "diagonal", "mean")
INDEX = torch.tensor([3, 0, 19, 7, 7, 11])

needs_numba = pytest.mark.skipif(not _compiled.available(), reason="needs Numba")


def _randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def _metric(n_parameters=N_PARAMETERS):
    return RiemannianMetric.from_jacobian(_randn(N_SOUNDS, 30, n_parameters))


def _pair(dtype=torch.float64, n_parameters=N_PARAMETERS):
    u_hat = _randn(BATCH, n_parameters, seed=1, dtype=dtype).requires_grad_()
    return u_hat, _randn(BATCH, n_parameters, seed=2, dtype=dtype)


def _loss(dtype=torch.float64, **options):
    return PNPLoss(_metric(), **({"damping": 0.3, "volume_weighting": 0.5, "dtype": dtype} | options))


@pytest.fixture
def plainly(monkeypatch):
    """Call something without the compiled loop."""

    def call(function, *args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(quadratic_form, "available", lambda: False)
            return function(*args, **options)

    return call


@pytest.fixture
def is_fused(monkeypatch):
    """Whether a call of a loss comes out of the compiled loop."""
    served = []
    fused = quadratic_form.fused

    def watched(*args):
        result = fused(*args)
        served.append(result is not None)
        return result

    monkeypatch.setattr(quadratic_form, "fused", watched)

    def call(function, *args, **options):
        served.clear()
        function(*args, **options)
        assert len(set(served)) == 1
        return served[0]

    return call


# -- in PyTorch ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_the_product_is_half_the_derivative_of_the_form(kind, damping):
    du = _randn(BATCH, N_PARAMETERS).requires_grad_()
    factor, mean_factor = (
        _randn(BATCH, N_PARAMETERS, N_PARAMETERS, seed=1),
        _randn(N_PARAMETERS, N_PARAMETERS),
    )
    for given in (factor, factor[0]):
        for weight in (None, _randn(BATCH, seed=3).exp(), torch.tensor(2.0, dtype=torch.float64)):
            form = quadratic_form.form(du, given, torch.tensor(damping), kind, mean_factor, weight)
            (derivative,) = torch.autograd.grad(form.sum(), du)
            # λ is a number of single precision.
            product = quadratic_form.product(
                du, given, float(torch.tensor(damping)), kind, mean_factor, weight
            )
            torch.testing.assert_close(2 * product, derivative)


# -- the compiled loop -------------------------------------------------------------------------------------------


@needs_numba
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_value_and_gradient_are_those_of_pytorch(dtype, reduction, kind, plainly, is_fused):
    for damping, weighting, shared in itertools.product((0.0, 0.3), (0.0, 0.7), (False, True)):
        metric = _metric()
        loss = PNPLoss(
            metric.mean() if shared else metric,
            damping=damping,
            damping_kind=kind,
            volume_weighting=weighting,
            reference=metric,
            scale=1.7,
            reduction=reduction,
            dtype=dtype,
        )
        for index in (INDEX, None) if shared else (INDEX,):
            (u_hat, u), (reference, _) = _pair(dtype), _pair(dtype)
            assert is_fused(loss, u_hat, u, index)
            value, expected = loss(u_hat, u, index), plainly(loss, reference, u, index)
            assert value.dtype == dtype
            torch.testing.assert_close(value, expected)
            upstream = _randn(value.numel(), seed=5, dtype=dtype).reshape(value.shape)
            value.backward(upstream)
            expected.backward(upstream)
            torch.testing.assert_close(u_hat.grad, reference.grad)
            with torch.no_grad():
                torch.testing.assert_close(loss(u_hat, u, index), expected)


@needs_numba
@pytest.mark.parametrize("n_parameters", [1, 2, 8, 19])
def test_any_number_of_parameters(n_parameters, plainly, is_fused):
    loss = PNPLoss(_metric(n_parameters), damping=0.1, damping_kind="mean", dtype=torch.float64)
    u_hat, u = _pair(n_parameters=n_parameters)
    assert is_fused(loss, u_hat, u, INDEX)
    torch.testing.assert_close(loss(u_hat, u, INDEX), plainly(loss, u_hat, u, INDEX))


@needs_numba
def test_a_parameter_of_an_optimization_is_a_prediction_like_any(is_fused):
    u_hat, u = _pair()
    parameter = nn.Parameter(u_hat.detach().clone())
    loss = _loss()
    assert is_fused(loss, parameter, u, INDEX)
    loss(parameter, u, INDEX).backward()
    loss(u_hat, u, INDEX).backward()
    assert torch.equal(parameter.grad, u_hat.grad)


@needs_numba
def test_lambda_is_that_of_the_call(plainly):
    loss, (u_hat, u) = _loss(), _pair()
    for loss.damping in (0.0, 2.0, 0.5):
        torch.testing.assert_close(loss(u_hat, u, INDEX), plainly(loss, u_hat, u, INDEX))
    value = loss(u_hat, u, INDEX)
    (expected,) = torch.autograd.grad(value, u_hat, retain_graph=True)
    loss.damping = 7.0
    for create_graph in (False, True):
        (gradient,) = torch.autograd.grad(value, u_hat, retain_graph=True, create_graph=create_graph)
        torch.testing.assert_close(gradient, expected)


@needs_numba
def test_is_never_negative_in_single_precision():
    scales = torch.tensor([1.2e2, 8.0, 1.7, 0.14, 6e-9]).double()
    directions = torch.linalg.qr(_randn(500, 5, 5, seed=1)).Q
    jacobian = torch.linalg.qr(_randn(500, 40, 5)).Q * scales @ directions.mT
    inaudible = directions[..., -1].float()
    for kind in KINDS:
        loss = PNPLoss(
            RiemannianMetric.from_jacobian(jacobian), damping=1e-30, damping_kind=kind, reduction="none"
        )
        assert (loss(inaudible, torch.zeros_like(inaudible), torch.arange(500)) >= 0).all()


# -- derivatives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_first_and_second_derivatives_agree_with_differences(kind, reduction):
    loss = _loss(damping_kind=kind, reduction=reduction)
    u_hat, u = _pair()
    assert torch.autograd.gradcheck(lambda x: loss(x, u, INDEX), u_hat, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, u, INDEX), u_hat)


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_reach_what_the_prediction_came_from(kind, plainly):
    loss = _loss(damping_kind=kind)
    u = _pair()[1]
    start = _randn(BATCH, N_PARAMETERS, seed=6).requires_grad_()

    def gradient_penalty():
        value = loss(torch.sin(start), u, INDEX)
        (gradient,) = torch.autograd.grad(value, start, create_graph=True)
        return torch.autograd.grad(gradient.square().sum() + value, start)[0]

    torch.testing.assert_close(gradient_penalty(), plainly(gradient_penalty))


@pytest.mark.parametrize("vectorize", [False, True])
def test_hessian_is_the_metric(vectorize):
    loss = PNPLoss(_metric(), reduction="sum", dtype=torch.float64)
    u_hat, u = _pair()
    hessian = torch.autograd.functional.hessian(
        lambda x: loss(x, u, INDEX), u_hat.detach(), vectorize=vectorize
    )
    expected = torch.einsum("bij,bc->bicj", _metric().matrix[INDEX], torch.eye(BATCH).double())
    torch.testing.assert_close(hessian, expected)


def test_every_transform_of_torch_func_agrees(plainly):
    loss, (u_hat, u) = _loss(), _pair()
    u_hat = u_hat.detach()
    tangent = _randn(BATCH, N_PARAMETERS, seed=4)

    def of(x):
        return loss(x, u, INDEX)

    for transform in (
        lambda: torch.func.grad(of)(u_hat),
        lambda: torch.func.jvp(of, (u_hat,), (tangent,))[1],
        lambda: torch.func.jacrev(of)(u_hat),
        lambda: torch.func.jacfwd(of)(u_hat),
        lambda: torch.func.hessian(of)(u_hat),
        lambda: torch.func.vmap(of)(torch.stack([u_hat, tangent])),
        lambda: torch.func.vmap(lambda y: loss(u_hat, y, INDEX))(torch.stack([u, tangent])),
        # What is differentiated lies outside.
        lambda: torch.func.grad(lambda a: a * of(u_hat))(torch.ones(()).double()),
    ):
        torch.testing.assert_close(transform(), plainly(transform))


def test_forward_mode_agrees():
    loss, (u_hat, u) = _loss(), _pair()
    tangent = _randn(BATCH, N_PARAMETERS, seed=4)
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


@needs_numba
def test_what_is_overwritten_before_a_derivative_is_found():
    for overwritten in range(3):
        loss, (u_hat, u) = _loss(), _pair()
        value = loss(u_hat, u, INDEX)
        with torch.no_grad():
            (u_hat, u, loss.factor)[overwritten].mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(value, u_hat, create_graph=True)


@needs_numba
def test_a_graph_is_used_once_and_then_let_go():
    loss, (u_hat, u) = _loss(), _pair()
    value = loss(2 * u_hat, u, INDEX)
    value.backward()
    with pytest.raises(RuntimeError, match="second time"):
        value.backward()
    kept = weakref.ref(value.grad_fn)
    gc.disable()  # a circle of references would wait for the collector
    try:
        del value
        assert kept() is None
    finally:
        gc.enable()


def test_gradients_add_up():
    loss, (u_hat, u) = _loss(), _pair()
    value = loss(u_hat, u, INDEX)
    value.backward(retain_graph=True)
    once = u_hat.grad.clone()
    value.backward()
    torch.testing.assert_close(u_hat.grad, 2 * once)


# -- where the loop serves ----------------------------------------------------------------------------------------


@needs_numba
def test_the_loop_serves_what_it_can_read_and_nothing_else(is_fused, plainly):
    class Subclass(torch.Tensor):
        pass

    loss, (u_hat, u) = _loss(), _pair()
    assert is_fused(loss, u_hat, u, INDEX)
    with torch.inference_mode():
        inference = u.clone()
    wide = _randn(BATCH, 2 * N_PARAMETERS)
    differentiable, integer_of_32_bits = _loss(), INDEX.int()
    differentiable.factor.requires_grad_()
    shared = PNPLoss(_metric().mean(), dtype=torch.float64)
    shared.factor = shared.factor.mT
    unlike = _loss(damping_kind="mean")
    unlike.mean_factor = unlike.mean_factor.float()
    for other, *arguments in (
        (loss, u_hat.float(), u, INDEX),
        (loss, u_hat, u.float(), INDEX),
        (loss.float(), u_hat, u, INDEX),
        (loss, u_hat.bfloat16(), u, INDEX),
        (loss, u_hat.half(), u.half(), INDEX),
        (loss, wide[:, ::2], u, INDEX),
        (loss, u_hat, wide[:, ::2], INDEX),
        (loss, u_hat, u, torch.stack([INDEX, INDEX], 1)[:, 0]),
        (loss, u_hat, u, integer_of_32_bits),
        (loss, u_hat, u.clone().requires_grad_(), INDEX),
        (loss, u_hat, inference, INDEX),
        (loss, u_hat.as_subclass(Subclass), u, INDEX),
        (loss, u_hat, u.as_subclass(Subclass), INDEX),
        (loss, torch._neg_view(u_hat.detach()), u, INDEX),
        (loss, u_hat[:0], u[:0], INDEX[:0]),
        (differentiable, u_hat, u, INDEX),
        (shared, u_hat, u, None),
        (unlike, u_hat, u, INDEX),
    ):
        assert not is_fused(other, *arguments)
        expected = plainly(other, *arguments)
        torch.testing.assert_close(other(*arguments), expected, equal_nan=True)


def test_what_outlives_its_transform_is_a_tensor_like_any():
    loss, (u_hat, u) = _loss(), _pair()
    kept = []

    def keeps(x):
        kept.append(2 * x)
        return x.sum()

    torch.func.grad(keeps)(u_hat.detach())
    torch.testing.assert_close(loss(kept[0], u, INDEX), loss(2 * u_hat.detach(), u, INDEX))


@needs_numba
def test_what_watches_operations_sees_them(is_fused):
    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(function)
            return function(*args, **(kwargs or {}))

    seen = []
    with Watch():
        assert not is_fused(_loss(), *_pair(), INDEX)
    assert torch.ops.aten.index_select.default in seen


def test_without_numba_the_loss_is_the_same(monkeypatch, is_fused):
    loss, (u_hat, u) = _loss(), _pair()
    expected = loss(u_hat, u, INDEX)
    _compiled.available.cache_clear()
    monkeypatch.setenv("PNP_NO_NUMBA", "1")
    try:
        assert not is_fused(loss, u_hat, u, INDEX)
        torch.testing.assert_close(loss(u_hat, u, INDEX), expected)
    finally:
        _compiled.available.cache_clear()


@needs_numba
def test_metrics_are_stored_as_the_loop_reads_them():
    # What comes out of a QR decomposition goes down the columns.
    loss = _loss(damping_kind="mean")
    assert not _metric().factor.is_contiguous()
    assert loss.factor.is_contiguous()
    assert loss.mean_factor.is_contiguous()


# -- what must not be read -----------------------------------------------------------------------------------------


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
