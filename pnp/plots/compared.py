"""Two representations, parameter by parameter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pnp.plots.axes import PALETTE, figure_of, literal

# Inches that a row takes, and those around all rows.
_ROW, _AROUND = 0.22, 1.1


def paired_values(
    names: Sequence[str],
    pairs: Sequence[tuple[float, float]],
    labels: tuple[str, str],
    xlabel: str,
    low: float,
    high: float,
    ax: Axes | None = None,
) -> Figure:
    """Two values of each parameter, joined by a line as long as their difference.

    Args:
        names: Parameters, from top to bottom.
        pairs: Both values of each of them. A value outside the limits is drawn at the limit.
        labels: Owners of the first and of the second values.
        xlabel: Quantity, with its unit and statistic.
        low: Left limit.
        high: Right limit.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no parameter, or not one pair for each.
    """
    if not names or len(names) != len(pairs):
        raise ValueError(f"expected one pair of values for each parameter, got {len(names)} and {len(pairs)}")
    height = _AROUND + _ROW * len(names)
    ax = ax or Figure(figsize=(6.0, height), layout="constrained").add_subplot()
    values = np.clip(np.nan_to_num(np.asarray(pairs, dtype=float), nan=low), low, high)
    rows = np.arange(len(names))
    ax.hlines(rows, values.min(1), values.max(1), color="grey", linewidth=1, zorder=1)
    # A filled and an open mark, of two shapes: apart without colour, and where one covers the other.
    ax.scatter(values[:, 0], rows, s=30, marker="o", color=PALETTE[0], label=literal(labels[0]), zorder=2)
    ax.scatter(
        values[:, 1],
        rows,
        s=42,
        marker="s",
        facecolors="none",
        edgecolors=PALETTE[5],
        linewidths=1.5,
        label=literal(labels[1]),
        zorder=3,
    )
    ax.set_yticks(rows, [literal(name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    margin = 0.03 * (high - low)
    ax.set_xlim(low - margin, high + margin)
    ax.set_xlabel(xlabel)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return figure_of(ax)
