"""Surrogate distances: exact where they must be, and better than the quadratic form far away."""

import pytest
import torch
from curved import N, P, curve, points_on
from task import MemoryCache

from pnp.metric.reach import ceiling_of_reach
from pnp.metric.riemannian import RiemannianMetric
from pnp.metric.surrogate import DistanceSurrogate


@pytest.fixture
def points(generator):
    return points_on(generator)


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
    true = (curve(a) - curve(b)).norm(dim=-1)
    jacobian = torch.func.vmap(torch.func.jacfwd(curve))(b)
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


def test_with_a_reach_the_slopes_at_points_of_the_cache_are_those_of_saturated_metrics():
    cache = MemoryCache()
    rows = cache.rows("train")[:20]
    saturated = cache.metrics()[rows].saturated(ceiling_of_reach(cache, 0.3))
    assert (saturated.trace < 0.9 * cache.metrics()[rows].trace).any()
    surrogate = DistanceSurrogate.from_cache(cache, reach=0.3)
    slopes = RiemannianMetric.from_jacobian(surrogate.jacobian[:20].double())
    torch.testing.assert_close(
        slopes.matrix, saturated.matrix, rtol=1e-2, atol=1e-3 * float(saturated.trace.max())
    )


class _Interfering(MemoryCache):
    """Sounds whose features ripple steeply, a little, on top of what they follow."""

    def __init__(self):
        super().__init__(size=400)

        def features(u):
            return torch.cat([curve(u), 0.2 * (100 * u).sin()], dim=-1)

        self.function = torch.func.vmap(features)
        self._features = self.function(self.u)
        self._jacobian = torch.func.vmap(torch.func.jacfwd(features))(self.u)
        self._metrics = RiemannianMetric.from_jacobian(self._jacobian)


def test_a_reach_mends_distances_where_slopes_are_steep_and_soon_over(generator):
    cache = _Interfering()
    a, b = 2 * torch.rand(2, 300, P, generator=generator, dtype=torch.float64) - 1
    true = (cache.function(a) - cache.function(b)).norm(dim=-1)

    def error(reach):
        distance = DistanceSurrogate.from_cache(cache, reach=reach).distance(a, b)
        return float((distance / true - 1).abs().median())

    assert error(1.0) < 0.5 * error(None)


def test_few_of_many_directions_are_found_by_random_projections_as_exactly(generator):
    n_features, decay = 800, 2.0 ** -torch.arange(40, dtype=torch.float64)
    mixing, _ = torch.linalg.qr(torch.randn(n_features, 40, generator=generator, dtype=torch.float64))
    u = 2 * torch.rand(N, P, generator=generator, dtype=torch.float64) - 1
    features = torch.randn(N, 40, generator=generator, dtype=torch.float64) * decay @ mixing.T
    jacobian = torch.zeros(N, n_features, P, dtype=torch.float64)
    surrogate = DistanceSurrogate(u, features, jacobian, rank=10, dtype=torch.float64)
    again = DistanceSurrogate(u, features, jacobian, rank=10, dtype=torch.float64)
    assert torch.equal(surrogate.features, again.features)
    best = torch.linalg.svdvals(features - features.mean(0))[:10]
    torch.testing.assert_close(torch.linalg.svdvals(surrogate.features), best, rtol=1e-4, atol=1e-6)
    assert DistanceSurrogate(u, features, jacobian).rank < 12


def test_bad_input_is_named(points):
    with pytest.raises(ValueError, match=r"reach must be a finite number above 0, got -1\.0"):
        DistanceSurrogate.from_cache(MemoryCache(), reach=-1.0)
    u, S, J = points
    for arguments, options, message in [
        ((u, S[1:], J), {}, "Points and features must have shapes"),
        ((u, S, J.mT), {}, "Jacobians must have shape"),
        ((u, S, J), {"neighbours": N}, "fewer than the 200 points, got 200"),
        ((u, S, J), {"rank": 6}, "rank must be a whole number from 1 to 5, got 6"),
    ]:
        with pytest.raises(ValueError, match=message):
            DistanceSurrogate(*arguments, **options)
    with pytest.raises(ValueError, match=r"must have shape \(B, 2\)"):
        _surrogate(points)(torch.zeros(3, 3))


def test_values_that_are_not_numbers_are_named(points):
    for place, name in enumerate(("Points", "Features", "Jacobians")):
        bad = [tensor.clone() for tensor in points]
        bad[place][3] = float("nan")
        with pytest.raises(ValueError, match=f"{name} must be finite; found NaN or infinite values in row 3"):
            DistanceSurrogate(*bad)


def test_with_many_parameters_and_few_sounds_the_default_blends_all_there_are(generator):
    u = 2 * torch.rand(48, 78, generator=generator, dtype=torch.float64) - 1
    mixing = torch.randn(30, 78, generator=generator, dtype=torch.float64)
    surrogate = DistanceSurrogate(u, u @ mixing.T, mixing.expand(48, -1, -1))
    assert surrogate.neighbours == 47
    distance = surrogate.distance(u[:9], u[9:18]).double()
    torch.testing.assert_close(distance, ((u[:9] - u[9:18]) @ mixing.T).norm(dim=-1), rtol=1e-2, atol=0)
