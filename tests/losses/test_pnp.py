"""PNPLoss: its formula, its options, and how it behaves as a module."""

import copy
import io
import math
import pickle
from types import SimpleNamespace

import pytest
import torch
from forms import N_PARAMETERS, N_SOUNDS, form, randn
from task import MemoryCache
from torch._dynamo.testing import CompileCounterWithBackend

from pnp.losses import LARGEST_DAMPING, PNPLoss
from pnp.metric.reach import ceiling_of_reach
from pnp.metric.riemannian import RiemannianMetric


def _cache(metric, failed=(), fold=None):
    factor = metric.factor.clone()
    factor[list(failed)] = math.nan
    fold = torch.zeros(len(metric), dtype=torch.int64) if fold is None else fold
    return SimpleNamespace(metrics=lambda: RiemannianMetric(factor), fold=fold, path="cache/test.h5")


def test_pnp_loss_is_half_the_quadratic_form(metric, batch):
    u_hat, u, index = batch
    loss = PNPLoss(metric, reduction="none", dtype=torch.float64)
    torch.testing.assert_close(loss(u_hat, u, index), 0.5 * form(metric.matrix[index], u_hat - u))


def test_gradient_is_m_du(metric, batch):
    u_hat, u, index = batch
    u_hat.requires_grad_()
    PNPLoss(metric, reduction="sum", dtype=torch.float64)(u_hat, u, index).backward()
    expected = (metric.matrix[index] @ (u_hat.detach() - u).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(u_hat.grad, expected)


@pytest.mark.parametrize("kind", ["identity", "diagonal", "mean"])
def test_damping_in_the_loss_is_damping_of_the_metric(metric, batch, kind):
    u_hat, u, index = batch
    loss = PNPLoss(metric, damping=0.3, damping_kind=kind, reduction="none", dtype=torch.float64)
    expected = 0.5 * form(metric.damped(0.3, kind).matrix[index], u_hat - u)
    torch.testing.assert_close(loss(u_hat, u, index), expected, rtol=1e-6, atol=0)
    loss.damping = 0.0
    torch.testing.assert_close(loss(u_hat, u, index), 0.5 * form(metric.matrix[index], u_hat - u))


def test_undamped_leaves_everything_else_as_it_is(metric, batch):
    options = {"scale": 3.0, "volume_weighting": 0.5, "reduction": "none"}
    damped = PNPLoss(metric, damping=0.3, damping_kind="mean", **options)
    undamped = damped.undamped()
    assert torch.equal(undamped(*batch), PNPLoss(metric, **options)(*batch))
    assert undamped.factor is damped.factor
    assert damped.damping == pytest.approx(0.3)


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
    mean = PNPLoss.from_cache(cache, reach=0.3, normalize=False, mean_metric=True)
    torch.testing.assert_close(mean.factor.double(), saturated.factor, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"reach must be a finite number above 0, got 0\.0"):
        PNPLoss.from_cache(cache, reach=0.0)
    # Also where the reach that is asked for happens to be the default.
    for reach in (0.3, 10.0):
        with pytest.raises(ValueError, match=f"give reach={reach} or ceiling=1.0, not both"):
            PNPLoss.from_cache(cache, reach=reach, ceiling=1.0)


def test_by_default_the_loss_is_normalized_and_has_a_reach_and_none_is_the_plain_form():
    cache = MemoryCache()
    rows = cache.rows()[:10]
    u = cache.u[rows].float()
    default = PNPLoss.from_cache(cache)
    spelled_out = PNPLoss.from_cache(cache, reach=3.0, normalize=True)
    assert torch.equal(default.factor, spelled_out.factor)
    plain = PNPLoss.from_cache(cache, reach=None, dtype=torch.float64)
    expected = 0.5 * form(cache.metrics().matrix[rows], (0.9 * u - u).double()).mean()
    torch.testing.assert_close(plain((0.9 * u).double(), u.double(), rows), expected, rtol=1e-6, atol=0)
    # A ceiling takes the place of the default reach.
    by_ceiling = PNPLoss.from_cache(cache, ceiling=3.0)
    saturated = cache.metrics().saturated(3.0)
    unit = float(saturated[cache.rows("train")].mean().trace) / 2
    torch.testing.assert_close(
        by_ceiling.factor[rows].double(), saturated[rows].scaled(1 / unit).factor, rtol=1e-4, atol=1e-6
    )


def test_where_only_metrics_are_kept_the_reach_follows_from_them_and_says_so():
    cache, bare = MemoryCache(), MemoryCache(keeps_features=False)
    with pytest.warns(UserWarning, match=r"keeps neither features nor the distance.*Precompute"):
        estimated = ceiling_of_reach(bare, 1.0)
    # An order of magnitude for smooth tones, not the true distance.
    assert 0.1 < estimated / ceiling_of_reach(cache, 1.0) < 10


def test_a_reach_needs_two_sounds_that_differ():
    cache = MemoryCache(keeps_features=False)
    cache.ok[:] = False
    cache.ok[0] = True
    with pytest.raises(ValueError, match=r"needs two training sounds.*has 1"):
        ceiling_of_reach(cache, 1.0)
    same = MemoryCache()
    same._features[:] = 1.0
    with pytest.raises(ValueError, match="same features, so that no reach can be set"):
        PNPLoss.from_cache(same)


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
    torch.testing.assert_close(loss(u_hat, u), 0.5 * form(metric.matrix.mean(0), u_hat - u))


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


def test_loss_is_never_negative_in_single_precision():
    jacobian = torch.linalg.qr(randn(500, 40, 5)).Q * torch.tensor([1.2e2, 8.0, 1.7, 0.14, 6e-9]).double()
    directions = torch.linalg.qr(randn(500, 5, 5, seed=1)).Q
    loss = PNPLoss(RiemannianMetric.from_jacobian(jacobian @ directions.mT), reduction="none")
    inaudible = directions[..., -1].float()
    assert (loss(inaudible, torch.zeros_like(inaudible), torch.arange(500)) >= 0).all()


def test_from_cache_takes_its_means_over_sounds_of_the_training_fold_that_did_not_fail(metric, batch):
    u_hat, u, _ = batch
    fold = torch.zeros(N_SOUNDS, dtype=torch.int64)
    fold[12:] = 1
    cache = _cache(metric, failed=[2], fold=fold)
    kept = torch.tensor([i for i in range(12) if i != 2])
    mean = metric.matrix[kept].mean(0)
    loss = PNPLoss.from_cache(cache, reach=None, mean_metric=True, reduction="none", dtype=torch.float64)
    torch.testing.assert_close(loss(u_hat, u), 0.5 * form(mean, u_hat - u))
    loss = PNPLoss.from_cache(
        cache, reach=None, normalize=True, damping=0.2, damping_kind="mean", dtype=torch.float64
    )
    index = torch.tensor([0, 1, 3, 12, 13, 19])
    unit = mean.trace() / N_PARAMETERS
    expected = 0.5 * form((metric.matrix[index] + 0.2 * mean) / unit, u_hat - u).mean()
    torch.testing.assert_close(loss(u_hat, u, index), expected, rtol=1e-6, atol=0)


@pytest.mark.usefixtures("without_shape_checks")
def test_a_failed_sound_raises_on_the_cpu_and_is_nan_in_compiled_code(metric, batch):
    u_hat, u, _ = batch
    loss = PNPLoss.from_cache(_cache(metric, failed=[2, 5]), reach=None, reduction="none")
    index = torch.tensor([0, 2, 3, 5, 4, 1])
    with pytest.raises(IndexError, match=r"without a metric, rows \[2, 5\].*cache\.ok"):
        loss(u_hat, u, index)
    values = torch.compile(loss, backend="eager", fullgraph=True)(u_hat, u, index)
    assert torch.isnan(values).tolist() == [False, True, False, True, False, False]


def test_a_cache_without_metrics_is_refused(metric):
    with pytest.raises(ValueError, match=r"training fold of cache/test\.h5.*of all 20 sounds, 0 have one"):
        PNPLoss.from_cache(_cache(metric, failed=range(N_SOUNDS)))


@pytest.mark.usefixtures("without_shape_checks")
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
    loss = PNPLoss.from_cache(_cache(metric, failed=[2]), reach=None, damping=0.1, dtype=torch.float64)
    expected = loss(u_hat, u, index)
    loss = loss.cuda()
    torch.testing.assert_close(loss(u_hat.cuda(), u.cuda(), index.cuda()).cpu(), expected)
    assert torch.isnan(loss(u_hat.cuda(), u.cuda(), torch.full_like(index, 2).cuda()))
    with pytest.raises(IndexError, match=r"\[2\]"):
        loss.check_index(torch.tensor([1, 2]).cuda())
    with pytest.raises(ValueError, match="Index is on cpu but the loss on cuda:0"):
        loss(u_hat.cuda(), u.cuda(), index)


def test_the_largest_damping_leaves_losses_and_gradients_finite(metric):
    for kind in ("identity", "diagonal", "mean"):
        loss = PNPLoss(metric, damping=LARGEST_DAMPING, damping_kind=kind, reduction="sum")
        loss.damping = loss.damping
        u_hat = torch.full((4096, N_PARAMETERS), 1.0, requires_grad=True)
        value = loss(u_hat, torch.full((4096, N_PARAMETERS), -1.0), torch.arange(4096) % N_SOUNDS)
        value.backward()
        assert value.isfinite()
        assert u_hat.grad.isfinite().all()
