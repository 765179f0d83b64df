"""Maps over two parameters."""

import math

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from pnp import Parameter, ParameterSpace, RiemannianMetric, plots


def test_a_function_draws_into_the_axes_it_is_given(space, metric_of) -> None:
    u = space.sample(8)
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plots.condition_map(metric_of(u), space, u, ax=left) is figure
    assert not right.has_data()


def test_ellipses_have_the_size_and_angle_of_the_metric(space) -> None:
    c, s = math.cos(0.4), math.sin(0.4)
    # Four times more sensitive along (c, s) than across; the third parameter must not matter.
    rows = torch.tensor([[4 * c, 4 * s, 7.0], [-s, c, 3.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    metric = RiemannianMetric.from_factor(rows[None])
    figure = plots.metric_ellipses(metric, space, torch.zeros(1, 3), ("f_c", "depth"), distance=0.2)
    (ellipse,) = (patch for patch in figure.axes[0].patches if isinstance(patch, Ellipse))
    assert (ellipse.width, ellipse.height) == pytest.approx((0.1, 0.4))
    assert math.radians(ellipse.angle) % math.pi == pytest.approx(0.4)
    assert ellipse.center == (0.0, 0.0)


def test_ticks_are_in_physical_units(space, metric_of) -> None:
    u = space.sample(4)
    ax = plots.condition_map(metric_of(u), space, u, ("f_c", "depth")).axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["512", "608.9", "724.1", "861.1", "1024"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "2.5", "5", "7.5", "10"]
    assert ax.get_xlabel() == "f_c (Hz), log scale"


def test_maps_need_two_parameters_and_a_place_for_each_metric(space, metric_of) -> None:
    u = space.sample(4)
    metric = metric_of(u)
    with pytest.raises(ValueError, match="two different parameters are needed, got 'depth' twice"):
        plots.metric_ellipses(metric, space, u, ("depth", 1))
    with pytest.raises(ValueError, match=r"shape \(4, 3\), .* got \(4, 2\)"):
        plots.condition_map(metric, space, u[:, :2])
    alone = ParameterSpace([Parameter("a", 0, 1)])
    with pytest.raises(ValueError, match="the space has only 'a'"):
        plots.condition_map(metric, alone, u[:, :1])
