"""Eigenvalues and eigenvectors of the metrics of many sounds."""

import pytest
import torch

from pnp import RiemannianMetric, plots


def test_eigenvalues_that_are_zero_are_counted_and_not_drawn() -> None:
    factor = torch.diag_embed(torch.tensor([[2.0, 1.0], [2.0, 0.0], [1.0, 0.0]], dtype=torch.float64))
    (ax,) = plots.eigenvalue_distributions(RiemannianMetric.from_factor(factor)).axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2\n2 zero"]
    assert [len(points.get_offsets()) for points in ax.collections] == [3, 1]


def test_many_eigenvalues_are_a_line_through_their_medians(metric_of) -> None:
    u = torch.rand(8, 16)
    metric = metric_of(u)  # twelve features: four eigenvalues of sixteen are zero
    (ax,) = plots.eigenvalue_distributions(metric).axes
    (line,) = ax.lines
    median = metric.eigenvalues.median(0).values
    assert len(line.get_xdata()) == len(median)
    assert ax.get_xlabel().startswith("eigenvalue, most audible first")
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "median"


def test_shares_of_each_eigenvector_add_up_to_one(space, metric_of) -> None:
    metric = metric_of(space.sample(6))
    (ax,) = plots.eigenvector_composition(metric, space.names).axes
    heights = torch.tensor([[bar.get_height() for bar in bars] for bars in ax.containers]).double()
    torch.testing.assert_close(heights.sum(0), torch.ones(3).double())


def test_small_shares_of_many_parameters_are_others(metric_of) -> None:
    metric = metric_of(torch.rand(6, 20))
    (ax,) = plots.eigenvector_composition(metric, [f"p{i}" for i in range(20)]).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "others"
    assert len(ax.containers[0]) == 8
    tops = torch.tensor([bar.get_y() + bar.get_height() for bar in ax.containers[-1]]).double()
    torch.testing.assert_close(tops, torch.ones(8).double())


def test_a_name_for_each_parameter(space, metric_of) -> None:
    with pytest.raises(ValueError, match="expected 3 names, one per parameter, got 2"):
        plots.eigenvector_composition(metric_of(space.sample(4)), ["a", "b"])
