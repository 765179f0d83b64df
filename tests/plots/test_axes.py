"""Axes and their labels."""

import pytest
from matplotlib.figure import Figure

from pnp.plots.axes import figure_of, literal, two_parameters


def test_a_name_is_shown_as_it_is() -> None:
    assert literal("$x_1$") == r"\$x_1\$"
    assert "\n" not in literal("two\nlines")


def test_the_figure_of_nested_axes_is_the_outermost() -> None:
    figure = Figure()
    assert figure_of(figure.subfigures(1, 2)[0].add_subplot()) is figure
    stray = figure.add_subplot()
    stray.remove()
    with pytest.raises(ValueError, match="the axes belong to no figure"):
        figure_of(stray)


def test_two_parameters_are_found_by_name_or_position(space) -> None:
    assert two_parameters(space, ("gamma", 0)) == (2, 0)
