"""Parts of a page as data: tables, figures and players, which the templates write."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pnp import plots
from pnp.parameters import ParameterSpace
from pnp.report.format import number, physical
from pnp.report.html.audio import data_uris
from pnp.report.html.steps import Listening, Step
from pnp.report.tables import FEW, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Pixels per point of a figure: at least, so that text stays readable, and at most.
_LEAST_SCALE, _MOST_SCALE = 1.0, 1.8
# Width in inches that a phone shows without scrolling, and the width up to which a figure is drawn that small.
_PHONE, _SMALL = 4.75, 6.5
# Of many parameters, those named beside a step: they move by this part of the largest move, and are so many at most.
_LEAST_MOVE, _MOST_MOVES = 0.1, 6


@dataclass(frozen=True)
class Cell:
    """Cell of a table: its text, and the number by which it sorts."""

    text: str
    value: str | None = None


@dataclass(frozen=True)
class PageTable:
    """Table of a page; `words` are the columns that hold phrases."""

    name: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: frozenset[int] = frozenset({0})
    sortable: bool = False
    searchable: bool = False
    note: str = ""


@dataclass(frozen=True)
class Drawing:
    """Figure as SVG, with its caption and the widths in pixels between which its text is readable."""

    svg: Markup
    label: str
    caption: str
    least_width: int
    most_width: int
    wide: bool


@dataclass(frozen=True)
class Player:
    """Sound to listen to; without an address there is none. Many `values` are folded away."""

    title: str
    about: str
    label: str
    address: str | None
    values: str = ""


@dataclass(frozen=True)
class Setting:
    """Sound of the cache and the steps around it."""

    row: int
    distance: str
    players: Sequence[Player]


@dataclass(frozen=True)
class Section:
    """Section of a page."""

    title: str
    text: str = ""
    tables: Sequence[PageTable] = ()
    figures: Sequence[Drawing] = ()
    settings: Sequence[Setting] = ()


@dataclass(frozen=True)
class Page:
    """Page about a cache, or about two."""

    title: str
    facts: Mapping[str, str]
    findings: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    sections: Sequence[Section] = ()


def cell(value: Any, text: str | None = None) -> Cell:
    """Return a cell that sorts by its value.

    Args:
        value: Number, text, or None.
        text: Text to show; by default three digits of a number.
    """
    if isinstance(value, float):
        exact = "" if math.isnan(value) else "1e999" if math.isinf(value) else f"{value:.9g}"
        return Cell(number(value) if text is None else text, exact)
    return Cell(("" if value is None else str(value)) if text is None else text)


def page_table(table: Table, **options: Any) -> PageTable:
    """Return a table that page and terminal share."""
    words = frozenset(c for c, letter in enumerate(table.align) if letter == "l")
    rows = [[Cell(text) for text in row] for row in table.rows]
    return PageTable(table.title, table.headings, rows, words, note=table.note, **options)


def drawing(figure: Figure, name: str, label: str, caption: str) -> Drawing:
    """Return a figure as a part of a page.

    Args:
        figure: Figure of matplotlib's.
        name: Prefix of its identifiers.
        label: Description for those who do not see it.
        caption: Explanation of the figure.
    """
    width, height = map(float, figure.get_size_inches())
    wide = width > _SMALL
    if not wide:
        # The layout adapts to the size; text keeps its own.
        width, height = _PHONE, height * max(_PHONE / width, 0.85)
        figure.set_size_inches(width, height)
    points = 72 * width
    least = 1.2 if wide else _LEAST_SCALE
    return Drawing(
        svg=Markup(plots.as_svg(figure, name, label)),
        label=label,
        caption=caption,
        least_width=round(least * points),
        most_width=round(_MOST_SCALE * points),
        wide=wide,
    )


def setting(
    listening: Listening, space: ParameterSpace, sample_rate: float, shown: Sequence[int], kept: str = ""
) -> Setting:
    """Return a setting, its sound, and the steps around it with theirs.

    Args:
        listening: Setting and steps.
        space: Parameters.
        sample_rate: Sampling rate in Hz.
        shown: Eigenvectors that the steps follow, by number.
        kept: Options and conditions of the setting, in words; its steps keep them.
    """
    known = [listening.sound, *(step.sound for step in listening.steps)]
    heard = [sound for sound in known if sound is not None]
    addresses: Sequence[str | None] = data_uris(heard, sample_rate) if heard else [None] * len(known)
    own, *others = addresses
    name = f"sound {listening.row}"
    everything = list(range(len(space)))
    values = ", ".join(part for part in (_at(listening, space, everything), kept) if part)
    few = len(space) <= FEW
    itself = Player("the sound itself", values if few else "", name, own, "" if few else values)
    players = [itself]
    for k, step, address in zip(shown, listening.steps, others, strict=True):
        title = f"λ{k + 1}: {step.words}"
        players.append(Player(title, _about(step, listening, space), f"{name}, {title}", address))
    return Setting(listening.row, number(listening.distance), players)


def _at(place: Listening | Step, space: ParameterSpace, chosen: Sequence[int]) -> str:
    values = space.from_unit(place.u).tolist()
    return ", ".join(f"{space[p].name} {physical(values[p], space[p].unit)}" for p in chosen)


def _moved(step: Step, listening: Listening) -> list[int]:
    """Return the parameters that a step moves: all of a few, those that move most of many."""
    moves = (step.u - listening.u).abs().tolist()
    if len(moves) <= FEW:
        return list(range(len(moves)))
    largest = max(moves)
    chosen = [p for p, move in enumerate(moves) if move >= _LEAST_MOVE * largest]
    return sorted(chosen, key=lambda p: -moves[p])[:_MOST_MOVES]


def _about(step: Step, listening: Listening, space: ParameterSpace) -> str:
    distance = listening.distance
    parts = []
    if step.inaudible:
        parts.append("inaudible by the metric; a step to the edge of the cube")
    elif step.clipped:
        parts.append(f"cut off at the edge of the cube before the distance of {distance:g}")
    reached = "not known, the features cannot be computed" if step.actual is None else number(step.actual)
    parts.append(f"distance {number(step.predicted)} by the metric, truly {reached}")
    parts.append(f"{number(step.scaled)} in the cube, to {_at(step, space, _moved(step, listening))}")
    return "; ".join(parts)
