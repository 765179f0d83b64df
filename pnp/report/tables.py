"""Tables that the terminal and the page share: headings and rows of cells in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pnp._text import brief
from pnp.diagnostics import in_words
from pnp.report.comparison import Comparison
from pnp.report.findings import by_step, median_identifiability
from pnp.report.format import (
    column,
    label,
    listed,
    number,
    physical,
    range_of,
    scaled,
    share_of_range,
    step_of,
)
from pnp.report.records import CacheReport, Eigenvector, MetricReport, MetricsReport, SoundReport

# Eigenvectors shown where not all are: at least and at most so many of the most audible ones.
_FEWEST, _MOST = 3, 5
# Up to so many parameters, everything is shown.
FEW = 12

_MEDIAN = "median"


@dataclass(frozen=True)
class Table:
    """Table of text.

    Attributes:
        title: Name of the table.
        headings: Headings of the columns; the first column names the rows.
        rows: Cells.
        align: One letter a column, "l" or "r".
        note: Sentence below the table: which statistic it shows, and what is left out.
    """

    title: str
    headings: list[str]
    rows: list[list[str]]
    align: str
    note: str = ""


def facts(report: CacheReport) -> dict[str, str]:
    """Return the identity of a cache and how complete it is, by term."""
    sounds = report.sounds
    return {
        "synthesizer": label(report.synthesizer),
        "features": f"{label(report.features)}, {report.n_features:,} coefficients",
        **({"derivatives": report.derivatives} if report.derivatives else {}),
        "stored": ", ".join(["metric", *report.stored]),
        "sounds": f"{sounds.ok:,} of {sounds.total:,} with a metric, {sounds.failed:,} failed, "
        f"{sounds.pending:,} pending",
        **{f"choice {name}": listed(options) for name, options in report.choices.items()},
        **{f"condition {row.name}": range_of(row) for row in report.conditions},
        "folds": ", ".join(f"{count:,} {name}" for name, count in report.folds.items()),
        "fingerprint": report.fingerprint[:16],
    }


def parameters(report: CacheReport, most: int | None = None) -> Table:
    """Return the parameters, the most sensitive first, and how well each is heard.

    Args:
        report: Report about a cache.
        most: Rows at most; inaudible parameters are the first to go.
    """
    numbers = report.metric
    if numbers is None:
        rows = [[row.name, range_of(row)] for row in report.parameters[:most]]
        return Table("parameters", ["parameter", "range"], rows, "ll")
    order = by_step(numbers)
    names = report.names if most is None else brief(report.names)
    rows = []
    for p in order[:most]:
        step, row = numbers.steps[p], report.parameters[p]
        rows.append(
            [
                names[p],
                step_of(step, row.unit),
                share_of_range(step),
                f"{median_identifiability(numbers, p):.2f}",
                range_of(row),
            ]
        )
    return Table(
        "parameters",
        ["parameter", "step", "of range", "identifiable", "range"],
        rows,
        "lrrrl",
        f"Step: what changes the representation by {numbers.distance:g}, this parameter alone. "
        "Medians over the sounds.",
    )


def settings(report: SoundReport, most: int | None = None) -> Table:
    """Return the parameters of one sound: values, and how well each is heard there, the most sensitive first.

    Args:
        report: Report about a sound.
        most: Rows at most.
    """
    numbers = report.metric
    order = list(range(len(report.names)))
    if numbers is not None:
        order.sort(key=lambda p: numbers.steps[p].scaled)
    shown = [report.parameters[p] for p in order[:most]]
    names = report.names if most is None else brief(report.names)
    rows = [
        [names[p], physical(row.value, row.unit), f"{row.scaled:+.3f}"]
        for p, row in zip(order, shown, strict=False)
    ]
    headings, align = ["parameter", "value", "in the cube"], "lrr"
    if numbers is not None:
        headings, align = [*headings, "step", "of range", "identifiable"], align + "rrr"
        for p, row in zip(order, rows, strict=False):
            step = numbers.steps[p]
            row += [
                step_of(step, report.parameters[p].unit),
                share_of_range(step),
                f"{numbers.identifiability[p]:.2f}",
            ]
    note = "" if numbers is None else f"Step: what changes the representation by {numbers.distance:g}."
    return Table("parameters", headings, rows, align, note)


def leading(numbers: MetricsReport | MetricReport) -> list[int]:
    """Return the eigenvectors that matter: all of a few; of many, as many as the effective rank, and the last one."""
    count = len(numbers.eigenvector_steps)
    if count <= FEW:
        return list(range(count))
    effective = (
        numbers.effective_rank
        if isinstance(numbers, MetricReport)
        else numbers.effective_rank[numbers.quantiles.index(0.5)]
    )
    shown = min(_MOST, max(_FEWEST, math.ceil(effective)))
    return [*range(shown), count - 1]


def spectrum(
    report: CacheReport, everything: bool = False, room: int | None = None, quantiles: int = 3
) -> Table | None:
    """Return quantiles of the eigenvalues over the sounds, beside the eigenvectors of the mean metric.

    Args:
        report: Report about a cache.
        everything: Show all eigenvalues.
        room: Characters for an eigenvector; small terms are left out until it fits.
        quantiles: 3 for the quartiles, 5 for minimum and maximum as well.
    """
    numbers = report.metric
    if numbers is None:
        return None
    chosen = range(len(report.names)) if everything else leading(numbers)
    middle = slice(0, 5) if quantiles == 5 else slice(1, 4)
    names = ["min", "25 %", _MEDIAN, "75 %", "max"][middle]
    rows = [
        [
            f"λ{k + 1}",
            *map(column, numbers.spectrum[k][middle]),
            scaled(numbers.eigenvector_steps[k]),
            phrase(numbers.mean.eigenvectors[k], report.names, room),
        ]
        for k in chosen
    ]
    for name, values in (("condition", numbers.condition), ("effective rank", numbers.effective_rank)):
        rows.append([name, *map(column, values[middle]), "", ""])
    note = "Quantiles over the sounds; step: median, in the cube."
    if len(chosen) < len(report.names):
        note += f" {len(report.names) - len(chosen)} eigenvalues in between are left out."
    return Table(
        "spectrum of M",
        ["", *names, "step", "eigenvector of the mean metric"],
        rows,
        "l" + "r" * (len(names) + 1) + "l",
        note,
    )


def spectrum_of_sound(report: SoundReport, everything: bool = False, room: int | None = None) -> Table | None:
    """Return the eigenvalues and eigenvectors of one sound; arguments as those of `spectrum`."""
    numbers = report.metric
    if numbers is None:
        return None
    chosen = range(len(report.names)) if everything else leading(numbers)
    rows = [
        [
            f"λ{k + 1}",
            column(numbers.eigenvalues[k]),
            scaled(numbers.eigenvector_steps[k]),
            phrase(numbers.eigenvectors[k], report.names, room),
        ]
        for k in chosen
    ]
    rows += [
        ["condition", column(numbers.condition), "", ""],
        ["effective rank", column(numbers.effective_rank), "", ""],
    ]
    left = len(report.names) - len(chosen)
    note = f"{left} eigenvalues in between are left out." if left else ""
    return Table("spectrum of M", ["", "eigenvalue", "step", "eigenvector"], rows, "lrrl", note)


def phrase(eigenvector: Eigenvector, names: Sequence[str], room: int | None = None) -> str:
    """Return an eigenvector in words, with as many terms as there is room for, and one at least."""
    if room is None:
        return eigenvector.words
    terms, short = len(names), brief(names)
    while (words := in_words(eigenvector.components, short, most=terms)) and len(words) > room and terms > 1:
        terms = min(terms - 1, 6)
    return words


def choices(report: CacheReport) -> list[Table]:
    """Return the distances between the options of each choice."""
    found = []
    for name, options in report.choices.items():
        rows = [
            [option, *(number(distance, 2) if i != j else "–" for j, distance in enumerate(row))]
            for i, (option, row) in enumerate(zip(options, report.choice_distances[name], strict=True))
        ]
        note = "Distance between a sound with one option and the same sound with the other, median over the sounds."
        found.append(Table(name, [name, *options], rows, "l" + "r" * len(options), note))
    return found


def choice_summary(report: CacheReport) -> Table:
    """Return each choice with its most alike and its most different options."""
    rows = []
    for name, options in report.choices.items():
        pairs = [
            (distance, f"{options[j]}, {options[i]}")
            for i, row in enumerate(report.choice_distances[name])
            for j, distance in enumerate(row[:i])
            if not math.isnan(distance)
        ]
        if pairs:
            (low, alike), (high, apart) = min(pairs), max(pairs)
            rows.append([name, number(low, 2), alike, number(high, 2), apart])
    headings = ["choice", "least", "most alike", "largest", "least alike"]
    return Table("choices", headings, rows, "lrlrl", "Median distance between two options.")


def groups(report: CacheReport) -> Table | None:
    """Return the groups of parameters that sound alike, with the least |cosine| in each."""
    numbers = report.metric
    if numbers is None or not numbers.alike:
        return None
    rows = []
    for place, group in enumerate(numbers.alike):
        least = min(numbers.confusion[i][j] for i in group for j in group if i != j)
        rows.append([str(place + 1), f"{least:.2f}", listed([report.names[p] for p in group])])
    return Table(
        "sound alike",
        ["group", "least |cosine|", "parameters"],
        rows,
        "lrl",
        "|cosine|: median over the sounds.",
    )


def matrix(values: Sequence[Sequence[float]], names: Sequence[str], title: str, digits: str = "") -> Table:
    """Return a matrix over the parameters as a table.

    Args:
        values: (P, P).
        names: Names of the P parameters.
        title: Name of the matrix, with its statistic.
        digits: Format of an entry, such as ".2f"; three significant digits by default.
    """
    # Adding zero turns −0.00 into 0.00.
    rows = [
        [name, *(format(round(value, 2) + 0.0, digits) if digits else column(value) for value in row)]
        for name, row in zip(names, values, strict=True)
    ]
    return Table(title, ["", *names], rows, "l" + "r" * len(names))


def compared(comparison: Comparison, most: int | None = None) -> Table:
    """Return the shared parameters as two caches hear them, those on which they differ most first."""
    words = {True: "heard", False: "–"}
    rows = [
        [
            row.name,
            *(words[heard] for heard in row.heard),
            *(number(level, 2) for level in row.levels),
            *(f"{part:.2f}" for part in row.identifiability),
        ]
        for row in comparison.parameters[:most]
    ]
    return Table(
        "parameters",
        ["parameter", "A", "B", "dB: A", "B", "identifiable: A", "B"],
        rows,
        "lllrrrr",
        "dB: length of the Jacobian's column beside the longest one. Medians over the sounds.",
    )
