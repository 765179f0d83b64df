"""Figures: what they show is what the metric says, and nothing global is touched."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from pnp import Parameter, ParameterSpace, RiemannianMetric, plots


@pytest.fixture
def space() -> ParameterSpace:
    return ParameterSpace(
        [
            Parameter("f_c", 512, 1024, scale="log", unit="Hz"),
            Parameter("depth", 0, 10),
            Parameter("gamma", 0.5, 4, scale="log", unit="oct/s"),
        ]
    )


def metric_of(u: torch.Tensor, generator: torch.Generator) -> RiemannianMetric:
    jacobian = torch.randn(len(u), 12, u.shape[1], generator=generator, dtype=torch.float64)
    return RiemannianMetric.from_jacobian(jacobian)


def draw_all(metric: RiemannianMetric, space: ParameterSpace, u: torch.Tensor) -> list[Figure]:
    return [
        plots.eigenvalue_distributions(metric),
        plots.metric_ellipses(metric, space, u),
        plots.metric_heatmap(metric[0].matrix, space.names),
        plots.metric_heatmap(torch.eye(len(space)), space.names, normalized=True),
        plots.eigenvector_composition(metric, space.names),
        plots.condition_map(metric, space, u),
        plots.curves({"loss": [3.0, 2.0, 1.0]}, "epoch", "loss"),
        plots.overview(metric, space, u),
    ]


def test_every_figure_can_be_saved_and_its_axes_are_labelled(space, generator, tmp_path: Path) -> None:
    u = space.sample(16)
    for i, figure in enumerate(draw_all(metric_of(u, generator), space, u)):
        figure.savefig(tmp_path / f"{i}.png")
        assert (tmp_path / f"{i}.png").stat().st_size > 2000
        for ax in figure.axes:
            assert ax.get_title() or ax.get_xlabel() or ax.get_ylabel()


def test_a_function_draws_into_the_axes_it_is_given(space, generator) -> None:
    u = space.sample(8)
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plots.condition_map(metric_of(u, generator), space, u, ax=left) is figure
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


def test_ticks_are_in_physical_units(space, generator) -> None:
    u = space.sample(4)
    ax = plots.condition_map(metric_of(u, generator), space, u, ("f_c", "depth")).axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["512", "608.9", "724.1", "861.1", "1024"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "2.5", "5", "7.5", "10"]
    assert ax.get_xlabel() == "f_c (Hz), log scale"


def test_degenerate_metrics_are_drawn(space) -> None:
    factor = torch.diag_embed(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1e-9]]))
    factor[1] = float("nan")
    u = torch.rand(3, 3) * 2 - 1
    for figure in draw_all(RiemannianMetric.from_factor(factor), space, u):
        figure.draw_without_rendering()


def test_all_silent_metrics_are_drawn(space) -> None:
    u = torch.rand(3, 3) * 2 - 1
    for figure in draw_all(RiemannianMetric.from_factor(torch.zeros(3, 3, 3)), space, u):
        figure.draw_without_rendering()


def test_one_parameter_has_an_overview_without_the_maps(generator) -> None:
    space = ParameterSpace([Parameter("f_c", 512, 1024)])
    u = space.sample(4)
    figure = plots.overview(metric_of(u, generator), space, u)
    figure.draw_without_rendering()
    assert "Condition number of M" not in [ax.get_title() for ax in figure.axes]


def test_twelve_parameters_fit(generator) -> None:
    space = ParameterSpace([Parameter(f"p{i}", 0, 1) for i in range(12)])
    u = space.sample(3, method="uniform")
    plots.overview(metric_of(u, generator), space, u).draw_without_rendering()


def test_what_cannot_be_drawn_is_refused(space, generator) -> None:
    u = space.sample(4)
    metric = metric_of(u, generator)
    with pytest.raises(ValueError, match="two different parameters are needed, got 'depth' twice"):
        plots.metric_ellipses(metric, space, u, ("depth", 1))
    with pytest.raises(ValueError, match=r"shape \(4, 3\), .* got \(4, 2\)"):
        plots.condition_map(metric, space, u[:, :2])
    with pytest.raises(ValueError, match="expected 3 names, one per parameter, got 2"):
        plots.metric_heatmap(metric[0].matrix, ["a", "b"])
    with pytest.raises(ValueError, match="expected 3 names, one per parameter, got 2"):
        plots.eigenvector_composition(metric, ["a", "b"])
    alone = ParameterSpace([Parameter("a", 0, 1)])
    with pytest.raises(ValueError, match="the space has only 'a'"):
        plots.condition_map(metric, alone, u[:, :1])
    with pytest.raises(ValueError, match="no sound has a metric"):
        plots.overview(RiemannianMetric.from_factor(torch.full((2, 3, 3), math.nan)), space, u[:2])


def test_plotting_leaves_pyplot_alone() -> None:
    code = "import sys, pnp; pnp.plots; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
