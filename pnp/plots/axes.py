"""Axes, colours and labels that all figures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from pnp._text import printable
from pnp.diagnostics import Survey
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters import ParameterSpace

# Source: Okabe & Ito, "Color universal design" (2008): eight colours that colour-blind readers tell apart.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
# Names up to which heat maps hold numbers, and beyond which a panel among others numbers its rows.
FEW_NAMES, MOST_NAMES = 12, 24
_TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def new_axes(square: bool = False) -> Axes:
    """Axes of a new figure that belongs to no window."""
    return Figure(figsize=(5.5, 4.8) if square else (6.4, 4.0), layout="constrained").add_subplot()


def figure_of(ax: Axes) -> Figure:
    """The figure that axes belong to, however deep they are nested in it."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure; expected axes made by Figure.add_subplot or subplots")
    return figure


def literal(text: str) -> str:
    """Return a text that matplotlib shows as it is: a dollar sign begins no formula, a control character is spelt."""
    return printable(text).replace("$", r"\$")


def map_axes(names: Sequence[str]) -> Axes:
    """Axes of a new figure for a square map with a readable name at each row and column."""
    side = 1.8 + max(3.0, 0.2 * len(names)) + 0.075 * max(map(len, names))
    return Figure(figsize=(side + 0.7, side), layout="constrained").add_subplot()


def name_rows_and_columns(ax: Axes, names: Sequence[str], crowded: bool) -> None:
    """Write names along both sides of a map; numbers where there is no room for so many."""
    count = len(names)
    if crowded and count > MOST_NAMES:
        places = range(0, count, 10)
        ax.set_xticks(places, [str(place + 1) for place in places])
        ax.set_yticks(places, [str(place + 1) for place in places])
        ax.set_xlabel("parameter, by number")
        return
    shown = [literal(name) for name in names]
    small: dict[str, Any] = {} if count <= FEW_NAMES else {"fontsize": "small"}
    upright = count > 8 or max(map(len, names)) > 8
    ax.set_xticks(range(count), shown, rotation=90 if upright else 0, **small)
    ax.set_yticks(range(count), shown, **small)


def two_parameters(space: ParameterSpace, parameters: tuple[int | str, int | str]) -> tuple[int, int]:
    """Positions of two different parameters of a space that has at least two."""
    if len(space) < 2:
        raise ValueError(f"two parameters are needed to draw over, the space has only {space.names[0]!r}")
    x, y = (space.names.index(space[p].name) for p in parameters)
    if x == y:
        raise ValueError(f"two different parameters are needed, got {space.names[x]!r} twice")
    return x, y


def check_positions(metric: RiemannianMetric | Survey, space: ParameterSpace, u: Tensor) -> None:
    """Refuse positions in the cube that do not fit metrics and space."""
    if tuple(u.shape) != (len(metric), len(space)):
        raise ValueError(
            f"expected positions u of shape ({len(metric)}, {len(space)}), one row per metric and one column "
            f"per parameter, got {tuple(u.shape)}"
        )


def label_axes(ax: Axes, space: ParameterSpace, x: int, y: int) -> None:
    """Two parameters along the sides of a square, with ticks in physical units."""
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
        set_label(literal(f"{parameter.name}{unit}, {parameter.scale} scale"))
        set_limits(-1.1, 1.1)
    ax.set_aspect("equal")
