"""Surrogate distances: exact where they must be, better than the quadratic form far away, and a loss."""

import pytest
import torch
from task import MemoryCache

from pnp.losses import PNPLoss, SurrogateLoss
from pnp.metric import RiemannianMetric
from pnp.surrogate import DistanceSurrogate

N, P = 200, 2


def _curve(u):
    """A curved surface in five dimensions."""
    x, y = u.unbind(-1)
    return torch.stack([x.sin(), (2 * y).cos(), x * y, x.square(), (x - y).exp()], dim=-1)


@pytest.fixture
def points(generator):
    u = 2 * torch.rand(N, P, generator=generator, dtype=torch.float64) - 1
    return u, _curve(u), torch.func.vmap(torch.func.jacfwd(_curve))(u)


def _surrogate(points, **options):
    return DistanceSurrogate(*points, **({"rank": 5, "dtype": torch.float64} | options))


def test_distances_between_points_of_the_cache_are_exact(points):
    u, S, _ = points
    distance = _surrogate(points).distance(u[:50], u[50:100])
    assert torch.allclose(distance, (S[:50] - S[50:100]).norm(dim=-1), rtol=1e-6)


def test_a_linear_map_is_reproduced_everywhere(generator):
    u = 2 * torch.rand(N, P, generator=generator, dtype=torch.float64) - 1
    A = torch.randn(7, P, generator=generator, dtype=torch.float64)
    surrogate = DistanceSurrogate(u, u @ A.T, A.expand(N, -1, -1), rank=7, dtype=torch.float64)
    a, b = torch.rand(2, 30, P, generator=generator, dtype=torch.float64)
    assert torch.allclose(surrogate.distance(a, b), ((a - b) @ A.T).norm(dim=-1))


def test_derivatives_at_points_of_the_cache_are_the_jacobians(points):
    u, _, J = points
    surrogate = _surrogate(points)
    derivative = torch.func.jacrev(lambda v: surrogate(v[None])[0])(u[3])
    assert torch.allclose(derivative.T @ derivative, J[3].T @ J[3], rtol=1e-5, atol=1e-8)


def test_far_away_it_is_closer_to_the_true_distance_than_the_quadratic_form(points, generator):
    a, b = 2 * torch.rand(2, 300, P, generator=generator, dtype=torch.float64) - 1
    true = (_curve(a) - _curve(b)).norm(dim=-1)
    jacobian = torch.func.vmap(torch.func.jacfwd(_curve))(b)
    quadratic = RiemannianMetric.from_jacobian(jacobian).norm(a - b)
    ours = (_surrogate(points).distance(a, b) / true - 1).abs()
    assert ours.median() < 0.1 * (quadratic / true - 1).abs().median()


def test_symmetric_and_zero_for_equal_parameters(points, generator):
    surrogate = _surrogate(points)
    a, b = 2 * torch.rand(2, 20, P, generator=generator, dtype=torch.float64) - 1
    assert torch.equal(surrogate.distance(a, b), surrogate.distance(b, a))
    assert surrogate.distance(a, a).abs().max() == 0


def test_compression_only_shortens_distances_and_hardly(points):
    u, S, _ = points
    low, high = (_surrogate(points, rank=rank).distance(u[:99], u[99:198]) for rank in (2, 5))
    assert (low <= high + 1e-12).all()
    automatic = DistanceSurrogate(u, torch.cat([S, 0 * S], 1), torch.cat([points[2], 0 * points[2]], 1))
    assert automatic.rank <= 5
    assert torch.allclose(automatic.distance(u[:99], u[99:198]).double(), high, rtol=0.05)


def test_the_loss_is_half_the_squared_distance_with_gradients_on_points_of_the_cache(points):
    u, _, J = points
    loss = SurrogateLoss(_surrogate(points), reduction="none")
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
    loss = SurrogateLoss.from_cache(cache, normalize=True)
    rows = cache.rows("train")
    assert len(loss.surrogate.u) == len(rows)
    assert loss.scale == pytest.approx(2 / float(cache.metrics()[rows].mean().trace))


def test_bad_input_is_named(points):
    u, S, J = points
    for arguments, options, message in [
        ((u, S[1:], J), {}, "Points and features must have shapes"),
        ((u, S, J.mT), {}, "Jacobians must have shape"),
        ((u, S, J), {"neighbours": N}, "fewer than the 200 points; got 200"),
        ((u, S, J), {"rank": 6}, "from 1 to the number of features, 5; got 6"),
    ]:
        with pytest.raises(ValueError, match=message):
            DistanceSurrogate(*arguments, **options)
    with pytest.raises(ValueError, match=r"must have shape \(B, 2\)"):
        _surrogate(points)(torch.zeros(3, 3))
