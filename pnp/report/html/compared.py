"""Content of the page about two caches side by side."""

from __future__ import annotations

from pathlib import Path

from pnp.report import tables
from pnp.report.comparison import Comparison
from pnp.report.format import number
from pnp.report.html.parts import Cell, Page, PageTable, Section, cell


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
        sections=[Section("Shared parameters", tables=[_parameters(comparison)])],
    )


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
