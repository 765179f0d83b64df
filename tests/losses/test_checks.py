"""Bad options and bad batches are named."""

import math
from pathlib import Path

import pytest
import torch
from forms import N_PARAMETERS, N_SOUNDS, randn
from task import MemoryCache
from torch import nn

from pnp.losses import ParameterLoss, PNPLoss, SpectralLoss, SurrogateLoss
from pnp.metric.riemannian import RiemannianMetric


def test_bad_options_are_named(metric):
    with pytest.raises(ValueError, match=r"mean, sum, none; got 'max'"):
        ParameterLoss(reduction="max")
    with pytest.raises(ValueError, match=r"identity, diagonal, mean; got 'trace'"):
        PNPLoss(metric, damping_kind="trace")
    for damping in (-1.0, math.nan, math.inf, 1e31):
        with pytest.raises(ValueError, match=r"damping must be a finite number from 0 to 1\.26765e\+30"):
            PNPLoss(metric, damping=damping)
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="scale must be a finite number above 0"):
            PNPLoss(metric, scale=scale)
    with pytest.raises(ValueError, match="volume_weighting must be a finite number of at least 0"):
        PNPLoss(metric, volume_weighting=-1.0)
    for options in ({"normalize": True}, {"volume_weighting": 1.0}, {"damping_kind": "mean"}):
        with pytest.raises(ValueError, match="got metric=None"):
            PNPLoss(**options)
    with pytest.raises(ValueError, match=r"batch shape \(n,\) or \(\); got \(4, 5\)"):
        PNPLoss(RiemannianMetric.from_jacobian(randn(4, 5, 30, 3)))
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


def test_an_empty_batch_has_no_items(metric):
    empty = torch.zeros(0, N_PARAMETERS)
    assert PNPLoss(metric, reduction="none")(empty, empty, torch.zeros(0, dtype=torch.int64)).shape == (0,)


@pytest.mark.usefixtures("without_shape_checks")
def test_metrics_references_and_types_that_cannot_serve_are_named(metric):
    for wrong, name in ((3, "int"), (metric.matrix, "Tensor")):
        with pytest.raises(TypeError, match=f"metric of a loss must be a RiemannianMetric; got {name}"):
            PNPLoss(wrong)
    other = RiemannianMetric.from_jacobian(randn(4, 30, 2))
    with pytest.raises(
        ValueError, match=r"reference must be about the P = 3 parameters of the metric; got P = 2"
    ):
        PNPLoss(metric, reference=other, normalize=True)
    with pytest.raises(ValueError, match=r"floating-point type such as torch\.float32, got torch\.int64"):
        PNPLoss(metric, dtype=torch.int64)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_an_empty_batch_is_what_it_is_for_the_losses_of_pytorch(metric, reduction):
    empty, index = torch.zeros(0, N_PARAMETERS), torch.zeros(0, dtype=torch.int64)
    expected = nn.functional.mse_loss(empty, empty, reduction=reduction)
    cache = MemoryCache()
    pair = torch.zeros(0, 2)
    values = [
        PNPLoss(metric, reduction=reduction)(empty, empty, index),
        PNPLoss(metric, damping=0.1, reduction=reduction)(empty, empty, index),
        ParameterLoss(reduction=reduction)(empty, empty, index),
        SurrogateLoss.from_cache(cache, reduction=reduction)(pair, pair, index),
        SpectralLoss(cache.synth, nn.Identity(), reduction=reduction)(pair, pair, index),
    ]
    for value in values:
        assert torch.equal(value.isnan(), expected.isnan().flatten()[: value.numel()].reshape(value.shape))
        assert value.nansum() == 0


def test_a_reach_that_leaves_no_finite_ceiling_is_named():
    for reach in (1e-200, 1e-320):
        with pytest.raises(ValueError, match=r"reach r is too small for float64: .* got 1e-"):
            PNPLoss.from_cache(MemoryCache(), reach=reach)


@pytest.mark.parametrize("path", ["cache/tones.h5", Path("cache/tones.h5")])
def test_the_path_of_a_cache_is_answered_by_what_to_pass(path):
    for call in (PNPLoss.from_cache, SurrogateLoss.from_cache):
        with pytest.raises(TypeError, match=r"got the path 'cache/tones\.h5'; pass pnp\.MetricCache"):
            call(path)
    with pytest.raises(TypeError, match=r"a pnp\.MetricCache, got int"):
        PNPLoss.from_cache(3)


def test_a_loss_says_what_its_metrics_have_been_through():
    cache = MemoryCache()
    assert "normalize=True, reach=3, ceiling=" in repr(PNPLoss.from_cache(cache))
    assert "normalize=False, reach=None, ceiling=None" in repr(PNPLoss.from_cache(cache, reach=None))
    assert "normalize=True, reach=3" in repr(PNPLoss.from_cache(cache).undamped())
