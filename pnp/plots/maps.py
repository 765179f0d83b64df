"""The metric over two parameters."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor

from pnp import diagnostics
from pnp.diagnostics import Survey
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters import ParameterSpace
from pnp.plots.axes import PALETTE, check_positions, figure_of, label_axes, new_axes, two_parameters


def metric_ellipses(
    metric: RiemannianMetric,
    space: ParameterSpace,
    u: Shaped[Tensor, "B P"],
    parameters: tuple[int | str, int | str] = (0, 1),
    distance: float | None = None,
    most: int = 64,
    ax: Axes | None = None,
) -> Figure:
    """Ellipses of equal perceptual distance over two parameters (Tissot's indicatrix).

    Each ellipse holds the settings within one distance of its centre, the other parameters held fixed: small
    is sensitive, long is a direction that is hardly heard, oblique is one parameter that stands in for the
    other.

    Args:
        metric: Metrics of B sounds.
        space: Their parameter space.
        u: Their positions in the unit cube.
        parameters: Names or positions of the two parameters to draw.
        distance: Distance in the representation; by default such that the ellipses would cover about a
            quarter of the picture if all were as large as the median one.
        most: Number of ellipses at most, the sounds being in the order of their design.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The figure. An ellipse longer than the picture is cut off at its frame.

    Raises:
        ValueError: If no sound has a metric, the space has one parameter, a parameter is unknown or named
            twice, or the shape of `u` does not fit.
    """
    ax = ax or new_axes(square=True)
    x, y = two_parameters(space, parameters)
    check_positions(metric, space, u)
    shown = metric.valid.nonzero().flatten()[:most]
    diagnostics.require_sounds(metric)
    # The block of M for two parameters alone is that of their two columns.
    pair = RiemannianMetric.from_jacobian(metric.factor[shown][..., [x, y]])
    axes = 1 / pair.singular_values.clamp(min=torch.finfo(torch.float64).tiny)
    # The square has an area of 4, an ellipse one of π times the product of its semi-axes.
    radius = distance or float((1 / (math.pi * len(shown)) / axes.prod(dim=-1).median()).sqrt())
    # A million times the frame is as good as infinite, and harmless to draw.
    lengths = (2 * radius * axes).clamp(max=1e6).numpy(force=True)
    major = pair.eigenvectors[..., :, 0].numpy(force=True)
    angles = np.degrees(np.arctan2(major[:, 1], major[:, 0]))
    for centre, length, angle in zip(u[shown][:, [x, y]].numpy(force=True), lengths, angles, strict=True):
        ax.add_patch(
            Ellipse(
                (float(centre[0]), float(centre[1])),
                float(length[0]),
                float(length[1]),
                angle=float(angle),
                facecolor=PALETTE[4] + "40",
                edgecolor=PALETTE[0],
                linewidth=0.8,
            )
        )
        ax.plot(*centre, ".", color=PALETTE[5], markersize=2)
    label_axes(ax, space, x, y)
    ax.set_title(f"Settings within a distance of {radius:.2g}")
    return figure_of(ax)


def condition_map(
    metric: RiemannianMetric | Survey,
    space: ParameterSpace,
    u: Shaped[Tensor, "B P"],
    parameters: tuple[int | str, int | str] = (0, 1),
    ax: Axes | None = None,
) -> Figure:
    """Condition number of M over two parameters: where in the space the metric can be trusted.

    Args:
        metric: Metrics of B sounds, or a survey of them.
        space: Their parameter space.
        u: Their positions in the unit cube.
        parameters: Names or positions of the two parameters to draw.
        ax: Axes to draw on; a new figure by default.

    Returns:
        The figure. Singular metrics are crosses.

    Raises:
        ValueError: As for `metric_ellipses`.
    """
    ax = ax or new_axes(square=True)
    x, y = two_parameters(space, parameters)
    check_positions(metric, space, u)
    if isinstance(metric, RiemannianMetric):
        diagnostics.require_sounds(metric)
    condition = metric.condition.numpy(force=True)
    points = u.numpy(force=True)
    finite, singular = np.isfinite(condition), np.isposinf(condition)
    if finite.any():
        marks = ax.scatter(
            points[finite, x],
            points[finite, y],
            c=condition[finite],
            s=22,
            cmap="viridis",
            norm=LogNorm(),
            edgecolors="0.5",
            linewidths=0.4,
        )
        figure_of(ax).colorbar(marks, ax=ax, label="condition number", shrink=0.8)
    if singular.any():
        ax.scatter(points[singular, x], points[singular, y], marker="x", color=PALETTE[5], label="singular")
        ax.legend()
    label_axes(ax, space, x, y)
    ax.set_title("Condition number of M")
    return figure_of(ax)
