"""Curves over a count or a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pnp.plots.axes import PALETTE, figure_of, new_axes


def curves(
    series: Mapping[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """Several curves over a common count, as of a loss over epochs.

    Args:
        series: Label and values of each curve; the first value is drawn at 1.
        xlabel: Quantity that is counted.
        ylabel: Quantity that is drawn, with its unit.
        title: Title of the axes.
        log: Log scale for the values.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The figure.
    """
    ax = ax or new_axes()
    styles = ("-", "--", "-.", ":")
    for i, (label, values) in enumerate(series.items()):
        colour, style = PALETTE[i % len(PALETTE)], styles[i % len(styles)]
        ax.plot(range(1, len(values) + 1), values, style, label=label, color=colour)
    if log:
        ax.set_yscale("log")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.set_title(title)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return figure_of(ax)


def costs(sweeps: Sequence[Mapping[str, Any]]) -> Figure:
    """Time against each of several sizes, beside what the operations would take at the ceiling of the machine.

    Args:
        sweeps: For each, "name", "values", "seconds" with "median", "low" and "high" at each value, and
            "ceiling_seconds".

    Returns:
        The figure.
    """
    figure = Figure(figsize=(4 * len(sweeps), 3.6), layout="constrained")
    for ax, sweep in zip(np.atleast_1d(figure.subplots(1, len(sweeps), sharey=True)), sweeps, strict=True):
        median, low, high = (
            np.array([s[key] for s in sweep["seconds"]]) for key in ("median", "low", "high")
        )
        values = sweep["values"]
        spread = [median - low, high - median]
        ax.errorbar(values, median, spread, marker="o", color=PALETTE[0], label="measured, with its range")
        ax.plot(values, sweep["ceiling_seconds"], "--", color=PALETTE[1], label="operations at the ceiling")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(values, [str(value) for value in values])
        ax.set_xlabel(sweep["name"])
        ax.grid(alpha=0.3)
    figure.axes[0].set_ylabel("S and J of one sound, s")
    figure.axes[0].legend(frameon=False)
    return figure
