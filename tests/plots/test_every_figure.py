"""Figures: all can be drawn and saved, whatever the metric, and nothing global is touched."""

import subprocess
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

from pnp import ParameterSpace, RiemannianMetric, plots


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


def test_every_figure_can_be_saved_and_its_axes_are_labelled(space, metric_of, tmp_path: Path) -> None:
    u = space.sample(16)
    for i, figure in enumerate(draw_all(metric_of(u), space, u)):
        figure.savefig(tmp_path / f"{i}.png")
        assert (tmp_path / f"{i}.png").stat().st_size > 2000
        for ax in figure.axes:
            assert ax.get_title() or ax.get_xlabel() or ax.get_ylabel()


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


def test_plotting_leaves_pyplot_alone() -> None:
    code = "import sys, pnp; pnp.plots; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
