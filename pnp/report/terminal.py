"""Reports in lines for a terminal, a pipe or a log: no wider than asked for, without escape codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pnp._text import brief, printable
from pnp.report import tables
from pnp.report.comparison import Comparison
from pnp.report.findings import closest_pair
from pnp.report.format import listed, number
from pnp.report.layout import fitted, wrapped
from pnp.report.records import CacheReport, SoundReport
from pnp.report.tables import Table

# Lines of two screens of an ordinary terminal; a report stays below, and says what it leaves out.
_TWO_SCREENS = 46
# Columns that a report needs at least, however narrow the terminal.
_NARROWEST = 40
# Parameters shown at least; words in a row and groups of parameters at most, where not everything is shown.
_FEWEST, _WORDS, _GROUPS, _GROUP = 3, 10, 5, 8


def as_text(report: CacheReport | SoundReport, width: int = 80, everything: bool = False) -> str:
    """Return a report in lines for a terminal.

    Args:
        report: Report about a cache or a sound.
        width: Columns of the terminal.
        everything: Show all parameters, eigenvalues and matrices, as long as it takes. Otherwise the report has two
            screens at most.

    Returns:
        Text without a final line break.
    """
    width = max(width, _NARROWEST)
    build = _cache_lines if isinstance(report, CacheReport) else _sound_lines
    most = None if everything else len(report.parameters)
    lines = list(build(report, width, most))  # type: ignore[arg-type]
    # The table of parameters takes what the other sections leave.
    while most is not None and most > _FEWEST and len(lines) > _TWO_SCREENS:
        most = max(_FEWEST, most - max(1, (len(lines) - _TWO_SCREENS) // 3))
        lines = list(build(report, width, most))  # type: ignore[arg-type]
    return "\n".join(printable(line.rstrip()) for line in lines)


def _cache_lines(report: CacheReport, width: int, most: int | None) -> Iterator[str]:
    """Lines about a cache; with `most` as None everything, else so many parameters and a summary of the rest."""
    everything = most is None
    yield from _identity(report, width, everything)
    found, numbers = report.findings, report.metric
    yield ""
    if found is None or numbers is None:
        yield from _section(tables.parameters(report, most), width, "parameters")
        yield from _more(len(report.names), most, "parameters", width)
    else:
        shown = len(report.names) if most is None else min(most, len(found.heard))
        if shown:
            title = f"heard, most sensitive first; step: a distance of {numbers.distance:g}, median sound"
            yield from _section(tables.parameters(report, shown), width, title)
            yield from _more(
                len(report.names) if everything else len(found.heard),
                shown,
                "parameters that are heard",
                width,
            )
        else:
            yield f"nothing is heard: no parameter makes a distance of {numbers.distance:g}"
        yield from _alike(report, width, everything)
        if found.inaudible:
            words = listed(found.inaudible, None if everything else _WORDS)
            yield from wrapped(
                f"inaudible (below a distance of {numbers.distance:g} over the whole range, median sound): {words}",
                width,
            )
    summary = tables.choice_summary(report)
    if summary.rows:
        yield ""
        yield from _section(summary, width, "choices; median distance between two options")
    if report.warnings:
        yield ""
    for warning in report.warnings:
        yield from wrapped(f"warning: {warning}", width)
    table = tables.spectrum(report, everything, room=None if everything else max(18, width - 48))
    if table is None or numbers is None or found is None:
        return
    yield ""
    yield from _section(table, width, "spectrum of M, quantiles over the sounds; median step in the cube")
    yield from _more(len(report.names), len(table.rows) - 2, "eigenvalues", width)
    if not everything and brief(report.names) != report.names:
        yield "  … stands for the middle of a long name: --all"
    if everything:
        yield ""
        yield from wrapped(f"trust: {found.trust}", width)
        for values, title, digits in (
            (numbers.confusion, "median |cosine|", ".2f"),
            (numbers.mean.matrix, "mean metric", ""),
            (numbers.mean.correlation, "cosine, mean metric", ".2f"),
        ):
            yield ""
            yield from _section(tables.matrix(values, report.names, title, digits), width, title)
        for table in tables.choices(report):
            yield ""
            yield from _section(table, width, f"distance between options of {table.title}, median")


def _identity(report: CacheReport, width: int, everything: bool) -> Iterator[str]:
    yield from wrapped(report.cache, width)
    facts = tables.facts(report)
    if not everything:
        short = ("synthesizer", "features", "derivatives", "sounds")
        facts = {
            name: facts[name] for name in facts if name in short or name.startswith(("choice", "condition"))
        }
    yield from _fields(facts, width)
    reasons = list(report.failures.items())
    for reason, count in reasons if everything else reasons[:3]:
        rows = [str(failed.sound) for failed in report.failed_sounds if failed.reason == reason]
        yield from wrapped(f"{count:,} × {reason} (sound {listed(rows, 8)})", width, "  ")
    if not everything:
        yield from _more(len(reasons), min(3, len(reasons)), "reasons of failure", width)


def _alike(report: CacheReport, width: int, everything: bool) -> Iterator[str]:
    found, numbers = report.findings, report.metric
    if found is None or numbers is None:
        return
    pair = closest_pair(numbers)
    if found.alike:
        yield ""
        yield from wrapped("sound alike (least median |cosine| between two of a group)", width)
        table = tables.groups(report)
        rows = [] if table is None else table.rows
        for place, group in enumerate(found.alike if everything else found.alike[:_GROUPS]):
            words = listed(group, None if everything else _GROUP)
            yield from wrapped(f"{rows[place][1]}  {words}", width, "  ", "        ")
        if not everything:
            yield from _more(len(found.alike), min(_GROUPS, len(found.alike)), "groups", width)
    elif pair is not None:
        i, j = pair
        yield from wrapped(
            f"no two sound alike; closest come {report.names[i]} and {report.names[j]} (median |cosine| "
            f"{numbers.confusion[i][j]:.2f})",
            width,
        )
    if found.imitated:
        words = listed(found.imitated, None if everything else _WORDS)
        yield from wrapped(f"imitated by all others together (median sound): {words}", width)


def _sound_lines(report: SoundReport, width: int, most: int | None) -> Iterator[str]:
    everything, numbers = most is None, report.metric
    yield from wrapped(f"{report.cache}, sound {report.sound}", width)
    others = {
        name: value if isinstance(value, str) else f"{value:g}" for name, value in report.others.items()
    }
    yield from _fields({"fold": report.fold, "status": report.status} | others, width)
    if report.failure:
        yield from wrapped(report.failure, width, "  ")
    rows = tables.settings(report, most)
    title = "parameters" if numbers is None else f"parameters; step: a distance of {numbers.distance:g}"
    yield ""
    yield from _section(rows, width, title)
    yield from _more(len(report.names), len(rows.rows), "parameters", width)
    table = tables.spectrum_of_sound(report, everything, room=None if everything else max(18, width - 48))
    if table is None or numbers is None:
        return
    yield ""
    yield from _section(table, width, "spectrum of M; step in the cube")
    yield from _more(len(report.names), len(table.rows) - 2, "eigenvalues", width)
    if everything:
        for values, title, digits in ((numbers.matrix, "M", ""), (numbers.correlation, "cosine", ".2f")):
            yield ""
            yield from _section(tables.matrix(values, report.names, title, digits), width, title)


def comparison_as_text(comparison: Comparison, width: int = 80, everything: bool = False) -> str:
    """Return two caches side by side in lines for a terminal.

    Args:
        comparison: Result of `compare`.
        width: Columns of the terminal.
        everything: Show all parameters, beyond two screens.

    Returns:
        Text without a final line break.
    """
    width = max(width, _NARROWEST)
    most = None if everything else len(comparison.parameters)
    lines = list(_comparison_lines(comparison, width, most))
    if most is not None and len(lines) > _TWO_SCREENS:
        most = max(_FEWEST, most - (len(lines) + 1 - _TWO_SCREENS))
        lines = list(_comparison_lines(comparison, width, most))
    return "\n".join(printable(line.rstrip()) for line in lines)


def _comparison_lines(comparison: Comparison, width: int, most: int | None) -> Iterator[str]:
    for letter, side in zip("AB", comparison.sides, strict=True):
        yield from wrapped(f"{letter}  {side.cache}", width)
        yield from wrapped(f"{side.synthesizer}; {side.features}", width, "   ", "   ")
        summary = (
            f"{side.sounds:,} sounds; medians: effective rank {number(side.effective_rank)}, condition number "
            f"{number(side.condition)}"
        )
        yield from wrapped(summary, width, "   ", "   ")
        if side.only:
            yield from wrapped(
                f"held fixed, for the other lacks them: {listed(side.only, _WORDS)}", width, "   ", "   "
            )
    yield ""
    for sentence in comparison.differences:
        yield from wrapped(sentence, width)
    same = comparison.same_sounds
    statistic = "median over the same sounds" if same else "between the mean metrics: the sounds differ"
    angles = ", ".join(f"{angle:.0f}°" for angle in comparison.angles)
    if angles and comparison.directions == 1:
        yield from wrapped(f"angle between the most audible directions ({statistic}): {angles}", width)
    elif angles:
        yield from wrapped(
            f"angles between the spans of the {comparison.directions} most audible directions ({statistic}): {angles}",
            width,
        )
    yield ""
    table = tables.compared(comparison, most)
    yield from _section(
        table, width, "shared parameters, the largest differences first; dB: beside the loudest, medians"
    )
    yield from _more(len(comparison.parameters), most, "shared parameters", width)


def _section(table: Table, width: int, title: str) -> Iterator[str]:
    yield from wrapped(title, width)
    yield from fitted(table, width)


def _more(total: int, shown: int | None, noun: str, width: int) -> Iterator[str]:
    left = 0 if shown is None else total - shown
    if left > 0:
        yield from wrapped(f"… and {left:,} more of {total:,} {noun}: --all", width, "  ")


def _fields(fields: Mapping[str, str], width: int) -> Iterator[str]:
    indent = max(map(len, fields))
    for name, value in fields.items():
        yield from wrapped(value, width, f"  {name:<{indent}}  ", " " * (indent + 4))
