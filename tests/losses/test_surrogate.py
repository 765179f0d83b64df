"""Surrogate loss: half the squared distance, at the scale of the metric."""

import pytest
import torch
from curved import points_on
from task import MemoryCache

from pnp.losses import PNPLoss, SurrogateLoss
from pnp.metric.reach import ceiling_of_reach
from pnp.metric.riemannian import RiemannianMetric
from pnp.metric.surrogate import DistanceSurrogate


def test_the_loss_is_half_the_squared_distance_with_gradients_on_points_of_the_cache(generator):
    u, S, J = points_on(generator)
    loss = SurrogateLoss(DistanceSurrogate(u, S, J, rank=5, dtype=torch.float64), reduction="none")
    assert torch.allclose(loss(u[:9], u[9:18]), loss.surrogate.distance(u[:9], u[9:18]).square() / 2)
    u_hat = u[:9].clone().requires_grad_()
    loss(u_hat, u[:9]).sum().backward()
    assert u_hat.grad.abs().max() == 0
    metric = RiemannianMetric.from_jacobian(J)
    near = u[:9] + 1e-5
    quadratic = PNPLoss(metric, reduction="none")(near, u[:9], torch.arange(9))
    assert torch.allclose(loss(near, u[:9]), quadratic, rtol=1e-2)


def test_from_cache_takes_training_sounds_and_the_scale_of_the_metric():
    cache = MemoryCache()
    loss = SurrogateLoss.from_cache(cache, normalize=True, reach=None)
    rows = cache.rows("train")
    assert len(loss.surrogate.u) == len(rows)
    assert loss.scale == pytest.approx(2 / float(cache.metrics()[rows].mean().trace))


def test_with_a_reach_the_scale_is_that_of_saturated_metrics():
    cache = MemoryCache()
    scale = SurrogateLoss.from_cache(cache, normalize=True, reach=0.3).scale
    mean = cache.metrics()[cache.rows("train")].saturated(ceiling_of_reach(cache, 0.3)).mean()
    assert scale == pytest.approx(2 / float(mean.trace))
