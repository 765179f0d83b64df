"""Diagnostics that compare points: linearization, smoothness and geodesics, where the answers are known."""

import math

import pytest
import torch
from torch import Tensor, nn

from pnp import Parameter, ParameterSpace, RiemannianMetric, diagnostics, value_and_jacobian


class Curved(nn.Module):
    """Sounds that are a quadratic function of the parameters: x = A v + curvature |v|² b, b ⟂ A."""

    def __init__(self, curvature: float) -> None:
        super().__init__()
        self.space = ParameterSpace([Parameter("a", -1, 1), Parameter("b", -1, 1)])
        self.sample_rate, self.n_samples = 1.0, 3
        self.curvature = curvature

    def forward(self, theta: Tensor) -> Tensor:
        bend = self.curvature * theta.square().sum(-1, keepdim=True)
        return torch.cat([2 * theta, bend], dim=-1)


def metric_of(synth: nn.Module, u: Tensor) -> RiemannianMetric:
    return RiemannianMetric.from_jacobian(value_and_jacobian(synth, nn.Identity(), u)[1])


def half_plane(u: Tensor) -> RiemannianMetric:
    """Hyperbolic metric (dx² + dy²) / y² with y = u₂ + 2."""
    scale = 1 / (u[:, 1] + 2)
    return RiemannianMetric.from_factor(scale[:, None, None] * torch.eye(2, dtype=torch.float64))


# -- linearization -------------------------------------------------------------------------------------------


def test_a_linear_map_has_no_linearization_error() -> None:
    synth, u = Curved(0.0), torch.rand(4, 2, dtype=torch.float64) * 2 - 1
    result = diagnostics.linearization_error(synth, nn.Identity(), u, metric_of(synth, u))
    assert result.relative.max() < 1e-10
    assert result.trusted_radius().tolist() == [1.0] * 4


def test_linearization_error_is_that_of_the_curvature() -> None:
    synth, u = Curved(3.0), torch.zeros(1, 2, dtype=torch.float64)
    radii = (0.1, 0.4)
    result = diagnostics.linearization_error(
        synth, nn.Identity(), u, metric_of(synth, u), radii, directions=5
    )
    for k, r in enumerate(radii):
        predicted, actual = 2 * r, math.hypot(2 * r, 3 * r**2)
        torch.testing.assert_close(result.predicted[0, k], torch.full((5,), predicted, dtype=torch.float64))
        torch.testing.assert_close(result.actual[0, k], torch.full((5,), actual, dtype=torch.float64))
        assert result.relative[0, k, 0] == pytest.approx(1 - predicted / actual)
    assert result.trusted_radius(0.1).item() == 0.1
    assert result.trusted_radius(1e-6).item() == 0.0


def test_no_step_leaves_the_cube() -> None:
    class Strict(Curved):
        def forward(self, theta: Tensor) -> Tensor:
            assert theta.abs().max() <= 1
            return super().forward(theta)

    synth = Strict(1.0)
    u = torch.tensor([[1.0, -1.0], [0.3, 0.999], [0.0, 0.0]], dtype=torch.float64)
    diagnostics.linearization_error(synth, nn.Identity(), u, metric_of(synth, u), radii=[1.0], directions=40)


def test_a_sound_without_metric_has_no_linearization_error() -> None:
    synth, u = Curved(1.0), torch.zeros(2, 2, dtype=torch.float64)
    factor = metric_of(synth, u).factor.clone()
    factor[0] = math.nan
    result = diagnostics.linearization_error(synth, nn.Identity(), u, RiemannianMetric.from_factor(factor))
    assert result.relative.isnan().all(-1).all(-1).tolist() == [True, False]
    assert result.trusted_radius().isnan().tolist() == [True, False]


def test_linearization_error_of_nothing_is_nothing() -> None:
    synth, u = Curved(1.0), torch.zeros(0, 2, dtype=torch.float64)
    result = diagnostics.linearization_error(synth, nn.Identity(), u, metric_of(synth, torch.zeros(1, 2))[:0])
    assert result.relative.shape == (0, 7, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radii": [2.0]}, "above 0 and at most 1, got 2.0"),
        ({"radii": []}, "radii must be several numbers"),
        ({"directions": 0}, "directions must be a whole number"),
    ],
)
def test_impossible_steps_are_refused(options, message) -> None:
    synth, u = Curved(1.0), torch.zeros(1, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        diagnostics.linearization_error(synth, nn.Identity(), u, metric_of(synth, u), **options)
    with pytest.raises(ValueError, match=r"shape \(1, 2\), one row per metric, got \(2, 2\)"):
        diagnostics.linearization_error(synth, nn.Identity(), u.expand(2, 2), metric_of(synth, u))


# -- smoothness ----------------------------------------------------------------------------------------------


def grid(k: int) -> Tensor:
    axis = torch.linspace(-1, 1, k, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def test_a_constant_field_does_not_change() -> None:
    u = grid(5)
    result = diagnostics.smoothness(RiemannianMetric.from_factor(torch.eye(2).expand(25, 2, 2)), u)
    assert result.change.tolist() == [0.0] * 25
    assert result.strangers == 0
    torch.testing.assert_close(result.distance.min(), torch.tensor(0.5, dtype=torch.float64))


def test_a_scale_that_grows_exponentially_changes_by_the_same_share_everywhere() -> None:
    u = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    metric = RiemannianMetric.from_factor((2.0 * u).exp()[:, None])  # M = exp(4 u), neighbours 0.25 apart
    result = diagnostics.smoothness(metric, u, neighbours=1)
    torch.testing.assert_close(result.change, torch.full((9,), 1 - math.exp(-1), dtype=torch.float64))
    assert result.strangers > result.change[0]


def test_change_falls_with_the_distance_of_the_neighbours() -> None:
    coarse, fine = (diagnostics.smoothness(half_plane(grid(k)), grid(k)) for k in (5, 17))
    assert fine.change.mean() < 0.4 * coarse.change.mean()


def test_changes_are_those_of_neighbours_however_many_are_looked_at(generator) -> None:
    u = torch.rand(40, 2, generator=generator, dtype=torch.float64)
    everything = diagnostics.smoothness(half_plane(u), u)
    torch.testing.assert_close(diagnostics.smoothness(half_plane(u), u, most=7).change, everything.change[:7])


def test_sounds_without_a_metric_are_nobodys_neighbours() -> None:
    u = torch.tensor([[-1.0], [-0.9], [1.0], [0.0]], dtype=torch.float64)
    factor = torch.tensor([1.0, math.nan, 1.0, 1.0])[:, None, None]
    result = diagnostics.smoothness(RiemannianMetric.from_factor(factor), u, neighbours=1)
    torch.testing.assert_close(result.distance, torch.tensor([1, math.nan, 1, 1.0]).double(), equal_nan=True)


def test_one_sound_has_no_neighbours() -> None:
    result = diagnostics.smoothness(half_plane(torch.zeros(1, 2)), torch.zeros(1, 2))
    assert result.change.isnan().all()
    assert math.isnan(result.strangers)
    with pytest.raises(ValueError, match="neighbours must be a whole number of at least 1"):
        diagnostics.smoothness(half_plane(torch.zeros(1, 2)), torch.zeros(1, 2), neighbours=0)
    with pytest.raises(ValueError, match=r"got \(1, 3\)"):
        diagnostics.smoothness(half_plane(torch.zeros(1, 2)), torch.zeros(1, 3))


# -- geodesics -----------------------------------------------------------------------------------------------

START, END = (torch.tensor(p, dtype=torch.float64) for p in ([-0.9, -0.9], [0.9, -0.5]))
# Source: distance in the upper half plane, arcosh(1 + |z - w|² / (2 y_z y_w)).
HYPERBOLIC = math.acosh(1 + (1.8**2 + 0.4**2) / (2 * 1.1 * 1.5))


def test_a_geodesic_of_the_hyperbolic_plane_has_its_known_length() -> None:
    found = diagnostics.geodesic(half_plane, START, END, segments=32)
    assert found.length == pytest.approx(HYPERBOLIC, rel=1e-3)
    assert found.length < found.straight
    # A half circle about a point of the axis y = 0, which bulges towards large y.
    x, y = found.path[:, 0], found.path[:, 1] + 2
    centre = (1.5**2 + 0.9**2 - 1.1**2 - 0.9**2) / (2 * 1.8)
    radii = torch.hypot(x - centre, y)
    assert (radii.max() - radii.min()) / radii.mean() < 0.01


def test_a_geodesic_goes_at_constant_speed() -> None:
    path = diagnostics.geodesic(half_plane, START, END, segments=16).path
    speeds = half_plane((path[1:] + path[:-1]) / 2).norm(path.diff(dim=0))
    assert speeds.max() / speeds.min() < 1.01


def test_under_a_constant_metric_the_straight_line_is_shortest() -> None:
    factor = torch.tensor([[3.0, 1.0], [0.0, 0.5]], dtype=torch.float64)

    def field(u: Tensor) -> RiemannianMetric:
        return RiemannianMetric.from_factor(factor.expand(len(u), 2, 2))

    found = diagnostics.geodesic(field, START, END)
    assert found.length == pytest.approx(float((factor @ (END - START)).norm()))
    assert found.straight == found.length


def test_a_geodesic_stays_in_the_cube() -> None:
    def field(u: Tensor) -> RiemannianMetric:  # the further up the shorter, without end
        return RiemannianMetric.from_factor((-5 * u[:, 1]).exp()[:, None, None] * torch.eye(2))

    path = diagnostics.geodesic(field, START, torch.tensor([0.9, -0.9])).path
    assert path.abs().max() <= 1
    assert path[8, 1] > 0


def test_the_length_of_a_path_converges_to_that_of_the_curve() -> None:
    # Up the y axis, from 1 to 3: the logarithm of 3.
    lengths = []
    for k in (5, 9, 17):
        path = torch.zeros(k, 2, dtype=torch.float64)
        path[:, 1] = torch.linspace(-1, 1, k)
        lengths.append(float(diagnostics.path_length(half_plane, path)))
    errors = [abs(length - math.log(3)) for length in lengths]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_a_field_of_a_cache_serves(generator) -> None:
    from pnp.metric.field import MetricField

    u = torch.rand(80, 2, generator=generator, dtype=torch.float64) * 2 - 1
    found = diagnostics.geodesic(MetricField(half_plane(u), u), START, END)
    assert found.length == pytest.approx(HYPERBOLIC, rel=0.02)


def test_no_distance_to_oneself() -> None:
    found = diagnostics.geodesic(half_plane, START, START)
    assert (found.length, found.straight) == (0.0, 0.0)
    assert diagnostics.path_length(half_plane, START[None]) == 0


@pytest.mark.parametrize(
    ("start", "end", "segments", "message"),
    [
        (torch.zeros(2), torch.zeros(3), 4, r"same shape \(P,\), got \(2,\) and \(3,\)"),
        (torch.zeros(2), torch.tensor([0.0, 440.0]), 4, "unit cube"),
        (torch.zeros(2), torch.ones(2), 0, "segments must be a whole number of at least 1, got 0"),
    ],
)
def test_impossible_paths_are_refused(start, end, segments, message) -> None:
    with pytest.raises(ValueError, match=message):
        diagnostics.geodesic(half_plane, start, end, segments)
    with pytest.raises(ValueError, match=r"K of at least 1, got \(0, 2\)"):
        diagnostics.path_length(half_plane, torch.zeros(0, 2))
