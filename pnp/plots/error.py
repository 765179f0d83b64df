"""Figure of the error of the quadratic form."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pnp._text import percent
from pnp.diagnostics import LinearizationError
from pnp.plots.axes import PALETTE, figure_of, new_axes


def linearization(error: LinearizationError, tolerance: float = 0.2, ax: Axes | None = None) -> Figure:
    """Relative error of the distances that the metric predicts, against the length of the step.

    Args:
        error: Result of `diagnostics.linearization_error`.
        tolerance: Error at which a line is drawn.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The figure: the median over sounds and directions, the band between their quartiles, and a faint line
        for the median of each sound.

    Raises:
        ValueError: If no sound has a metric.
    """
    relative = error.relative
    relative = relative[~relative.isnan().flatten(1).any(dim=-1)]
    if not len(relative):
        raise ValueError(f"no sound has a metric, out of {len(error.relative)}; expected at least one")
    ax = ax or new_axes()
    radii = error.radii.numpy(force=True)
    pooled = relative.transpose(0, 1).flatten(1)
    low, median, high = (pooled.quantile(q, dim=-1).numpy(force=True) for q in (0.25, 0.5, 0.75))
    for sound in relative.median(dim=-1).values.numpy(force=True):
        ax.plot(radii, sound, color="0.5", linewidth=0.6, alpha=0.5)
    ax.fill_between(radii, low, high, color=PALETTE[4], alpha=0.35, linewidth=0, label="quartiles")
    ax.plot(radii, median, "o-", color=PALETTE[0], label="median")
    ax.axhline(
        tolerance, color=PALETTE[5], linestyle="--", linewidth=1, label=percent(tolerance, significant=3)
    )
    ax.set_xscale("log")
    ax.set_ylim(0, 1)
    ax.set_xlabel("length of the step in the cube, whose side is 2")
    ax.set_ylabel("relative error of the distance")
    ax.set_title("Linearization error")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, loc="upper left")
    return figure_of(ax)
