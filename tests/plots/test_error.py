"""Figure of the error of the quadratic form."""

import pytest
import torch

from pnp import plots
from pnp.diagnostics import LinearizationError


def error_of(relative: torch.Tensor) -> LinearizationError:
    """Error whose predicted distances are off by some shares of the actual ones."""
    actual = torch.ones_like(relative)
    return LinearizationError(torch.tensor([0.1, 1.0], dtype=torch.float64), actual - relative, actual)


def test_the_median_and_the_tolerance_are_drawn() -> None:
    relative = torch.tensor([0.1, 0.4], dtype=torch.float64)[None, :, None].expand(3, 2, 4)
    (ax,) = plots.linearization(error_of(relative), tolerance=0.25).axes
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert lines["median"] == pytest.approx([0.1, 0.4])
    assert lines["25 %"] == [0.25, 0.25]
    assert ax.get_xscale() == "log"


def test_sounds_without_a_metric_are_left_out_and_not_all_may_be() -> None:
    relative = torch.full((2, 2, 4), 0.5, dtype=torch.float64)
    relative[0] = torch.nan
    (ax,) = plots.linearization(error_of(relative)).axes
    assert len(ax.lines) == 3  # a sound, the median, the tolerance
    with pytest.raises(ValueError, match="no sound has a metric, out of 1"):
        plots.linearization(error_of(relative[:1]))
