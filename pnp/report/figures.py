"""Figures about a cache or a sound, by name, drawn one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch

from pnp import plots
from pnp._text import did_you_mean, labels
from pnp.report.findings import by_step
from pnp.report.numbers import check_row
from pnp.report.records import CacheReport
from pnp.store import MetricCache
from pnp.store.metrics import StoredMetrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Sounds whose ellipses are drawn.
_ELLIPSES = 64
_PAIRS = ("ellipses", "condition")

Draw: TypeAlias = "Callable[[], Figure]"


def chosen_pairs(report: CacheReport, most: int = 3) -> list[tuple[int, int]]:
    """Return pairs of parameters worth a look: the two most sensitive ones, then those that sound most alike.

    Args:
        report: Report about a cache that has metrics.
        most: Pairs at most.
    """
    numbers = report.metric
    if numbers is None or len(report.names) < 2:
        return []
    first, second = sorted(by_step(numbers)[:2])
    alike = sorted(
        ((numbers.confusion[i][j], j, i) for i in range(len(report.names)) for j in range(i)), reverse=True
    )
    pairs = [(first, second), *((j, i) for _, j, i in alike if (j, i) != (first, second))]
    return pairs[:most]


def figures_of(cache: MetricCache, report: CacheReport) -> dict[str, Draw]:
    """Return the figures about a cache that are worth a look, by name; none is drawn before its call.

    Args:
        cache: Open cache.
        report: Report about the cache.
    """
    found = report.survey
    if found is None:
        return {}
    names, rows = cache.space.names, cache.ok.nonzero().flatten()
    short = labels(names)
    drawn: dict[str, Draw] = {
        "overview": lambda: plots.overview(
            StoredMetrics(cache, rows)[:], cache.space, _positions(cache, rows)
        ),
        "eigenvalues": lambda: plots.eigenvalue_distributions(found),
        "eigenvectors": lambda: plots.eigenvector_composition(found, short),
        "mean-metric": lambda: plots.metric_heatmap(found.mean.matrix, short, title="Mean of M"),
        "correlation": lambda: plots.confusion_map(found.cosines, short),
    }
    for pair in chosen_pairs(report):
        for kind in _PAIRS:
            drawn[f"{kind}-{names[pair[0]]}-{names[pair[1]]}"] = pair_figure(cache, report, kind, pair)
    return drawn


def pair_figure(cache: MetricCache, report: CacheReport, kind: str, pair: tuple[int, int]) -> Draw:
    """Return the figure of a kind, "ellipses" or "condition", over two parameters."""
    rows = cache.ok.nonzero().flatten()
    found = report.survey
    if kind == "condition" and found is not None:
        return lambda: plots.condition_map(found, cache.space, _positions(cache, rows), pair)
    few = rows[:_ELLIPSES]
    return lambda: plots.metric_ellipses(
        StoredMetrics(cache, few)[:], cache.space, _positions(cache, few), pair
    )


def figures_of_sound(cache: MetricCache, row: int) -> dict[str, Draw]:
    """Return the figures about one sound, by name.

    Raises:
        IndexError: If there is no such row.
    """
    from pnp import diagnostics

    check_row(cache, row)
    if not bool(cache.ok[row]):
        return {}
    metric, names = cache.metric(row), labels(cache.space.names)
    return {
        f"metric-{row}": lambda: plots.metric_heatmap(metric.matrix, names),
        f"correlation-{row}": lambda: plots.metric_heatmap(
            diagnostics.correlation(metric), names, normalized=True
        ),
    }


def pick(cache: MetricCache, report: CacheReport, wanted: Sequence[str]) -> dict[str, Draw]:
    """Return the figures asked for.

    Args:
        cache: Open cache.
        report: Report about the cache.
        wanted: Names of figures, or kinds such as "ellipses" for all of them; "ellipses-A-B" over any two parameters.

    Raises:
        ValueError: If there is no such figure.
    """
    known = figures_of(cache, report)
    names = cache.space.names
    picked: dict[str, Draw] = {}
    for name in wanted:
        kind, _, rest = name.partition("-")
        first, _, second = rest.partition("-")
        matching = {key: draw for key, draw in known.items() if key == name or key.startswith(f"{name}-")}
        if matching:
            picked |= matching
        elif kind in _PAIRS and first in names and second in names and first != second:
            picked[name] = pair_figure(cache, report, kind, (names.index(first), names.index(second)))
        else:
            raise ValueError(
                f"unknown figure {name!r}, expected one of {', '.join(known)}, or ellipses-A-B and condition-A-B "
                f"with two parameters{did_you_mean(name, known)}"
            )
    return picked


def write_figures(figures: dict[str, Draw], folder: Path) -> list[Path]:
    """Write figures as PNG, one at a time, so that no two are in memory.

    Args:
        figures: Figures by name.
        folder: Directory to write into; made if it is not there.

    Returns:
        Files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in figures.items():
        path = folder / f"{name}.png"
        draw().savefig(path, dpi=120)
        written.append(path)
    return written


def _positions(cache: MetricCache, rows: torch.Tensor) -> torch.Tensor:
    return cache.u[rows][:, : len(cache.space)]
