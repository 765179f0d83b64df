"""Losses: the formula of each, what they share, and how they behave as modules."""

import copy
import io
import math
import pickle
import subprocess
import sys
from types import SimpleNamespace

import jaxtyping
import pytest
import torch
from task import MemoryCache
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from pnp.errors import CacheError
from pnp.losses import LARGEST_DAMPING, ParameterLoss, PNPLoss, SpectralLoss
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters import Parameter, ParameterSpace

N_SOUNDS, N_PARAMETERS, BATCH = 20, 3, 6


def _randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.fixture
def metric():
    return RiemannianMetric.from_jacobian(_randn(N_SOUNDS, 30, N_PARAMETERS))


@pytest.fixture
def batch():
    index = torch.tensor([3, 0, 19, 7, 7, 11])
    return _randn(BATCH, N_PARAMETERS, seed=1), _randn(BATCH, N_PARAMETERS, seed=2), index


@pytest.fixture
def _without_shape_checks():
    """Dynamo cannot trace through the checks that the tests switch on; outside of tests they are off."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def _cache(metric, failed=(), fold=None):
    factor = metric.factor.clone()
    factor[list(failed)] = math.nan
    fold = torch.zeros(len(metric), dtype=torch.int64) if fold is None else fold
    return SimpleNamespace(metrics=lambda: RiemannianMetric(factor), fold=fold, path="cache/test.h5")


def _form(matrix, du):
    return torch.einsum("bi,bij,bj->b", du, matrix.expand(len(du), -1, -1), du)


# -- formulas --------------------------------------------------------------------------------


def test_pnp_loss_is_half_the_quadratic_form(metric, batch):
    u_hat, u, index = batch
    loss = PNPLoss(metric, reduction="none", dtype=torch.float64)
    torch.testing.assert_close(loss(u_hat, u, index), 0.5 * _form(metric.matrix[index], u_hat - u))


def test_gradient_is_m_du(metric, batch):
    u_hat, u, index = batch
    u_hat.requires_grad_()
    PNPLoss(metric, reduction="sum", dtype=torch.float64)(u_hat, u, index).backward()
    expected = (metric.matrix[index] @ (u_hat.detach() - u).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(u_hat.grad, expected)


def test_with_the_identity_as_metric_pnp_loss_is_parameter_loss(batch):
    u_hat, u, index = batch
    eye = RiemannianMetric.from_factor(torch.eye(N_PARAMETERS).expand(N_SOUNDS, -1, -1))
    torch.testing.assert_close(PNPLoss(eye)(u_hat, u, index), ParameterLoss()(u_hat, u, index))


def test_parameter_loss_is_half_the_squared_error_per_sound(batch):
    u_hat, u, index = batch
    expected = 0.5 * nn.functional.mse_loss(u_hat, u) * N_PARAMETERS
    torch.testing.assert_close(ParameterLoss()(u_hat, u, index), expected)


def test_parameter_loss_keeps_the_type_of_the_prediction(batch):
    u_hat, u, _ = batch
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert ParameterLoss()(u_hat.to(dtype), u).dtype == dtype


@pytest.mark.parametrize("kind", ["identity", "diagonal", "mean"])
def test_damping_in_the_loss_is_damping_of_the_metric(metric, batch, kind):
    u_hat, u, index = batch
    loss = PNPLoss(metric, damping=0.3, damping_kind=kind, reduction="none", dtype=torch.float64)
    expected = 0.5 * _form(metric.damped(0.3, kind).matrix[index], u_hat - u)
    torch.testing.assert_close(loss(u_hat, u, index), expected, rtol=1e-6, atol=0)
    loss.damping = 0.0
    torch.testing.assert_close(loss(u_hat, u, index), 0.5 * _form(metric.matrix[index], u_hat - u))


def test_undamped_leaves_everything_else_as_it_is(metric, batch):
    options = {"scale": 3.0, "volume_weighting": 0.5, "reduction": "none"}
    damped = PNPLoss(metric, damping=0.3, damping_kind="mean", **options)
    undamped = damped.undamped()
    assert torch.equal(undamped(*batch), PNPLoss(metric, **options)(*batch))
    assert undamped.factor is damped.factor
    assert damped.damping == pytest.approx(0.3)


def test_scale_multiplies_every_loss(metric, batch):
    for make in (lambda **k: PNPLoss(metric, damping=0.1, **k), ParameterLoss):
        torch.testing.assert_close(make(scale=2.5)(*batch), 2.5 * make()(*batch))


def test_normalized_metric_has_mean_eigenvalue_one(metric):
    for gain in (1.0, 1e4):
        loss = PNPLoss(metric.scaled(gain), normalize=True, dtype=torch.float64)
        eigenvalues = RiemannianMetric.from_factor(loss.factor).eigenvalues
        torch.testing.assert_close(eigenvalues.mean(), torch.tensor(1.0, dtype=torch.float64))


def test_the_reach_sets_the_ceiling_by_the_distance_between_sounds_for_training():
    cache = MemoryCache()
    features = cache.features(cache.rows("train")).double()
    squared = torch.cdist(features, features).square()
    n = len(features)
    ceiling = float(squared.sum() / (n * (n - 1))) / 0.3**2
    rows = cache.rows()[:10]
    u = cache.u[rows].float()
    for options in ({}, {"mean_metric": True}, {"normalize": True, "damping": 0.1}):
        by_reach = PNPLoss.from_cache(cache, reach=0.3, **options)
        by_ceiling = PNPLoss.from_cache(cache, ceiling=ceiling, **options)
        torch.testing.assert_close(by_reach(0.9 * u, u, rows), by_ceiling(0.9 * u, u, rows))
    saturated = cache.metrics()[cache.rows("train")].saturated(ceiling).mean()
    mean = PNPLoss.from_cache(cache, reach=0.3, mean_metric=True)
    torch.testing.assert_close(mean.factor.double(), saturated.factor, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"reach r must be finite and positive; got 0\.0"):
        PNPLoss.from_cache(cache, reach=0.0)
    with pytest.raises(ValueError, match="give one of both"):
        PNPLoss.from_cache(cache, reach=0.3, ceiling=1.0)
    with pytest.raises(CacheError):
        PNPLoss.from_cache(MemoryCache(keeps_features=False), reach=0.3)


def test_a_ceiling_in_the_loss_is_one_of_the_metric(metric, batch):
    saturated = metric.saturated(0.7)
    for options in ({}, {"normalize": True}, {"damping": 0.2, "damping_kind": "mean"}):
        torch.testing.assert_close(
            PNPLoss(metric, ceiling=0.7, reference=metric, **options)(*batch),
            PNPLoss(saturated, **options)(*batch),
        )


def test_volume_weights_follow_the_volume_and_average_one(metric, batch):
    u_hat, u, index = batch
    volume = metric.matrix.det().sqrt()
    for exponent in (0.5, 1.0):
        loss = PNPLoss(metric, volume_weighting=exponent, reduction="none", dtype=torch.float64)
        weight = volume**exponent / (volume**exponent).mean()
        torch.testing.assert_close(
            loss(u_hat, u, index),
            weight[index] * PNPLoss(metric, reduction="none", dtype=torch.float64)(u_hat, u, index),
        )


def test_one_metric_for_every_sound_needs_no_index(metric, batch):
    u_hat, u, _ = batch
    loss = PNPLoss(metric.mean(), reduction="none", dtype=torch.float64)
    torch.testing.assert_close(loss(u_hat, u), 0.5 * _form(metric.matrix.mean(0), u_hat - u))


def test_one_metric_for_every_sound_takes_no_notice_of_the_index(metric, batch):
    u_hat, u, index = batch
    for dtype in (torch.float32, torch.float64):
        loss = PNPLoss(metric.mean(), reference=metric, volume_weighting=1.0, reduction="none", dtype=dtype)
        torch.testing.assert_close(loss(u_hat, u, index), loss(u_hat, u))
        wrong = u_hat.clone()
        wrong[1] = math.nan
        assert torch.isnan(loss(wrong, u, index)).tolist() == [False, True] + 4 * [False]


def test_metric_of_the_batch_takes_the_place_of_the_stored_one(metric, batch):
    u_hat, u, index = batch
    expected = PNPLoss(metric, damping=0.1, dtype=torch.float64)(u_hat, u, index)
    for given in (metric[index], metric.matrix[index]):
        torch.testing.assert_close(PNPLoss(damping=0.1)(u_hat, u, metric=given), expected)
        torch.testing.assert_close(PNPLoss(metric, damping=0.1)(u_hat, u, index, metric=given), expected)


@pytest.mark.parametrize("make", [lambda m: PNPLoss(m, damping=0.1), lambda m: ParameterLoss()])
def test_reductions_agree(metric, batch, make):
    loss = make(metric)
    values = {}
    for loss.reduction in ("none", "mean", "sum"):
        values[loss.reduction] = loss(*batch)
    assert values["none"].shape == (BATCH,)
    torch.testing.assert_close(values["mean"], values["none"].mean())
    torch.testing.assert_close(values["sum"], values["none"].sum())


def test_loss_is_never_negative_in_single_precision():
    jacobian = torch.linalg.qr(_randn(500, 40, 5)).Q * torch.tensor([1.2e2, 8.0, 1.7, 0.14, 6e-9]).double()
    directions = torch.linalg.qr(_randn(500, 5, 5, seed=1)).Q
    loss = PNPLoss(RiemannianMetric.from_jacobian(jacobian @ directions.mT), reduction="none")
    inaudible = directions[..., -1].float()
    assert (loss(inaudible, torch.zeros_like(inaudible), torch.arange(500)) >= 0).all()


# -- spectral loss --------------------------------------------------------------------------------


class _Synth(nn.Module):
    sample_rate, n_samples = 100.0, 50

    def __init__(self, power):
        super().__init__()
        self.space = ParameterSpace([Parameter("a", 1.0, 2.0, "log"), Parameter("b", -1.0, 3.0)])
        self.power = power
        self.register_buffer("basis", _randn(2, 50))

    def forward(self, theta):
        return self.space.to_unit(theta) ** self.power @ self.basis.to(theta.dtype)


def test_spectral_loss_of_a_linear_synthesizer_is_pnp_loss():
    synth, features = _Synth(1), nn.Linear(50, 30).double()
    u, u_hat = _randn(BATCH, 2, seed=1).tanh(), _randn(BATCH, 2, seed=2).tanh()
    jacobian = torch.func.jacrev(lambda u: features(synth(synth.space.from_unit(u))))(u[0])
    metric = RiemannianMetric.from_jacobian(jacobian).factor.expand(BATCH, 2, 2)
    pnp = PNPLoss(RiemannianMetric.from_factor(metric), reduction="none", dtype=torch.float64)
    spectral = SpectralLoss(synth, features, reduction="none")
    torch.testing.assert_close(spectral(u_hat, u), pnp(u_hat, u, torch.arange(BATCH)))


def test_spectral_loss_approaches_pnp_loss_for_small_differences():
    synth, features = _Synth(3), nn.Sequential(nn.Linear(50, 30), nn.Tanh()).double().requires_grad_(False)
    u = _randn(1, 2, seed=1).tanh()
    jacobian = torch.func.jacrev(lambda u: features(synth(synth.space.from_unit(u))))(u[0])
    pnp = PNPLoss(RiemannianMetric.from_jacobian(jacobian), dtype=torch.float64)
    spectral = SpectralLoss(synth, features)
    du = _randn(1, 2, seed=2)
    errors = [abs(float(spectral(u + h * du, u) / pnp(u + h * du, u)) - 1) for h in (1e-2, 1e-3, 1e-4)]
    # First-order expansion: the relative error shrinks in proportion to the difference.
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.3)
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.3)


def test_spectral_loss_takes_stored_targets_and_sends_gradients():
    synth, features = _Synth(1), nn.Linear(50, 30).double()
    cube = _randn(N_SOUNDS, 2, seed=1).tanh()
    targets = features(synth(synth.space.from_unit(cube))).detach()
    index = torch.tensor([3, 0, 19])
    u_hat = _randn(3, 2, seed=2).tanh().requires_grad_()
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


# -- from a cache --------------------------------------------------------------------------------


def test_from_cache_takes_its_means_over_sounds_of_the_training_fold_that_did_not_fail(metric, batch):
    u_hat, u, _ = batch
    fold = torch.zeros(N_SOUNDS, dtype=torch.int64)
    fold[12:] = 1
    cache = _cache(metric, failed=[2], fold=fold)
    kept = torch.tensor([i for i in range(12) if i != 2])
    mean = metric.matrix[kept].mean(0)
    loss = PNPLoss.from_cache(cache, mean_metric=True, reduction="none", dtype=torch.float64)
    torch.testing.assert_close(loss(u_hat, u), 0.5 * _form(mean, u_hat - u))
    loss = PNPLoss.from_cache(cache, normalize=True, damping=0.2, damping_kind="mean", dtype=torch.float64)
    index = torch.tensor([0, 1, 3, 12, 13, 19])
    unit = mean.trace() / N_PARAMETERS
    expected = 0.5 * _form((metric.matrix[index] + 0.2 * mean) / unit, u_hat - u).mean()
    torch.testing.assert_close(loss(u_hat, u, index), expected, rtol=1e-6, atol=0)


@pytest.mark.usefixtures("_without_shape_checks")
def test_a_failed_sound_raises_on_the_cpu_and_is_nan_in_compiled_code(metric, batch):
    u_hat, u, _ = batch
    loss = PNPLoss.from_cache(_cache(metric, failed=[2, 5]), reduction="none")
    index = torch.tensor([0, 2, 3, 5, 4, 1])
    with pytest.raises(IndexError, match=r"without a metric, rows \[2, 5\].*cache\.ok"):
        loss(u_hat, u, index)
    values = torch.compile(loss, backend="eager", fullgraph=True)(u_hat, u, index)
    assert torch.isnan(values).tolist() == [False, True, False, True, False, False]


def test_a_cache_without_metrics_is_refused(metric):
    with pytest.raises(ValueError, match=r"training fold of cache/test\.h5.*of all 20 sounds, 0 have one"):
        PNPLoss.from_cache(_cache(metric, failed=range(N_SOUNDS)))


# -- as a module --------------------------------------------------------------------------------


@pytest.mark.usefixtures("_without_shape_checks")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("kind", ["identity", "diagonal", "mean"])
def test_compiles_in_one_graph_and_follows_lambda_without_recompiling(metric, batch, backend, kind):
    u_hat, u, index = (t.float() if t.is_floating_point() else t for t in batch)
    loss = PNPLoss(metric, damping=0.5, damping_kind=kind, volume_weighting=0.5)
    torch._dynamo.reset()
    graphs = CompileCounterWithBackend(backend)
    compiled = torch.compile(loss, backend=graphs, fullgraph=True)
    for loss.damping in (0.5, 0.0, 12.0):
        prediction, reference = u_hat.clone().requires_grad_(), u_hat.clone().requires_grad_()
        value = compiled(prediction, u, index)
        torch.testing.assert_close(value, loss(reference, u, index))
        value.backward()
        loss(reference, u, index).backward()
        torch.testing.assert_close(prediction.grad, reference.grad)
    assert graphs.frame_count == 1


def test_computes_in_single_precision_at_least_under_autocast(metric, batch):
    u_hat, u, index = batch
    loss = PNPLoss(metric, damping=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(u_hat.bfloat16(), u.float(), index)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(u_hat.bfloat16().float(), u.float(), index))


def test_an_empty_batch_has_no_items(metric):
    empty = torch.zeros(0, N_PARAMETERS)
    assert PNPLoss(metric, reduction="none")(empty, empty, torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_takes_the_type_of_the_prediction(metric, batch):
    u_hat, u, index = batch
    loss = PNPLoss(metric)
    assert loss(u_hat.float(), u, index).dtype == torch.float32
    assert loss(u_hat, u.float(), index).dtype == torch.float64
    assert loss.double()(u_hat.float(), u, index).dtype == torch.float64


def test_the_metric_of_all_sounds_is_one_buffer(metric):
    buffers = dict(PNPLoss(metric).named_buffers())
    assert buffers["factor"].shape == (N_SOUNDS, N_PARAMETERS, N_PARAMETERS)
    assert {name for name, buffer in buffers.items() if buffer.numel() > 1} == {"factor"}
    assert not list(PNPLoss(metric).parameters())


def test_copies_pickles_and_restores(metric, batch):
    loss = PNPLoss(metric, damping=0.3, damping_kind="mean", volume_weighting=1.0)
    expected = loss(*batch)
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert torch.equal(twin(*batch), expected)
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    other = PNPLoss(metric.scaled(2.0), damping_kind="mean", volume_weighting=1.0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(*batch), expected)


def test_a_deep_copy_has_its_own_lambda(metric):
    loss = PNPLoss(metric, damping=0.3)
    copy.deepcopy(loss).damping = 1.0
    assert loss.damping == pytest.approx(0.3)


def test_does_not_change_with_the_metric_it_was_built_from(metric, batch):
    loss = PNPLoss(metric, dtype=torch.float64)
    expected = loss(*batch)
    metric.factor.zero_()
    assert torch.equal(loss(*batch), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_cpu(metric, batch):
    u_hat, u, index = batch
    loss = PNPLoss.from_cache(_cache(metric, failed=[2]), damping=0.1, dtype=torch.float64)
    expected = loss(u_hat, u, index)
    loss = loss.cuda()
    torch.testing.assert_close(loss(u_hat.cuda(), u.cuda(), index.cuda()).cpu(), expected)
    assert torch.isnan(loss(u_hat.cuda(), u.cuda(), torch.full_like(index, 2).cuda()))
    with pytest.raises(IndexError, match=r"\[2\]"):
        loss.check_index(torch.tensor([1, 2]).cuda())
    with pytest.raises(ValueError, match="Index is on cpu but the loss on cuda:0"):
        loss(u_hat.cuda(), u.cuda(), index)


def test_import_is_light():
    code = "import sys, pnp; pnp.PNPLoss; sys.stdout.write(' '.join(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"h5py", "numba", "kymatio", "scipy", "matplotlib", "joblib", "sklearn"}
    assert "pnp.losses" in modules
    assert not heavy & set(modules.split())


def test_the_largest_damping_leaves_losses_and_gradients_finite(metric):
    for kind in ("identity", "diagonal", "mean"):
        loss = PNPLoss(metric, damping=LARGEST_DAMPING, damping_kind=kind, reduction="sum")
        loss.damping = loss.damping
        u_hat = torch.full((4096, N_PARAMETERS), 1.0, requires_grad=True)
        value = loss(u_hat, torch.full((4096, N_PARAMETERS), -1.0), torch.arange(4096) % N_SOUNDS)
        value.backward()
        assert value.isfinite()
        assert u_hat.grad.isfinite().all()


# -- bad input --------------------------------------------------------------------------------


def test_bad_options_are_named(metric):
    with pytest.raises(ValueError, match=r"mean, sum, none; got 'max'"):
        ParameterLoss(reduction="max")
    with pytest.raises(ValueError, match=r"identity, diagonal, mean; got 'trace'"):
        PNPLoss(metric, damping_kind="trace")
    for damping in (-1.0, math.nan, math.inf, 1e31):
        with pytest.raises(ValueError, match=r"Damping λ must be at least 0 and at most 1\.26765e\+30"):
            PNPLoss(metric, damping=damping)
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="Scale μ must be finite and positive"):
            PNPLoss(metric, scale=scale)
    with pytest.raises(ValueError, match="Volume weighting must be finite"):
        PNPLoss(metric, volume_weighting=-1.0)
    for options in ({"normalize": True}, {"volume_weighting": 1.0}, {"damping_kind": "mean"}):
        with pytest.raises(ValueError, match="got metric=None"):
            PNPLoss(**options)
    with pytest.raises(ValueError, match=r"batch shape \(n,\) or \(\); got \(4, 5\)"):
        PNPLoss(RiemannianMetric.from_jacobian(_randn(4, 5, 30, 3)))
    with pytest.raises(ValueError, match=r"Factors of the metrics, .*, overflow in torch\.float16"):
        PNPLoss(metric.scaled(1e12), dtype=torch.float16)
    with pytest.raises(ValueError, match="with mean_metric there is one for all"):
        PNPLoss.from_cache(MemoryCache(), mean_metric=True, volume_weighting=1.0)
    silent = RiemannianMetric.from_factor(torch.zeros(2, 3, 3))
    with pytest.raises(ValueError, match="zero at every sound"):
        PNPLoss(silent, normalize=True)
    with pytest.raises(ValueError, match="every det M is 0"):
        PNPLoss(silent, volume_weighting=1.0)


def test_bad_batches_are_named(metric, batch):
    u_hat, u, index = batch
    loss = PNPLoss(metric)
    for wrong in (-1, N_SOUNDS):
        bad = index.clone()
        bad[2] = wrong
        with pytest.raises(IndexError, match=rf"0 … 19, the rows of the cache; got \[{wrong}\]"):
            loss(u_hat, u, bad)
    for wrong, name in (
        (index.float(), "torch.float32"),
        (index > 3, "torch.bool"),
        (index.byte(), "torch.uint8"),
    ):
        with pytest.raises(TypeError, match=rf"row numbers in the cache \(torch\.int64\); got {name}"):
            loss(u_hat, u, wrong)
    with pytest.raises(ValueError, match=r"B = 6, a row for each item; got \(5,\)"):
        loss(u_hat, u, index[:5])
    with pytest.raises(ValueError, match="needs the index"):
        loss(u_hat, u)
    with pytest.raises(ValueError, match="no metric of its own"):
        PNPLoss()(u_hat, u, index)
    with pytest.raises(ValueError, match=r"got 2 parameters and a metric of 3"):
        loss(u_hat[:, :2], u[:, :2], index)
    with pytest.raises(
        ValueError, match=r"got \(6, 2\) and \(6, 3\)\. Likely cause: a network whose outputs"
    ):
        loss(u_hat[:, :2], u, index)
    for either in (loss, ParameterLoss()):
        with pytest.raises(ValueError, match=r"same shape \(B, P\); got \(6, 3\) and \(5, 3\)"):
            either(u_hat, u[:5], index)
        with pytest.raises(TypeError, match=r"u must be a floating-point tensor.*torch\.int64"):
            either(u_hat, u.long(), index)
    with pytest.raises(ValueError, match=r"B = 6; got batch shape \(20,\)"):
        loss(u_hat, u, metric=metric)
    with pytest.raises(ValueError, match="positive semi-definite"):
        loss(u_hat, u, metric=-metric.matrix[index])


def test_nan_in_the_prediction_is_nan_in_the_loss_of_that_sound_alone(metric, batch):
    u_hat, u, index = batch
    u_hat[1, 0] = math.nan
    assert torch.isnan(PNPLoss(metric, reduction="none")(u_hat, u, index)).tolist() == [False, True] + 4 * [
        False
    ]
