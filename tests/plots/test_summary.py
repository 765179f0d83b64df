"""Overview of a metric."""

import math

import pytest
import torch

from pnp import Parameter, ParameterSpace, RiemannianMetric, plots


def test_one_parameter_has_an_overview_without_the_maps(metric_of) -> None:
    space = ParameterSpace([Parameter("f_c", 512, 1024)])
    u = space.sample(4)
    figure = plots.overview(metric_of(u), space, u)
    figure.draw_without_rendering()
    assert "Condition number of M" not in [ax.get_title() for ax in figure.axes]


def test_twelve_parameters_fit(metric_of) -> None:
    space = ParameterSpace([Parameter(f"p{i}", 0, 1) for i in range(12)])
    u = space.sample(3, method="uniform")
    plots.overview(metric_of(u), space, u).draw_without_rendering()


def test_an_overview_needs_a_sound_with_a_metric(space) -> None:
    u = space.sample(2)
    with pytest.raises(ValueError, match="no sound has a metric"):
        plots.overview(RiemannianMetric.from_factor(torch.full((2, 3, 3), math.nan)), space, u)
