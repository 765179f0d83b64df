"""Loss landscapes, and the sounds they are about, in pictures.

Figures are built without pyplot, as in `pnp.plots`. Colours are those that colour-blind readers tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from pnp._text import percent
from pnp.landscapes.surface import Landscape
from pnp.parameters import Parameter, ParameterSpace
from pnp.plots.axes import PALETTE

__all__ = ["landscapes", "quadratic", "scalograms"]

_TARGET: dict[str, Any] = {"marker": "*", "color": PALETTE[5], "markeredgecolor": "white", "markersize": 15}
_MINIMUM: dict[str, Any] = {"marker": "D", "color": PALETTE[4], "markeredgecolor": "black", "markersize": 7}
_SHADES = "cividis"
# Sound below this is drawn as silence.
_DECIBELS = 50.0


def scalograms(
    panels: Mapping[str, Shaped[Tensor, "K N"]], frequencies: Shaped[Tensor, " K"], sample_rate: float
) -> Figure:
    """Scalograms of sounds, two a row, on a common scale of levels.

    Args:
        panels: From title to moduli, shape (K, N).
        frequencies: Centre frequencies in Hz, ascending, shape (K,).
        sample_rate: Sampling rate in Hz.

    Returns:
        The figure.
    """
    rows = math.ceil(len(panels) / 2)
    figure = Figure(figsize=(9.0, 2.6 * rows + 0.6), layout="constrained")
    axes = np.atleast_2d(figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False))
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    for ax, (title, moduli) in zip(axes.flat, panels.items(), strict=False):
        step = max(1, moduli.shape[1] // 1000)
        level = 20.0 * torch.log10((moduli[:, ::step] / moduli.max()).clamp_min(10.0 ** (-_DECIBELS / 20.0)))
        t = torch.arange(level.shape[1]) * step / sample_rate
        image = ax.pcolormesh(
            t.numpy(),
            frequencies.numpy(),
            level.numpy(),
            cmap=_SHADES,
            vmin=-_DECIBELS,
            vmax=0.0,
            rasterized=True,
            shading="nearest",
        )
        ax.set_yscale("log", base=2)
        ax.set_title(title, fontsize="medium")
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for ax in axes[-1]:
        ax.set_xlabel("time (s)")
    for ax in axes[:, 0]:
        ax.set_ylabel("frequency (Hz)")
    figure.colorbar(image, ax=axes, label="level (dB, of each one's maximum)")
    return figure


def landscapes(panels: Mapping[str, Landscape], unit: str, title: str = "") -> Figure:
    """Loss surfaces above, contours with the field of negative gradients below; a column each.

    Arrows show direction alone; they are of one length. The target is a star, the lowest grid point a diamond.

    Args:
        panels: From title to landscape.
        unit: Name of the loss on its axis.
        title: Title of the figure.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(4.1 * len(panels), 8.2), layout="constrained")
    figure.suptitle(title)
    for column, (name, landscape) in enumerate(panels.items()):
        surface = figure.add_subplot(2, len(panels), column + 1, projection="3d")
        _surface(surface, landscape, unit)
        surface.set_title(name)
        contour = figure.add_subplot(2, len(panels), len(panels) + column + 1)
        _contour(contour, landscape, figure, unit)
    figure.legend(handles=_handles(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def quadratic(
    true: Landscape,
    form: Shaped[Tensor, "n n"],
    rays: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    tolerance: float = 0.1,
) -> Figure:
    """The PNP quadratic form beside the true loss: contours of both at equal levels, and their ratio along rays.

    Args:
        true: True landscape.
        form: Quadratic form of the target's metric on its grid, shape (n, n).
        rays: From direction to distances from the target, in units of the cube, and ratios of form to loss there.
        tolerance: Band of ratios around 1 that is shaded.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    x, y = (true.u[..., p].numpy() for p in (0, 1))
    levels = np.quantile(true.loss.numpy(), (0.03, 0.1, 0.25, 0.45, 0.7, 0.9))
    left.contour(x, y, true.loss.numpy(), levels=levels, colors=PALETTE[0], linewidths=1.8)
    left.contour(x, y, form.numpy(), levels=levels, colors=PALETTE[5], linestyles="dashed", linewidths=1.8)
    left.plot(*true.target.tolist(), linestyle="none", **_TARGET)
    lines = [
        Line2D([], [], color=PALETTE[0], label="true loss"),
        Line2D([], [], color=PALETTE[5], linestyle="--", label="PNP quadratic form"),
    ]
    left.legend(handles=[*lines, *_handles()[:1]], fontsize="small")
    left.set_title("Contours at equal levels")
    _label(left, true.space)
    styles = ("-", "--", "-.", ":")
    for i, (name, (distances, ratios)) in enumerate(rays.items()):
        style = styles[i // 2 % len(styles)]
        right.plot(distances, ratios, style, color=PALETTE[i % len(PALETTE)], marker=".", label=name)
    right.axhspan(1 - tolerance, 1 + tolerance, color="0.85", label=f"within {percent(tolerance, 0)}")
    right.set_xscale("log")
    right.set_xticks([0.02, 0.05, 0.1, 0.2, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"])
    right.minorticks_off()
    right.set_yscale("log")
    right.set_xlabel("distance from the target, in units of the cube (its side is 2)")
    right.set_ylabel("quadratic form / true loss")
    right.set_title("Along rays from the target")
    right.legend(fontsize="small", ncols=2)
    right.grid(alpha=0.3)
    return figure


def _surface(ax: Axes, landscape: Landscape, unit: str) -> None:
    x, y, z = (landscape.u[..., 0].numpy(), landscape.u[..., 1].numpy(), landscape.loss.numpy())
    plot: Any = ax  # axes in three dimensions have more methods than their base class
    plot.plot_surface(x, y, z, cmap=_SHADES, rstride=1, cstride=1, linewidth=0.2, edgecolor="0.4")
    # The target's loss on the grid, drawn a little above the surface that would hide it.
    floor, height = float(z.min()), float(np.ptp(z))
    a, b = landscape.target.tolist()
    plot.plot([a, a], [b, b], [floor, floor + 0.9 * height], color=PALETTE[5], linewidth=1.5, zorder=10)
    plot.plot([a], [b], [floor + 0.9 * height], zorder=11, **_TARGET)
    _label(ax, landscape.space)
    plot.set_zlabel(unit)
    plot.view_init(elev=32, azim=-125)
    # A constrained layout leaves no room for the labels of a box that fills its axes.
    plot.set_box_aspect((1.0, 1.0, 0.75), zoom=0.82)


def _contour(ax: Axes, landscape: Landscape, figure: Figure, unit: str) -> None:
    x, y = landscape.u[..., 0].numpy(), landscape.u[..., 1].numpy()
    filled = ax.contourf(x, y, landscape.loss.numpy(), levels=16, cmap=_SHADES)
    figure.colorbar(
        filled, ax=ax, orientation="horizontal", label=unit, shrink=0.9, pad=0.02, ticks=MaxNLocator(4)
    )
    descent = -landscape.gradient
    arrows = torch.nn.functional.normalize(descent, dim=-1).numpy()
    # Twenty arrows a side are told apart, more are not.
    step = max(1, len(x) // 20)
    some = (slice(None, None, step), slice(None, None, step))
    ax.quiver(
        x[some],
        y[some],
        arrows[..., 0][some],
        arrows[..., 1][some],
        color="white",
        edgecolor="black",
        linewidth=0.3,
        pivot="mid",
        scale=24,
        width=0.006,
    )
    lowest = landscape.u.reshape(-1, 2)[landscape.loss.argmin()]
    ax.plot(*lowest.tolist(), linestyle="none", **_MINIMUM)
    ax.plot(*landscape.target.tolist(), linestyle="none", **_TARGET)
    ax.set_aspect("equal")
    _label(ax, landscape.space)


def _handles() -> list[Line2D]:
    arrow = Line2D([], [], color="0.5", marker=r"$\rightarrow$", markersize=12, linestyle="none")
    arrow.set_label("negative gradient (direction)")
    return [
        Line2D([], [], linestyle="none", label="target", **_TARGET),
        Line2D([], [], linestyle="none", label="lowest grid point", **_MINIMUM),
        arrow,
    ]


def _label(ax: Axes, space: ParameterSpace) -> None:
    axes: tuple[tuple[Any, Any], ...] = ((ax.set_xticks, ax.set_xlabel), (ax.set_yticks, ax.set_ylabel))
    for parameter, (set_ticks, set_label) in zip(space, axes, strict=True):
        values = _octaves(parameter)
        column = torch.tensor(values, dtype=torch.float64)
        ticks = ParameterSpace([parameter]).to_unit(column[:, None])[:, 0].tolist()
        set_ticks(ticks, [f"{value:g}" for value in values])
        unit = f" ({parameter.unit})" if parameter.unit else ""
        set_label(f"{_SYMBOLS.get(parameter.name, parameter.name)}{unit}")


_SYMBOLS = {"f_m": r"event rate $f_m$", "gamma": r"chirp rate $\gamma$", "rate": "drift rate"}


def _octaves(parameter: Parameter) -> list[float]:
    """Powers of two in the range of a log parameter, both ends and the middle of a linear one."""
    if parameter.scale != "log":
        return [parameter.low, 0.5 * (parameter.low + parameter.high), parameter.high]
    first, last = math.ceil(math.log2(parameter.low)), math.floor(math.log2(parameter.high))
    return [2.0**k for k in range(first, last + 1)]
