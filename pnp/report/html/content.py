"""What stands on the page of a cache, section by section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from pnp import diagnostics, plots
from pnp.metric.riemannian import RiemannianMetric
from pnp.report.html.elements import facts, figure, listed, setting, table
from pnp.report.html.steps import listen, spread_out
from pnp.report.terminal import cache_facts, parameter_table, spectrum_table
from pnp.store import FOLDS, MetricCache, Status

# Rows of the table of sounds at most, so that the page opens on a phone.
_MOST_ROWS = 1000
_RADII, _DIRECTIONS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0), 4


def sections(
    cache: MetricCache,
    report: dict[str, Any],
    rows: list[int] | None,
    count: int,
    distance: float | None,
    synth: nn.Module | None,
    features: nn.Module | None,
    missing: list[str],
) -> Iterator[str]:
    """Sections of a page.

    Args:
        cache: Open cache.
        report: Its report.
        rows: Sounds to be heard; None to choose some.
        count: How many to choose.
        distance: Metric distance of the steps around them; None to choose one.
        synth: Synthesizer of the cache, or None.
        features: Its feature map, or None.
        missing: What cannot be shown, and why.

    Yields:
        HTML.
    """
    metric, names = cache.metrics(), cache.space.names
    known = bool(metric.valid.any())
    yield f"<h1>The metric of {cache.path.name}</h1>"
    if known:
        yield facts(
            {
                "It hears": report["findings"]["hears"],
                "It confuses": report["findings"]["confuses"],
                "Where to doubt it": report["findings"]["trust"],
            },
            "findings",
        )
    yield listed([*report["warnings"], *missing], "warnings")
    yield facts(cache_facts(report))
    yield "<h2>Parameters</h2>"
    columns, cells = parameter_table(report)
    yield table("parameters", ["name", *columns], [[n, *c] for n, c in zip(names, cells, strict=True)])
    if known:
        yield "<h2>Spectrum of M</h2>"
        columns, labels, cells = spectrum_table(report["metric"], names)
        yield table(
            "spectrum of M", ["", *columns], [[n, *c] for n, c in zip(labels, cells, strict=True)], words=1
        )
        yield '<div class="figures">'
        yield from _figures(metric, cache)
        chosen = spread_out(metric, cache.u, count) if rows is None else rows
        if synth is not None and features is not None and chosen:
            yield _linearization(metric, cache, chosen, synth, features)
        yield "</div>"
        if chosen:
            yield from _sounds(cache, metric, chosen, distance, synth, features)
    yield "<h2>All sounds</h2>"
    yield from _table_of_sounds(cache, metric)


def _figures(metric: RiemannianMetric, cache: MetricCache) -> Iterator[str]:
    names, mean = cache.space.names, metric.mean()
    yield figure(
        plots.eigenvalue_distributions(metric),
        "eigenvalues",
        "box plots of each eigenvalue of M over the sounds",
        "The root of an eigenvalue is how far the representation moves for a unit step along its eigenvector.",
    )
    yield figure(
        plots.eigenvector_composition(metric, names),
        "eigenvectors",
        "stacked bars of the share of each parameter in each eigenvector",
        "Which parameters the most and the least audible directions are made of.",
    )
    yield figure(
        plots.metric_heatmap(mean.matrix, names),
        "mean",
        "heat map of the mean metric",
        "The mean metric. Its diagonal says how strongly each parameter is heard.",
    )
    yield figure(
        plots.metric_heatmap(diagnostics.correlation(mean), names, normalized=True),
        "correlation",
        "heat map of the normalized mean metric",
        "Cosines between what two parameters do: at ±1 one is mistaken for the other.",
    )
    if len(names) > 1:
        # The two most audible parameters, where there is most to see.
        first, second = (int(p) for p in mean.matrix.diagonal().argsort(descending=True)[:2])
        pair = f"{names[first]} and {names[second]}"
        yield figure(
            plots.metric_ellipses(metric, cache.space, cache.u, (first, second)),
            "ellipses",
            f"ellipses of equal distance over {pair}",
            "Small where the representation is sensitive, long towards what is hardly heard.",
        )
        yield figure(
            plots.condition_map(metric, cache.space, cache.u, (first, second)),
            "condition",
            f"condition number of M over {pair}",
            "Ratio of the largest to the smallest eigenvalue.",
        )


def _linearization(
    metric: RiemannianMetric, cache: MetricCache, rows: list[int], synth: nn.Module, features: nn.Module
) -> str:
    error = diagnostics.linearization_error(
        synth,
        features,
        cache.u[rows],
        metric[torch.tensor(rows)],
        radii=_RADII,
        directions=_DIRECTIONS,
        dtype=getattr(torch, cache.config["precision"]),
    )
    trusted = float(error.trusted_radius(0.2).median())
    known = f"to a step of {trusted:g}" if trusted else f"to none of these steps, the least of {_RADII[0]:g}"
    return figure(
        plots.linearization(error),
        "linearization",
        "relative error of the metric's distances against the length of the step",
        f"Distances by the metric beside true ones, around {len(rows)} sounds in {_DIRECTIONS} directions each. "
        f"The median error keeps within 20 % up {known} in the cube.",
    )


def _sounds(
    cache: MetricCache,
    metric: RiemannianMetric,
    rows: list[int],
    distance: float | None,
    synth: nn.Module | None,
    features: nn.Module | None,
) -> Iterator[str]:
    yield "<h2>Hear the metric</h2>"
    yield (
        "<p>From each sound, steps of the same metric distance along every eigenvector, from the most audible to "
        "the least: if the metric is right, all differ from the sound itself by the same amount, but for those "
        "that the edge of the cube cuts off. What the features themselves say stands beside it.</p>"
    )
    if synth is None:
        yield "<p>The synthesizer cannot be rebuilt here, so there is nothing to play.</p>"
    rate = float(getattr(synth, "sample_rate", 0.0))
    dtype = getattr(torch, cache.config["precision"])
    for listening in listen(rows, metric, cache.u, cache.space.names, distance, synth, features, dtype):
        yield setting(listening, cache.space, rate)


def _table_of_sounds(cache: MetricCache, metric: RiemannianMetric) -> Iterator[str]:
    odd = diagnostics.outliers(metric)
    # Those that need looking at come first, then the others in their order.
    failed = cache.status > Status.OK
    order = (~(failed | odd)).long().argsort(stable=True)[:_MOST_ROWS].sort().values.tolist()
    if len(order) < len(cache):
        yield (
            f"<p>{len(order)} of {len(cache)} sounds: those that failed, outliers, and the first of the others. "
            f"<code>pnp inspect {cache.path.name} --index I</code> shows any.</p>"
        )
    columns = ["sound", "fold", "state", *cache.space.names, "λ1", "condition", "effective rank"]
    columns += ["least identifiable"]
    identifiability = diagnostics.identifiability(metric)
    condition, rank = metric.condition, metric.effective_rank()
    rows = []
    for row in order:
        state = cache.failures.get(row) or Status(int(cache.status[row])).name.lower()
        cells: list[Any] = [row, FOLDS[int(cache.fold[row])], "outlier" if odd[row] else state]
        cells += cache.theta[row].tolist()
        if bool(metric.valid[row]):
            least = cache.space.names[int(identifiability[row].argmin())]
            cells += [float(metric.eigenvalues[row, 0]), float(condition[row]), float(rank[row]), least]
        else:
            cells += [None] * 4
        rows.append(cells)
    yield table("sounds of the cache", columns, rows, sortable=True, words=1)
