"""Two values for each parameter."""

import numpy as np
import pytest

from pnp import plots


def test_values_are_drawn_where_they_are_and_never_outside() -> None:
    pairs = [(-3.0, -40.0), (float("-inf"), 0.0)]
    figure = plots.paired_values(["cutoff", "$x"], pairs, ("A", "B"), "level in dB", -60.0, 0.0)
    (ax,) = figure.axes
    first, second = (np.asarray(marks.get_offsets())[:, 0].tolist() for marks in ax.collections[1:])
    assert (first, second) == ([-3.0, -60.0], [-40.0, 0.0])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cutoff", r"\$x"]
    top, bottom = ax.transData.transform([(0, 0), (0, 1)])[:, 1]
    assert top > bottom, "the first parameter stands at the top"


def test_one_pair_for_each_parameter() -> None:
    with pytest.raises(ValueError, match="one pair of values for each parameter, got 2 and 1"):
        plots.paired_values(["a", "b"], [(0.0, 1.0)], ("A", "B"), "", 0.0, 1.0)
    with pytest.raises(ValueError, match="got 0 and 0"):
        plots.paired_values([], [], ("A", "B"), "", 0.0, 1.0)
