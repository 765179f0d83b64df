"""Eigenvalues and eigenvectors of the metrics of many sounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pnp import diagnostics
from pnp.metric.riemannian import RiemannianMetric
from pnp.plots.axes import PALETTE, figure_of, new_axes


def eigenvalue_distributions(metric: RiemannianMetric, ax: Axes | None = None) -> Figure:
    """Distribution over the sounds of each eigenvalue of M, on a log scale.

    Eigenvalues that are exactly 0 cannot be drawn there; the label under each box counts them.

    Args:
        metric: Metrics of B sounds.
        ax: Where to draw; a new figure by default.

    Returns:
        The figure.

    Raises:
        ValueError: If no sound has a metric.
    """
    ax = ax or new_axes()
    eigenvalues = diagnostics.require_sounds(metric).eigenvalues.numpy(force=True)
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


def eigenvector_composition(metric: RiemannianMetric, names: Sequence[str], ax: Axes | None = None) -> Figure:
    """What each eigenvector is made of: squared components, averaged over the sounds, as stacked bars.

    Args:
        metric: Metrics of B sounds.
        names: The P parameters' names.
        ax: Where to draw; a new figure by default.

    Returns:
        The figure.

    Raises:
        ValueError: If no sound has a metric, or the number of names is not P.
    """
    shares = diagnostics.composition(metric).numpy(force=True)
    if len(names) != len(shares):
        raise ValueError(f"expected {len(shares)} names, one per parameter, got {len(names)}")
    ax = ax or new_axes()
    positions = np.arange(1, len(shares) + 1)
    bottom = np.zeros(len(shares))
    for p, name in enumerate(names):
        # Hatches tell a ninth parameter from the first, and print without colour.
        hatch = ("", "///", "...")[p // len(PALETTE) % 3]
        ax.bar(
            positions,
            shares[:, p],
            bottom=bottom,
            label=name,
            color=PALETTE[p % len(PALETTE)],
            hatch=hatch,
            edgecolor="white",
        )
        bottom += shares[:, p]
    ax.set_xticks(positions)
    ax.set_ylim(0, 1)
    ax.set_xlabel("eigenvector, most audible first")
    ax.set_ylabel("share of each parameter")
    ax.set_title("Composition of the eigenvectors")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure_of(ax)
