"""Content of the page of a cache, section by section."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from pnp import diagnostics, plots
from pnp._protocols import FeatureMap, SynthesizerLike
from pnp.parameters.values import named_values
from pnp.report import tables
from pnp.report.figures import figures_of
from pnp.report.findings import by_step, median_identifiability
from pnp.report.format import physical, range_of, share_of_range, step_of
from pnp.report.html.parts import Cell, Drawing, Page, PageTable, Section, cell, drawing, page_table, setting
from pnp.report.html.steps import listen, spread_out
from pnp.report.records import CacheReport, MetricsReport
from pnp.store import FOLDS, MetricCache, Status
from pnp.synths.restriction import Restriction

# Rows of the table of sounds, and parameters whose values it shows, at most: the page is to open on a phone.
_MOST_ROWS, _MOST_VALUES = 1000, 8
_RADII, _DIRECTIONS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0), 4

# Description and caption of each figure.
_CAPTIONS = {
    "eigenvalues": (
        "distribution of each eigenvalue of M over the sounds",
        (
            "Eigenvalues of M over the sounds. The root of one is how far the representation moves for a unit step "
            "along its eigenvector."
        ),
    ),
    "eigenvectors": (
        "stacked bars of the share of each parameter in each eigenvector",
        (
            "Squared components of the eigenvectors, averaged over the sounds: which parameters the most and the least "
            "audible directions are made of."
        ),
    ),
    "mean-metric": (
        "heat map of the mean metric",
        "Mean of M over the sounds. Its diagonal says how strongly each parameter is heard.",
    ),
    "correlation": (
        "map of the median absolute cosine between every two parameters, clustered",
        (
            "Median over the sounds of |cosine| between what two parameters do: at 1, one is mistaken for the other. "
            "Parameters are ordered by complete linkage; groups that sound alike are framed."
        ),
    ),
    "ellipses": (
        "ellipses of equal distance over {pair}",
        "{pair}, others held fixed: small where the representation is sensitive, long towards what is hardly heard.",
    ),
    "condition": (
        "condition number of M over {pair}",
        "Ratio of the largest to the smallest eigenvalue at each sound, over {pair}.",
    ),
}


def page_of(
    cache: MetricCache,
    report: CacheReport,
    rows: list[int] | None,
    count: int,
    distance: float | None,
    synth: SynthesizerLike | None,
    features: FeatureMap | None,
    missing: list[str],
) -> Page:
    """Return the content of a page.

    Args:
        cache: Open cache.
        report: Report about the cache.
        rows: Sounds to be heard; None to choose some.
        count: Number of sounds to choose.
        distance: Metric distance of the steps around them; None to choose one.
        synth: Synthesizer of the cache, or None.
        features: Its feature map, or None.
        missing: Sentences about what cannot be shown, and why.
    """
    found, numbers = report.findings, report.metric
    sections = [Section("Parameters", tables=_parameter_tables(report))]
    if report.choices:
        sections.append(Section("Choices", tables=[page_table(table) for table in tables.choices(report)]))
    if numbers is not None:
        valid = cache.ok.nonzero().flatten()
        if rows is None:
            rows = [int(valid[i]) for i in spread_out(_positions(cache, valid), count)]
        spectrum = tables.spectrum(report, quantiles=5)
        sections.append(
            Section(
                "Spectrum of M",
                tables=[] if spectrum is None else [page_table(spectrum)],
                figures=_figures(cache, report, rows, synth, features),
            )
        )
        if rows:
            sections.append(_sounds(cache, rows, distance, synth, features))
    sections.append(_table_of_sounds(cache, report))
    return Page(
        title=f"The metric of {cache.path.name}",
        facts=tables.facts(report),
        findings={}
        if found is None
        else {
            "It hears": found.hears,
            "It confuses": found.confuses,
            "Where to doubt it": found.trust,
        },
        warnings=[*report.warnings, *missing],
        sections=sections,
    )


def _parameter_tables(report: CacheReport) -> list[PageTable]:
    numbers = report.metric
    if numbers is None:
        return [page_table(tables.parameters(report))]
    found = [_parameters(report, numbers)]
    groups = tables.groups(report)
    return found if groups is None else [*found, page_table(groups)]


def _parameters(report: CacheReport, numbers: MetricsReport) -> PageTable:
    table = tables.parameters(report)
    group_of = {p: k + 1 for k, group in enumerate(numbers.alike) for p in group}
    headings = [
        "parameter",
        "step",
        "of range",
        "identifiable",
        "sounds most like",
        "|cosine|",
        "group",
        "range",
    ]
    rows: list[list[Cell]] = []
    for p in by_step(numbers):
        row, step = report.parameters[p], numbers.steps[p]
        others = [(numbers.confusion[p][q], q) for q in range(len(report.names)) if q != p]
        cosine, nearest = max(others, default=(None, None))
        rows.append(
            [
                cell(row.name),
                cell(step.scaled, step_of(step, row.unit)),
                cell(step.scaled / 2, share_of_range(step)),
                cell(median_identifiability(numbers, p), f"{median_identifiability(numbers, p):.2f}"),
                cell("" if nearest is None else report.names[nearest]),
                cell(cosine, "" if cosine is None else f"{cosine:.2f}"),
                cell(group_of.get(p, "")),
                cell(range_of(row)),
            ]
        )
    note = f"{table.note} |cosine| with the parameter that sounds most like this one; group: those that sound alike."
    return PageTable(
        "parameters", headings, rows, frozenset({0, 4, 7}), sortable=True, searchable=len(rows) > 8, note=note
    )


def _figures(
    cache: MetricCache,
    report: CacheReport,
    rows: list[int],
    synth: SynthesizerLike | None,
    features: FeatureMap | None,
) -> list[Drawing]:
    drawn = []
    shown = {"ellipses": False, "condition": False}
    for name, draw in figures_of(cache, report).items():
        kind, _, pair = name.partition("-")
        kind = kind if kind in shown else name
        # The page shows one pair of parameters: the two most sensitive ones, or those that sound most alike.
        if kind not in _CAPTIONS or shown.get(kind):
            continue
        if kind in shown:
            shown[kind] = True
        label, caption = (text.format(pair=pair.replace("-", " and ")) for text in _CAPTIONS[kind])
        drawn.append(drawing(draw(), kind, label, caption))
    if synth is not None and features is not None and rows:
        drawn.append(_linearization(cache, rows, synth, features))
    return drawn


def _linearization(
    cache: MetricCache, rows: list[int], synth: SynthesizerLike, features: FeatureMap
) -> Drawing:
    errors = [
        diagnostics.linearization_error(
            cast("nn.Module", at),
            cast("nn.Module", features),
            cache.u[[row]],
            cache.metric([row]),
            radii=_RADII,
            directions=_DIRECTIONS,
            seed=place,
            dtype=getattr(torch, cache.config["precision"]),
        )
        for place, (row, at) in enumerate(zip(rows, _at_each(cache, synth, rows), strict=True))
    ]
    error = diagnostics.LinearizationError(
        errors[0].radii, *(torch.cat(column) for column in list(zip(*errors, strict=True))[1:])
    )
    trusted = float(error.trusted_radius(0.2).median())
    known = f"to a step of {trusted:g}" if trusted else f"to none of these steps, the least of {_RADII[0]:g}"
    return drawing(
        plots.linearization(error),
        "linearization",
        "relative error of the metric's distances against the length of the step",
        f"Distances by the metric beside true ones, around {len(rows)} sounds in {_DIRECTIONS} directions each. "
        f"The median error keeps within 20 % up {known} in the cube.",
    )


def _at_each(cache: MetricCache, synth: SynthesizerLike, rows: list[int]) -> list[SynthesizerLike]:
    """Return the synthesizer at each of some sounds, as one of the parameters that the metric is about.

    Choices, conditions and what `select` left out keep the values of the sound.
    """
    names = [name for name in cache.synth_space.column_names if name not in cache.space.names]
    if not names:
        return [synth] * len(rows)
    columns = [cache.synth_space.column(name) for name in names]
    fixed = [dict(zip(names, cache.theta[row, columns].tolist(), strict=True)) for row in rows]
    return [Restriction(cast("nn.Module", synth), values) for values in fixed]


def _sounds(
    cache: MetricCache,
    rows: list[int],
    distance: float | None,
    synth: SynthesizerLike | None,
    features: FeatureMap | None,
) -> Section:
    text = (
        "From each sound, steps of the same metric distance along eigenvectors, from the most audible to the least: if "
        "the metric is right, all differ from the sound itself by the same amount, but for those that the edge of the "
        "cube cuts off. What the features themselves say stands beside it."
    )
    count = len(cache.space)
    shown = list(range(count)) if count <= tables.FEW else [*range(6), count - 2, count - 1]
    if len(shown) < count:
        text += f" Of {count} eigenvectors, the six most audible and the two least audible ones are played."
    if synth is None:
        text += " The synthesizer cannot be rebuilt here, so there is nothing to play."
    rate = float(getattr(synth, "sample_rate", 0.0))
    metric, u = cache.metric(rows), cache.u[rows]
    dtype = getattr(torch, cache.config["precision"])
    synths = None if synth is None else _at_each(cache, synth, rows)
    heard = listen(
        range(len(rows)), metric, u, cache.space.names, distance, synths, features, dtype, shown, labels=rows
    )
    return Section(
        "Hear the metric",
        text,
        settings=[
            setting(one, cache.space, rate, shown, _others(cache, row))
            for one, row in zip(heard, rows, strict=True)
        ],
    )


def _others(cache: MetricCache, row: int) -> str:
    """Return the options and conditions of a sound, which its steps keep, in words."""
    named = named_values(cache.synth_space, cache.theta[row].tolist())
    kept = {name: value for name, value in named.items() if name not in cache.space.names}
    return ", ".join(
        f"{name} {value if isinstance(value, str) else physical(float(value), cache.synth_space[name].unit)}"
        for name, value in kept.items()
    )


def _table_of_sounds(cache: MetricCache, report: CacheReport) -> Section:
    found, numbers = report.survey, report.metric
    odd = torch.zeros(len(cache), dtype=torch.bool)
    odd[numbers.outliers if numbers else []] = True
    # Those that need looking at come first, then the others in their order.
    failed = cache.status > Status.OK
    order = (~(failed | odd)).long().argsort(stable=True)[:_MOST_ROWS].sort().values.tolist()
    notes = []
    if len(order) < len(cache):
        notes.append(
            f"{len(order):,} of {len(cache):,} sounds: those that failed, outliers, and the first of the others. "
            f"pnp inspect {cache.path.name} --index I shows any."
        )
    values = list(range(len(cache.space)))
    if len(values) > tables.FEW:
        values = by_step(numbers)[:_MOST_VALUES] if numbers else values[:_MOST_VALUES]
        notes.append(f"Values of {len(values)} of {len(cache.space)} parameters, the most sensitive ones.")
    headings = ["sound", "fold", "state", *(cache.space.names[p] for p in values)]
    # What is left of the columns that the synthesizer receives: choices, conditions, and what `select` left out.
    full = cache.synth_space
    kept = [c for c, p in enumerate(full.columns) if p.name not in cache.space.names][:_MOST_VALUES]
    headings += [full.columns[c].name for c in kept]
    headings += ["λ1", "condition", "effective rank", "least identifiable"]
    place = (cache.ok.long().cumsum(0) - 1).tolist()
    rows = []
    for row in order:
        state = cache.failures.get(row) or Status(int(cache.status[row])).name.lower()
        cells: list[Any] = [row, FOLDS[int(cache.fold[row])], "outlier" if odd[row] else state]
        cells += cache.theta[row, [full.column(cache.space.names[p]) for p in values]].tolist()
        cells += [full.columns[c].value(float(cache.theta[row, c])) for c in kept]
        if found is not None and bool(cache.ok[row]):
            i = place[row]
            least = cache.space.names[int(found.identifiability[i].argmin())]
            cells += [
                float(found.eigenvalues[i, 0]),
                float(found.condition[i]),
                float(found.effective_rank[i]),
                least,
            ]
        else:
            cells += [None] * 4
        rows.append([cell(value) for value in cells])
    options = {3 + len(values) + k for k, c in enumerate(kept) if full.columns[c].choices}
    words = frozenset({0, 1, 2, len(headings) - 1} | options)
    return Section(
        "All sounds",
        " ".join(notes),
        [PageTable("sounds of the cache", headings, rows, words, sortable=True)],
    )


def _positions(cache: MetricCache, rows: torch.Tensor) -> torch.Tensor:
    return cache.u[rows][:, : len(cache.space)]
