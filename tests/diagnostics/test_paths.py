"""Geodesics of metrics whose answers are known."""

import math

import pytest
import torch
from curved import half_plane
from torch import Tensor

from pnp import RiemannianMetric, diagnostics

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
