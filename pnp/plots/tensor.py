"""One metric tensor as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from torch import Tensor

from pnp.plots.axes import figure_of, new_axes

# Decades below the largest entry that are told apart; what is smaller is nearly white. Of them, those with a tick.
_DECADES = 6
_TICKED = (0, 2, 4, 6)


def metric_heatmap(
    matrix: Float[Tensor, "P P"],
    names: Sequence[str],
    normalized: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """Heat map of one metric tensor.

    Args:
        matrix: M, or the normalized metric that `diagnostics.correlation` returns.
        names: The P parameters' names.
        normalized: Whether `matrix` holds cosines: the colours then run from −1 to 1 on a linear scale, in
            place of a signed log scale.
        ax: Where to draw; a new figure by default.

    Returns:
        The figure.

    Raises:
        ValueError: If the number of names is not P.
    """
    if len(names) != matrix.shape[0]:
        raise ValueError(f"expected {matrix.shape[0]} names, one per parameter, got {len(names)}")
    ax = ax or new_axes(square=True)
    values = matrix.numpy(force=True)
    largest = float(np.abs(values).max())
    if normalized:
        image = ax.imshow(values, cmap="PuOr_r", vmin=-1, vmax=1)
    elif largest > 0:
        # linscale is the length of the linear part in decades: a tick's distance from 0 to the first decade is
        # that between two decades.
        norm = SymLogNorm(10.0**-_DECADES * largest, linscale=1.0, vmin=-largest, vmax=largest)
        image = ax.imshow(values, cmap="PuOr_r", norm=norm)
    else:
        image = ax.imshow(values, cmap="PuOr_r")
    # Source: ITU-R BT.709, luma; light ink on dark cells.
    luma = np.asarray(image.to_rgba(values))[..., :3] @ (0.2126, 0.7152, 0.0722)
    for (row, column), value in np.ndenumerate(values):
        text = f"{round(value, 2) + 0.0:.2f}" if normalized else f"{value:.1e}" if value else "0"
        colour = "#fefefe" if luma[row, column] < 0.5 else "#111111"
        ax.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.set_title("Correlation of parameters" if normalized else "M")
    figure = figure_of(ax)
    if normalized:
        figure.colorbar(image, ax=ax, label="cosine", shrink=0.8, ticks=(-1, -0.5, 0, 0.5, 1))
    elif largest > 0:
        bar = figure.colorbar(image, ax=ax, label="squared distance per squared unit step", shrink=0.8)
        ticks = np.array(
            [*(-largest / 10.0**d for d in _TICKED), 0, *(largest / 10.0**d for d in _TICKED[::-1])]
        )
        bar.set_ticks(list(ticks), labels=[f"{tick:.0e}" if tick else "0" for tick in ticks], minor=False)
        bar.ax.minorticks_off()
    return figure
