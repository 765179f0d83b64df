"""Heat maps of a metric tensor, and of how alike parameters sound."""

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pnp import plots


def written(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_entries_are_written_into_their_cells() -> None:
    matrix = torch.tensor([[4.0, -0.02], [-0.02, 0.0]], dtype=torch.float64)
    assert written(plots.metric_heatmap(matrix, ["a", "b"])) == ["4.0e+00", "-2.0e-02", "-2.0e-02", "0"]
    cosines = torch.tensor([[1.0, -0.001], [-0.001, 1.0]])
    assert written(plots.metric_heatmap(cosines, ["a", "b"], normalized=True)) == [
        "1.00",
        "0.00",
        "0.00",
        "1.00",
    ]


def test_numbers_are_light_on_dark_cells_and_dark_on_light_ones() -> None:
    figure = plots.metric_heatmap(torch.eye(2), ["a", "b"], normalized=True)
    assert [text.get_color() for text in figure.axes[0].texts] == ["#fefefe", "#111111", "#111111", "#fefefe"]


def test_a_name_for_each_parameter(space, metric_of) -> None:
    matrix = metric_of(space.sample(1))[0].matrix
    with pytest.raises(ValueError, match="expected 3 names, one per parameter, got 2"):
        plots.metric_heatmap(matrix, ["a", "b"])
    with pytest.raises(ValueError, match="expected 3 names, one per parameter, got 4"):
        plots.confusion_map(torch.eye(3), ["a", "b", "c", "d"])


def test_parameters_that_sound_alike_stand_together_in_a_frame() -> None:
    cosines = torch.eye(4)
    cosines[0, 3] = cosines[3, 0] = 0.9
    ax = plots.confusion_map(cosines, ["a", "b", "c", "d"]).axes[0]
    names = [label.get_text() for label in ax.get_xticklabels()]
    (frame,) = (patch for patch in ax.patches if isinstance(patch, Rectangle))
    first, size = round(frame.get_x() + 0.5), round(frame.get_width())
    assert set(names[first : first + size]) == {"a", "d"}
    assert frame.get_x() == frame.get_y()


def test_many_parameters_among_other_panels_are_numbered() -> None:
    ax = Figure().add_subplot()
    plots.confusion_map(torch.eye(30), [f"p{i}" for i in range(30)], ax=ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "11", "21"]
    assert not ax.texts
