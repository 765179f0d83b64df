"""What a metric says, in pictures.

Every function draws into the axes it is given, or into a new figure, and returns the figure. Figures are
built without pyplot: nothing global changes, no window opens, and they can be drawn from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor

from pnp import diagnostics
from pnp.metric import RiemannianMetric
from pnp.parameters import ParameterSpace

# Source: Okabe & Ito, "Color universal design" (2008): eight colours that colour-blind readers tell apart.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)


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
    ax = ax or _new_axes()
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
    return _figure(ax)


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
        ax: Where to draw; a new figure by default.

    Returns:
        The figure. An ellipse longer than the picture is cut off at its frame.

    Raises:
        ValueError: If no sound has a metric, the space has one parameter, a parameter is unknown or named
            twice, or the shape of `u` does not fit.
    """
    ax = ax or _new_axes(square=True)
    x, y = _two_parameters(space, parameters)
    _check_positions(metric, space, u)
    shown = metric.valid.nonzero().flatten()[:most]
    diagnostics.require_sounds(metric)
    # The block of M for two parameters alone is that of their two columns.
    pair = RiemannianMetric.from_jacobian(metric.factor[shown][..., [x, y]])
    axes = 1 / pair.singular_values.clamp(min=torch.finfo(torch.float64).tiny)
    # The square has an area of 4, an ellipse one of π times the product of its semi-axes.
    radius = distance or float((1 / (torch.pi * len(shown)) / axes.prod(dim=-1).median()).sqrt())
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
    _label_axes(ax, space, x, y)
    ax.set_title(f"Settings within a distance of {radius:.2g}")
    return _figure(ax)


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
    ax = ax or _new_axes(square=True)
    values = matrix.numpy(force=True)
    largest = float(np.abs(values).max())
    if normalized:
        image = ax.imshow(values, cmap="PuOr_r", vmin=-1, vmax=1)
    elif largest > 0:
        # Six decades below the largest entry are told apart, the rest is white.
        norm = SymLogNorm(1e-6 * largest, vmin=-largest, vmax=largest)
        image = ax.imshow(values, cmap="PuOr_r", norm=norm)
    else:
        image = ax.imshow(values, cmap="PuOr_r")
    ink = np.abs(np.ma.filled(image.norm(values), 0.5) - 0.5)
    for (row, column), value in np.ndenumerate(values):
        text = f"{round(value, 2) + 0.0:.2f}" if normalized else f"{value:.1e}" if value else "0"
        colour = "white" if ink[row, column] > 0.35 else "black"
        ax.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.set_title("Correlation of parameters" if normalized else "M")
    figure = _figure(ax)
    if normalized or largest > 0:
        label = "cosine" if normalized else "squared distance per squared unit step"
        ticks = np.array([-1, -1e-3, 0, 1e-3, 1]) * (1 if normalized else largest)
        ticks = ticks[::2] if normalized else ticks
        bar = figure.colorbar(image, ax=ax, label=label, shrink=0.8, ticks=ticks)
        bar.ax.set_yticklabels([f"{tick:.3g}" for tick in ticks])
        bar.ax.minorticks_off()
    return figure


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
    ax = ax or _new_axes()
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
    return _figure(ax)


def condition_map(
    metric: RiemannianMetric,
    space: ParameterSpace,
    u: Shaped[Tensor, "B P"],
    parameters: tuple[int | str, int | str] = (0, 1),
    ax: Axes | None = None,
) -> Figure:
    """Condition number of M over two parameters: where in the space the metric can be trusted.

    Args:
        metric: Metrics of B sounds.
        space: Their parameter space.
        u: Their positions in the unit cube.
        parameters: Names or positions of the two parameters to draw.
        ax: Where to draw; a new figure by default.

    Returns:
        The figure. Singular metrics are crosses.

    Raises:
        ValueError: As for `metric_ellipses`.
    """
    ax = ax or _new_axes(square=True)
    x, y = _two_parameters(space, parameters)
    _check_positions(metric, space, u)
    diagnostics.require_sounds(metric)
    condition = metric.condition.numpy(force=True)
    points = u.numpy(force=True)
    finite, singular = np.isfinite(condition), np.isposinf(condition)
    if finite.any():
        marks = ax.scatter(
            points[finite, x], points[finite, y], c=condition[finite], s=18, cmap="viridis", norm=LogNorm()
        )
        _figure(ax).colorbar(marks, ax=ax, label="condition number", shrink=0.8)
    if singular.any():
        ax.scatter(points[singular, x], points[singular, y], marker="x", color=PALETTE[5], label="singular")
        ax.legend()
    _label_axes(ax, space, x, y)
    ax.set_title("Condition number of M")
    return _figure(ax)


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
        xlabel: What is counted.
        ylabel: What is drawn, with its unit.
        title: Title of the axes.
        log: Log scale for the values.
        ax: Where to draw; a new figure by default.

    Returns:
        The figure.
    """
    ax = ax or _new_axes()
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
    return _figure(ax)


def overview(metric: RiemannianMetric, space: ParameterSpace, u: Shaped[Tensor, "B P"]) -> Figure:
    """Everything about the metrics of a cache on one page; what needs two parameters is left out for one.

    Args:
        metric: Metrics of B sounds.
        space: Their parameter space.
        u: Their positions in the unit cube.

    Returns:
        The figure.

    Raises:
        ValueError: If no sound has a metric, or the shape of `u` does not fit.
    """
    mean = diagnostics.require_sounds(metric).mean()
    panels: list[Callable[[Axes], Figure]] = [
        lambda ax: eigenvalue_distributions(metric, ax=ax),
        lambda ax: eigenvector_composition(metric, space.names, ax=ax),
        lambda ax: metric_heatmap(mean.matrix, space.names, ax=ax),
        lambda ax: metric_heatmap(diagnostics.correlation(mean), space.names, normalized=True, ax=ax),
    ]
    if len(space) > 1:
        # The most and the second most audible parameter, where there is most to see.
        first, second = (int(p) for p in mean.matrix.diagonal().argsort(descending=True)[:2])
        panels += [
            lambda ax: metric_ellipses(metric, space, u, (first, second), ax=ax),
            lambda ax: condition_map(metric, space, u, (first, second), ax=ax),
        ]
    figure = Figure(figsize=(16, 9 if len(panels) > 4 else 4.5), layout="constrained")
    axes = figure.subplots(-(-len(panels) // 3), 3)
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    for draw, ax in zip(panels, axes.flat, strict=False):
        draw(ax)
    return figure


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


def _new_axes(square: bool = False) -> Axes:
    return Figure(figsize=(5.5, 4.8) if square else (6.4, 4.0), layout="constrained").add_subplot()


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure; expected axes made by Figure.add_subplot or subplots")
    return figure


def _two_parameters(space: ParameterSpace, parameters: tuple[int | str, int | str]) -> tuple[int, int]:
    if len(space) < 2:
        raise ValueError(f"two parameters are needed to draw over, the space has only {space.names[0]!r}")
    x, y = (space.names.index(space[p].name) for p in parameters)
    if x == y:
        raise ValueError(f"two different parameters are needed, got {space.names[x]!r} twice")
    return x, y


def _check_positions(metric: RiemannianMetric, space: ParameterSpace, u: Tensor) -> None:
    if tuple(u.shape) != (len(metric), len(space)):
        raise ValueError(
            f"expected positions u of shape ({len(metric)}, {len(space)}), one row per metric and one column "
            f"per parameter, got {tuple(u.shape)}"
        )


def _label_axes(ax: Axes, space: ParameterSpace, x: int, y: int) -> None:
    ticks = torch.tensor(_TICKS, dtype=torch.float64)
    physical = space.from_unit(ticks[:, None].expand(-1, len(space)))
    setters: tuple[tuple[int, Any, Any, Any], ...] = (
        (x, ax.set_xticks, ax.set_xlabel, ax.set_xlim),
        (y, ax.set_yticks, ax.set_ylabel, ax.set_ylim),
    )
    for p, set_ticks, set_label, set_limits in setters:
        parameter = space[p]
        set_ticks(_TICKS, [f"{value:.4g}" for value in physical[:, p].tolist()])
        unit = f" ({parameter.unit})" if parameter.unit else ""
        set_label(f"{parameter.name}{unit}, {parameter.scale} scale")
        set_limits(-1.1, 1.1)
    ax.set_aspect("equal")
