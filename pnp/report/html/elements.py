"""Parts of a page as HTML: tables, facts, figures, players."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pnp import plots
from pnp.parameters import ParameterSpace
from pnp.report.html.audio import data_uris
from pnp.report.html.steps import Listening, Step


def number(value: float | None) -> str:
    """Three digits; a dash for what is missing, a lemniscate for what is infinite."""
    if value is None or math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.3g}"


def facts(pairs: Mapping[str, str], kind: str = "facts") -> str:
    """Terms and what they are."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in pairs.items())
    return f'<dl class="{kind}">\n{rows}</dl>'


def listed(sentences: Iterable[str], kind: str) -> str:
    """Sentences, one an item; nothing where there is none."""
    items = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in sentences)
    return f'<ul class="{kind}">\n{items}</ul>' if items else ""


def table(
    name: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    sortable: bool = False,
    words: int = 0,
) -> str:
    """A table in a region of its own that scrolls where the screen is narrow.

    Args:
        name: What it lists, for those who do not see it.
        columns: Headings; the first one is of the rows.
        rows: Cells: text, numbers, or None.
        sortable: Whether the headings are buttons that sort.
        words: How many of the last columns hold phrases.
    """
    classes = [' class="words"' if i >= len(columns) - words else "" for i in range(len(columns))]
    label = "<button type='button'>{}</button>" if sortable else "{}"
    order = ' aria-sort="none"' if sortable else ""
    head = "".join(
        f'<th scope="col"{order}{kind}>{label.format(escape(column))}</th>'
        for column, kind in zip(columns, classes, strict=True)
    )
    body = []
    for row in rows:
        first, *rest = (_cell(value, kind) for value, kind in zip(row, classes, strict=True))
        body.append(
            f'<tr><th scope="row"{first}</th>' + "".join(f"<td{cell}</td>" for cell in rest) + "</tr>"
        )
    kind = "scroll tall" if sortable else "scroll"
    return (
        f'<div class="{kind}" role="region" tabindex="0" aria-label="{escape(name)}">\n'
        f"<table{' class=sortable' if sortable else ''}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(body)
        + "\n</tbody>\n</table>\n</div>"
    )


def _cell(value: Any, kind: str) -> str:
    """A cell from its attributes on; numbers keep all digits for sorting."""
    if isinstance(value, float):
        exact = "" if math.isnan(value) else "1e999" if math.isinf(value) else f"{value:.9g}"
        return f'{kind} data-value="{exact}">{number(value)}'
    return f"{kind}>{escape('' if value is None else str(value))}"


def figure(drawn: Any, name: str, label: str, caption: str) -> str:
    """A figure of matplotlib's, and how to read it."""
    svg = plots.as_svg(drawn, name, label)
    return f"<figure>\n{svg}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"


def setting(listening: Listening, space: ParameterSpace, sample_rate: float) -> str:
    """A setting, its sound, and the steps around it with theirs."""
    known = [listening.sound, *(step.sound for step in listening.steps)]
    heard = [sound for sound in known if sound is not None]
    addresses: Sequence[str | None] = data_uris(heard, sample_rate) if heard else [None] * len(known)
    own, *others = addresses
    name = f"sound {listening.row}"
    items = [_item("the sound itself", _at(listening.u, space), own, name, compare=False)]
    for k, (step, address) in enumerate(zip(listening.steps, others, strict=True)):
        title = f"λ{k + 1}: {step.words}"
        items.append(
            _item(title, _about(step, space, listening.distance), address, f"{name}, {title}", compare=True)
        )
    return (
        f'<section class="setting" aria-label="{name}">\n'
        f"<h3>Sound {listening.row}, steps of distance {number(listening.distance)}</h3>\n"
        f'<ul class="sounds">\n{"".join(items)}</ul>\n</section>'
    )


def _item(title: str, about: str, address: str | None, label: str, compare: bool) -> str:
    player = button = "<span></span>"
    if address:
        player = f'<audio controls preload="auto" aria-label="{escape(label)}" src="{address}"></audio>'
        if compare:
            button = (
                f'<button type="button" class="compare" aria-pressed="false" aria-label="compare: the sound \
itself, then {escape(label)}">compare</button>'
            )
    return (
        f'<li><div><strong>{escape(title)}</strong><span class="faint">{escape(about)}</span></div>'
        f"{player}{button}</li>\n"
    )


def _at(u: Any, space: ParameterSpace) -> str:
    values = zip(space, space.from_unit(u).tolist(), strict=True)
    return ", ".join(f"{p.name} {value:.4g}" + (f" {p.unit}" if p.unit else "") for p, value in values)


def _about(step: Step, space: ParameterSpace, distance: float) -> str:
    parts = []
    if step.inaudible:
        parts.append("inaudible by the metric; a step to the edge of the cube")
    elif step.clipped:
        parts.append(f"cut off at the edge of the cube before the distance of {distance:g}")
    reached = "not known, the features cannot be computed" if step.actual is None else number(step.actual)
    parts.append(f"distance {number(step.predicted)} by the metric, truly {reached}")
    parts.append(f"{number(step.scaled)} in the cube, to {_at(step.u, space)}")
    return "; ".join(parts)
