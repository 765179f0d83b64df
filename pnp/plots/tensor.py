"""Heat maps of a metric tensor, and of how alike parameters sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from torch import Tensor

from pnp import diagnostics
from pnp.plots.axes import FEW_NAMES, PALETTE, figure_of, map_axes, name_rows_and_columns, new_axes

# Decades below the largest entry that are told apart; what is smaller is nearly white. Of them, those with a tick.
_DECADES = 6
_TICKED = (0, 2, 4, 6)


def metric_heatmap(
    matrix: Float[Tensor, "P P"],
    names: Sequence[str],
    normalized: bool = False,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Heat map of one metric tensor.

    Args:
        matrix: M, or the normalized metric that `diagnostics.correlation` returns.
        names: The P parameters' names.
        normalized: True where `matrix` holds cosines: the colours then run from −1 to 1 on a linear scale, in
            place of a signed log scale.
        title: Title, such as the statistic that the matrix is.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The figure.

    Raises:
        ValueError: If the number of names is not P.
    """
    crowded = ax is not None
    ax = ax or _axes_of(matrix, names)
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
    if len(names) <= FEW_NAMES:
        write_numbers(ax, image, values, (lambda v: f"{round(v, 2) + 0.0:.2f}") if normalized else _entry)
    name_rows_and_columns(ax, names, crowded)
    ax.set_title(title or ("Cosine between parameters" if normalized else "M"))
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


def confusion_map(cosines: Float[Tensor, "P P"], names: Sequence[str], ax: Axes | None = None) -> Figure:
    """Map of how alike every two parameters sound, in an order that brings together those that do.

    Groups of which every two parameters have a |cosine| of at least 0.7 are framed.

    Args:
        cosines: |cosine| between every two parameters, such as the `cosines` of `diagnostics.survey`.
        names: The P parameters' names.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The figure.

    Raises:
        ValueError: If the number of names is not P.
    """
    crowded = ax is not None
    ax = ax or _axes_of(cosines, names)
    grouped = diagnostics.clusters(cosines)
    order = list(grouped.order)
    values = cosines[order][:, order].numpy(force=True)
    image = ax.imshow(values, cmap="Oranges", vmin=0, vmax=1)
    if len(names) <= FEW_NAMES:
        write_numbers(ax, image, values, lambda v: f"{v:.2f}")
    for group in grouped.groups:
        first = min(order.index(p) for p in group) - 0.5
        frame = Rectangle(
            (first, first), len(group), len(group), fill=False, edgecolor=PALETTE[0], linewidth=2
        )
        ax.add_patch(frame)
    name_rows_and_columns(ax, [names[p] for p in order], crowded)
    ax.set_title("Median |cosine|, parameters clustered")
    figure_of(ax).colorbar(image, ax=ax, label="median |cosine| over the sounds", shrink=0.8)
    return figure_of(ax)


def write_numbers(ax: Axes, image: AxesImage, values: np.ndarray, words: Callable[[float], str]) -> None:
    """Write the entries of a map into its cells."""
    # Source: ITU-R BT.709, luma; light ink on dark cells.
    luma = np.asarray(image.to_rgba(values))[..., :3] @ (0.2126, 0.7152, 0.0722)
    small = "small" if len(values) <= 8 else "x-small"
    for (row, column), value in np.ndenumerate(values):
        colour = "#fefefe" if luma[row, column] < 0.5 else "#111111"
        ax.text(column, row, words(value), ha="center", va="center", color=colour, fontsize=small)


def _axes_of(matrix: Tensor, names: Sequence[str]) -> Axes:
    """Return new axes for a map of P parameters by P, or refuse names that do not fit."""
    if len(names) != matrix.shape[0]:
        raise ValueError(f"expected {matrix.shape[0]} names, one per parameter, got {len(names)}")
    return new_axes(square=True) if len(names) <= 6 else map_axes(names)


def _entry(value: float) -> str:
    return f"{value:.1e}" if value else "0"
