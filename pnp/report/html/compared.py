"""Content of the page about two caches side by side."""

from __future__ import annotations

from pathlib import Path

from pnp import plots
from pnp._text import labels
from pnp.report import tables
from pnp.report.comparison import NOT_HEARD, NOT_IDENTIFIABLE, Comparison
from pnp.report.format import number
from pnp.report.html.parts import Cell, Drawing, Page, PageTable, Section, cell, drawing

# Parameters that a figure shows at most.
_MOST = 40


def page_of_comparison(comparison: Comparison) -> Page:
    """Return the content of a page about two caches.

    Args:
        comparison: Result of `compare`.
    """
    names = [Path(side.cache).name for side in comparison.sides]
    facts = {}
    for letter, side in zip("AB", comparison.sides, strict=True):
        facts[letter] = side.cache
        facts[f"{letter}: synthesizer"] = side.synthesizer
        facts[f"{letter}: features"] = side.features
        facts[f"{letter}: sounds"] = f"{side.sounds:,}"
        facts[f"{letter}: effective rank"] = f"{number(side.effective_rank)}, median over the sounds"
        facts[f"{letter}: condition number"] = f"{number(side.condition)}, median over the sounds"
        if side.only:
            facts[f"{letter}: held fixed"] = ", ".join(side.only)
    statistic = (
        "median over the same sounds"
        if comparison.same_sounds
        else "between the mean metrics: the sounds differ"
    )
    count = comparison.directions
    spans = "most audible directions" if count == 1 else f"spans of the {count} most audible directions"
    angles = ", ".join(f"{angle:.0f}°" for angle in comparison.angles)
    findings = {"Where they differ": "; ".join(comparison.differences)}
    if angles:
        findings["Angles"] = (
            f"{angles} between the {spans} ({statistic}). 0° is the same, 90° has nothing in common."
        )
    return Page(
        title=f"{names[0]} beside {names[1]}",
        facts=facts,
        findings=findings,
        sections=[
            Section(
                "Shared parameters", tables=[_parameters(comparison)], figures=_figures(comparison, names)
            )
        ],
    )


def _figures(comparison: Comparison, files: list[str]) -> list[Drawing]:
    """Return the levels and the identifiability of the parameters in either cache, as figures."""
    shown = comparison.parameters[:_MOST]
    names = labels([parameter.name for parameter in shown])
    sides = (f"A: {files[0]}", f"B: {files[1]}") if max(map(len, files)) <= 24 else ("A", "B")
    left = "" if len(shown) == len(comparison.parameters) else f" The {_MOST} that differ most are shown."
    level = "level in dB, median over the sounds"
    part = "identifiable part, median over the sounds"
    return [
        drawing(
            plots.paired_values(names, [p.levels for p in shown], sides, level, 1.2 * NOT_HEARD, 0.0),
            "levels",
            "Level of each parameter in A and in B",
            "How loudly either cache hears each parameter: the length of the Jacobian's column beside the longest "
            f"one. Below {NOT_HEARD:.0f} dB a parameter is not heard.{left}",
        ),
        drawing(
            plots.paired_values(names, [p.identifiability for p in shown], sides, part, 0.0, 1.0),
            "identifiability",
            "Identifiable part of each parameter in A and in B",
            "Part of a parameter's column that the other parameters cannot imitate. Below "
            f"{NOT_IDENTIFIABLE:g} it cannot be told apart from them.{left}",
        ),
    ]


def _parameters(comparison: Comparison) -> PageTable:
    words = tables.compared(comparison)
    rows: list[list[Cell]] = []
    for row, texts in zip(comparison.parameters, words.rows, strict=True):
        numbers = (*row.levels, *row.identifiability)
        rows.append(
            [
                *(cell(text) for text in texts[:3]),
                *(cell(n, t) for n, t in zip(numbers, texts[3:], strict=True)),
            ]
        )
    headings = ["parameter", "A", "B", "dB in A", "dB in B", "identifiable in A", "identifiable in B"]
    return PageTable(
        "shared parameters",
        headings,
        rows,
        frozenset({0, 1, 2}),
        sortable=True,
        searchable=len(rows) > 8,
        note=f"Those on which the two differ most come first. {words.note}",
    )
