"""MetricField: exact on its points, positive definite between them, better than the nearest neighbour."""

import math

import pytest
import torch

from pnp.losses import PNPLoss
from pnp.metric.field import METHODS, MetricField, field_errors
from pnp.metric.riemannian import RiemannianMetric

SMOOTH = [method for method in METHODS if method != "nearest"]


def _jacobian(u):
    """Jacobian of a smooth map from the square to six features, with sharp and flat directions."""

    def features(u):
        a, b = u
        return torch.stack([10 * a, (a + b).sin(), a * b, b.exp(), 0.1 * b, (2 * a).cos()])

    return torch.func.vmap(torch.func.jacfwd(features))(u)


def _points(n, seed=0):
    return 2 * torch.rand(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1


def _metric(u):
    return RiemannianMetric.from_jacobian(_jacobian(u))


@pytest.mark.parametrize("method", METHODS)
def test_exact_on_the_points(method):
    u = _points(60)
    torch.testing.assert_close(MetricField(_metric(u), u, method=method)(u).matrix, _metric(u).matrix)


@pytest.mark.parametrize("method", SMOOTH)
def test_continuous_as_neighbours_come_and_go(method):
    u = _points(60)
    field = MetricField(_metric(u), u, method=method)
    line = torch.stack([torch.linspace(-1, 1, 4001, dtype=torch.float64)] * 2, dim=-1) * torch.tensor(
        [1.0, 0.3]
    )
    logarithms = field(line).matrix.log()
    steps = logarithms.diff(dim=0).abs().amax((1, 2))
    finer = field(line[:-1] + line.diff(dim=0) / 2).matrix.log() - logarithms[:-1]
    # Half the step, about half the change: a jump would not shrink.
    assert finer.abs().amax((1, 2)).max() < 0.75 * steps.max()


def test_a_constant_metric_is_constant():
    u = _points(30)
    metric = RiemannianMetric(_metric(u[:1]).factor.expand(30, 2, 2))
    for method in METHODS:
        estimate = MetricField(metric, u, method=method)(_points(50, seed=1)).matrix
        torch.testing.assert_close(estimate, metric.matrix[:1].expand(50, 2, 2))


def test_splines_reproduce_a_metric_whose_logarithm_is_linear():
    u, held_out = _points(30), 0.6 * _points(50, seed=1)
    rotation = torch.linalg.qr(torch.randn(2, 2, dtype=torch.float64)).Q

    def metric(u):
        exponents = torch.stack([3 * u[:, 0] - u[:, 1], 1 + u[:, 1]], dim=-1)
        return RiemannianMetric.from_factor((exponents / 2).exp().unsqueeze(-1) * rotation)

    torch.testing.assert_close(MetricField(metric(u), u)(held_out).matrix, metric(held_out).matrix)


@pytest.mark.parametrize("method", METHODS)
def test_positive_definite_between_points_of_nearly_singular_metrics(method):
    u = _points(40)
    factor = torch.linalg.qr(torch.randn(40, 2, 2, dtype=torch.float64)).Q
    singular_values = torch.tensor([1e2, 1e-8], dtype=torch.float64)
    field = MetricField(RiemannianMetric.from_factor(singular_values[:, None] * factor.mT), u, method=method)
    eigenvalues = field(_points(200, seed=1)).eigenvalues
    assert (eigenvalues > 1e-16 / 1.01).all()
    assert (eigenvalues < 1e4 * 1.01).all()


def test_splines_are_better_than_shepard_and_shepard_than_the_nearest_point():
    u, held_out = _points(200), _points(200, seed=1)
    errors = {}
    for method in METHODS:
        errors[method] = field_errors(MetricField(_metric(u), u, method=method), _metric(held_out), held_out)
    for measure in ("frobenius", "form", "affine_invariant"):
        rbf, shepard, nearest = (getattr(errors[method], measure) for method in METHODS)
        assert rbf < shepard < nearest


def test_errors_vanish_for_the_true_metric():
    u = _points(20)
    errors = field_errors(MetricField(_metric(u), u, method="nearest"), _metric(u), u)
    assert (errors.frobenius, errors.form) == pytest.approx((0, 0), abs=1e-10)
    assert errors.affine_invariant == pytest.approx(0, abs=1e-10)
    assert (errors.n_points, errors.n_held_out) == (20, 20)


def test_affine_invariant_error_of_a_scaled_metric_is_the_logarithm_of_the_scale():
    u = _points(20)
    field = MetricField(_metric(u).scaled(math.e), u, method="nearest")
    assert field_errors(field, _metric(u), u).affine_invariant == pytest.approx(1.0)


def test_midpoint_form_is_symmetric_and_of_higher_order():
    def features(u):
        a, b = u.unbind(-1)
        return torch.stack([10 * a, (a + b).sin(), a * b, b.exp(), 0.1 * b, (2 * a).cos()], dim=-1)

    u, direction = 0.5 * _points(100, seed=2), _points(100, seed=3)
    errors = {}
    for h in (0.1, 0.05):
        u_hat = u + h * direction
        true = torch.linalg.vector_norm(features(u_hat) - features(u), dim=-1)
        for name, at in (("here", u), ("midpoint", (u + u_hat) / 2)):
            errors[name, h] = (_metric(at).norm(u_hat - u) / true - 1).abs().mean()
    assert errors["here", 0.1] / errors["here", 0.05] == pytest.approx(2, rel=0.2)
    assert errors["midpoint", 0.1] / errors["midpoint", 0.05] == pytest.approx(4, rel=0.2)
    field = MetricField(_metric(_points(200)), _points(200))
    torch.testing.assert_close(field.midpoint(u, u_hat).matrix, field.midpoint(u_hat, u).matrix)


def test_serves_pnp_loss_where_the_cache_has_no_sound():
    u, held_out = _points(200), _points(8, seed=1)
    field = MetricField(_metric(u), u)
    u_hat = _points(8, seed=2).requires_grad_()
    loss = PNPLoss()(u_hat, held_out, metric=field.midpoint(u_hat, held_out))
    loss.backward()
    assert torch.isfinite(u_hat.grad).all()
    exact = PNPLoss()(u_hat, held_out, metric=_metric((u_hat.detach() + held_out) / 2))
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), rel=0.05)


def test_points_without_a_metric_are_left_out():
    u = _points(30)
    factor = _metric(u).factor.clone()
    factor[::3] = math.nan
    kept = torch.arange(30) % 3 != 0
    for method in METHODS:
        estimate = MetricField(RiemannianMetric(factor), u, method=method)(_points(10, seed=1))
        expected = MetricField(_metric(u[kept]), u[kept], method=method)(_points(10, seed=1))
        torch.testing.assert_close(estimate.matrix, expected.matrix)


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9])
def test_close_points_with_different_metrics_are_interpolated_or_refused(distance):
    u = _points(60)
    u[1] = u[0] + torch.tensor([distance, 0.0])
    factor = _metric(u).factor.clone()
    factor[1] *= 3
    metric = RiemannianMetric.from_factor(factor)
    for method in ("shepard", "nearest"):
        torch.testing.assert_close(MetricField(metric, u, method=method)(u).matrix, metric.matrix)
    if distance < 1e-5:
        with pytest.raises(ValueError, match=rf"as close as rows 0 and 1 .*, {distance:g} apart"):
            MetricField(metric, u)
    else:
        torch.testing.assert_close(MetricField(metric, u)(u).matrix, metric.matrix, rtol=1e-3, atol=0)


def test_close_points_of_a_smooth_metric_are_interpolated():
    u = _points(60)
    u[1] = u[0] + torch.tensor([1e-9, 0.0])
    torch.testing.assert_close(MetricField(_metric(u), u)(u).matrix, _metric(u).matrix, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_in_a_plane_do_not_say_what_is_beside_it(dtype):
    u = _points(40).to(dtype)
    u[:, 1] = 0.3 - 0.7 * u[:, 0]
    metric = _metric(u.double())
    with pytest.raises(ValueError, match=r"not all in one plane; .* Use 'shepard'"):
        MetricField(metric, u)
    for method in ("shepard", "nearest"):
        torch.testing.assert_close(MetricField(metric, u, method=method)(u).matrix, metric.matrix)


def test_bad_input_is_named():
    u = _points(20)
    metric = _metric(u)
    field = MetricField(metric, u)
    with pytest.raises(ValueError, match=r"rbf, shepard, nearest; got 'cubic'"):
        MetricField(metric, u, method="cubic")
    with pytest.raises(ValueError, match=r"got \(19, 2\) and metrics of shape \(20, 2, 2\)"):
        MetricField(metric, u[:19])
    with pytest.raises(ValueError, match=r"none of 20 has"):
        MetricField(RiemannianMetric(torch.full((20, 2, 2), math.nan)), u)
    with pytest.raises(ValueError, match="more than P = 2 and at most 8192 points; got 2"):
        MetricField(metric[:2], u[:2])
    with pytest.raises(ValueError, match="at least 2 points"):
        MetricField(metric[:1], u[:1], method="shepard")
    for method in METHODS:
        twice = u.clone()
        twice[7] = twice[3]
        with pytest.raises(ValueError, match=r"distinct points; rows 3 and 7 of .* coincide"):
            MetricField(metric, twice, method=method)
        with pytest.raises(ValueError, match="distinct points"):
            MetricField(metric, u[:1].expand(20, 2), method=method)
    with pytest.raises(ValueError, match="must be finite"):
        MetricField(metric, u.where(u != u[3], math.nan))
    with pytest.raises(ValueError, match="zero has no logarithm"):
        MetricField(RiemannianMetric.from_factor(torch.zeros(20, 2, 2)), u)
    with pytest.raises(ValueError, match=r"shape \(B, 2\); got \(5, 3\)"):
        field(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="must be finite"):
        field(torch.full((1, 2), math.nan))
