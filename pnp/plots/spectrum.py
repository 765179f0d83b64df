"""Eigenvalues and eigenvectors of the metrics of many sounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pnp import diagnostics
from pnp.diagnostics import Survey
from pnp.metric.riemannian import RiemannianMetric
from pnp.plots.axes import PALETTE, figure_of, literal, new_axes

# Eigenvalues up to which each has a box of its own; eigenvectors up to which each has a bar.
_FEW = 12
# Without black, which is white on a dark page.
_COLOURS = PALETTE[:7]
# Of many eigenvectors, those drawn, and the share from which a parameter has a colour of its own.
_LEADING, _LEAST_SHARE = 8, 0.05


def eigenvalue_distributions(metric: RiemannianMetric | Survey, ax: Axes | None = None) -> Figure:
    """Distribution over the sounds of each eigenvalue of M, on a log scale.

    A few eigenvalues have a box each; many are a line through the medians, in bands between quantiles. Eigenvalues
    that are exactly 0 cannot be drawn; labels count them.

    Args:
        metric: Metrics of B sounds.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The figure.

    Raises:
        ValueError: If no sound has a metric.
    """
    ax = ax or new_axes()
    found = metric if isinstance(metric, Survey) else diagnostics.require_sounds(metric)
    eigenvalues = found.eigenvalues.numpy(force=True)
    if eigenvalues.shape[1] > _FEW:
        return _spectrum_line(ax, eigenvalues)
    labels = []
    for k, values in enumerate(eigenvalues.T):
        positive = values[values > 0]
        zeros = len(values) - len(positive)
        labels.append(f"{k + 1}" + (f"\n{zeros} zero" if zeros else ""))
        if not len(positive):
            continue
        # Fixed seed: the same metric gives the same picture.
        jitter = np.random.default_rng(k).uniform(-0.12, 0.12, len(positive))
        ax.scatter(k + 1 + jitter, positive, s=6, color="0.4", alpha=0.35, linewidths=0)
        ax.boxplot(
            positive,
            positions=[k + 1],
            widths=0.5,
            showfliers=False,
            medianprops={"color": "black", "linewidth": 1.5},
        )
    ax.set_yscale("log")
    ax.set_xticks(range(1, len(labels) + 1), labels)
    ax.set_xlabel("eigenvalue, most audible first")
    ax.set_ylabel("squared distance per squared unit step")
    ax.set_title("Spectrum of M")
    ax.grid(axis="y", alpha=0.3)
    return figure_of(ax)


def _spectrum_line(ax: Axes, eigenvalues: np.ndarray) -> Figure:
    order = np.arange(1, eigenvalues.shape[1] + 1)
    low, first, median, third, high = np.quantile(eigenvalues, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
    positive = eigenvalues[eigenvalues > 0]
    ax.set_yscale("log", nonpositive="mask")
    if len(positive):
        floor = positive.min()
        for bottom, top, alpha, text in (
            (low, high, 0.2, "5 % to 95 % of sounds"),
            (first, third, 0.4, "quartiles"),
        ):
            bottom, top = np.maximum(bottom, floor), np.maximum(top, floor)
            ax.fill_between(order, bottom, top, color=PALETTE[4], alpha=alpha, linewidth=0, label=text)
        ax.plot(order, np.where(median > 0, median, np.nan), color=PALETTE[0], label="median")
        ax.legend(frameon=False)
    zeros = int((eigenvalues == 0).sum())
    ax.set_xlabel("eigenvalue, most audible first" + (f"; {zeros:,} are zero and not drawn" if zeros else ""))
    ax.set_ylabel("squared distance per squared unit step")
    ax.set_title("Spectrum of M")
    ax.grid(alpha=0.3)
    return figure_of(ax)


def eigenvector_composition(
    metric: RiemannianMetric | Survey, names: Sequence[str], ax: Axes | None = None
) -> Figure:
    """Stacked bars of what each eigenvector is made of: squared components, averaged over the sounds.

    Of many eigenvectors the most audible ones are drawn, and small shares are put together as "others".

    Args:
        metric: Metrics of B sounds.
        names: The P parameters' names.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The figure.

    Raises:
        ValueError: If no sound has a metric, or the number of names is not P.
    """
    found = metric.composition if isinstance(metric, Survey) else diagnostics.composition(metric)
    shares = found.numpy(force=True)
    if len(names) != len(shares):
        raise ValueError(f"expected {len(shares)} names, one per parameter, got {len(names)}")
    shown, drawn = list(range(len(names))), shares
    if len(names) > _FEW:
        drawn = shares[:_LEADING]
        by_share = np.argsort(-drawn.max(axis=0), kind="stable")
        shown = [int(p) for p in by_share[:_FEW] if drawn[:, p].max() >= _LEAST_SHARE]
    below = ax is None and (len(shown) > len(PALETTE) or max(map(len, names)) > 16)
    if ax is None:
        height = 4.0 + (0.22 * (len(shown) + 1) if below else 0.0)
        ax = Figure(figsize=(6.4, height), layout="constrained").add_subplot()
    positions = np.arange(1, len(drawn) + 1)
    bottom = np.zeros(len(drawn))
    for place, p in enumerate(shown):
        # Hatches tell a ninth parameter from the first, and print without colour.
        hatch = ("", "///", "...")[place // len(_COLOURS) % 3]
        ax.bar(
            positions,
            drawn[:, p],
            bottom=bottom,
            label=literal(names[p]),
            color=_COLOURS[place % len(_COLOURS)],
            hatch=hatch,
            edgecolor="white",
        )
        bottom += drawn[:, p]
    if len(shown) < len(names):
        ax.bar(positions, 1 - bottom, bottom=bottom, label="others", color="0.7", edgecolor="white")
    ax.set_xticks(positions)
    ax.set_ylim(0, 1)
    ax.set_xlabel("eigenvector, most audible first")
    ax.set_ylabel("share of each parameter")
    ax.set_title("Composition of the eigenvectors")
    if below:
        ax.legend(loc="upper left", bbox_to_anchor=(0.0, -0.16), frameon=False)
    else:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure_of(ax)
