"""Numbers about a cache, or about one of its sounds."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from pnp import diagnostics
from pnp._arguments import finite_number
from pnp.diagnostics import Survey
from pnp.metric.riemannian import RiemannianMetric
from pnp.metric.sequence import MetricSequence
from pnp.parameters import Parameter, ParameterSpace
from pnp.parameters.values import named_values
from pnp.report.findings import findings, warnings
from pnp.report.records import (
    AxisStep,
    CacheReport,
    Eigenvector,
    FailedSound,
    FieldChange,
    MeanMetric,
    MetricReport,
    MetricsReport,
    ParameterRow,
    SettingRow,
    SoundCounts,
    SoundReport,
)
from pnp.store import FOLDS, MetricCache, Status
from pnp.store.metrics import StoredMetrics

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)

# Sounds at most whose neighbours are looked up, and entries of their neighbours' matrices: all pairs of a large cache
# would take minutes.
_MOST_NEIGHBOURHOODS, _LEAST_NEIGHBOURHOODS, _NEIGHBOUR_ENTRIES = 2048, 128, 2**26
# Entries of metrics that are held at once, 32 MB; more are read where they are asked for, some of them twice.
_ENTRIES = 2**22


def cache_report(cache: MetricCache, distance: float = 1.0) -> CacheReport:
    """Return the numbers about a cache and its metrics.

    Args:
        cache: Open cache.
        distance: Distance in the representation for which steps are given.

    Returns:
        Report; its "metric" is None where no sound has one.

    Raises:
        ValueError: If `distance` is not positive.
    """
    distance = finite_number("distance", distance, above=0)
    rows = cache.ok.nonzero().flatten()
    metric = metrics_of(cache, rows)
    found = diagnostics.survey(metric) if len(rows) else None
    sounds = SoundCounts(
        total=len(cache),
        ok=len(rows),
        failed=len(cache.failures),
        pending=int((cache.status == Status.PENDING).sum()),
    )
    positions = cache.u[rows][:, : len(cache.space)]
    numbers = None if found is None else _metrics(found, metric, positions, rows, cache.space, distance)
    return CacheReport(
        cache=str(cache.path),
        fingerprint=cache.fingerprint,
        synthesizer=cache.config.get("synthesizer"),
        features=cache.config.get("features"),
        n_features=cache.header.n_features,
        derivatives=str(cache.header.derivatives.get("summary", "")),
        stored=list(cache.stored),
        sounds=sounds,
        folds={name: int((cache.fold == number).sum()) for number, name in enumerate(FOLDS)},
        failures=dict(Counter(cache.failures.values()).most_common()),
        failed_sounds=[FailedSound(row, reason) for row, reason in cache.failures.items()],
        parameters=[ParameterRow(**_range(parameter)) for parameter in cache.space],
        choices={choice.name: list(choice.choices) for choice in cache.space.choices},
        choice_distances={
            choice.name: _choice_distances(cache, choice.name) for choice in cache.space.choices
        },
        conditions=[ParameterRow(**_range(condition)) for condition in cache.space.conditions],
        metric=numbers,
        findings=None if numbers is None else findings(sounds, cache.space.names, numbers),
        warnings=warnings(sounds, cache.space.names, numbers),
        survey=found,
    )


def _choice_distances(cache: MetricCache, name: str) -> list[list[float]]:
    """Return the median distance between every two options of a choice, over the sounds that have one of both."""
    names = [choice.name for choice in cache.space.choices]
    distances = cache.choice_distances[name][cache.ok].sqrt()
    true = cache.choices[cache.ok, names.index(name)]
    count = distances.shape[1]
    found = torch.zeros(count, count, dtype=torch.float64)
    for i in range(count):
        for j in range(i):
            pair = torch.cat([distances[true == i, j], distances[true == j, i]])
            found[i, j] = found[j, i] = pair.median() if len(pair) else math.nan
    return found.tolist()


def sound_report(cache: MetricCache, row: int, distance: float = 1.0) -> SoundReport:
    """Return the numbers about one sound of a cache.

    Args:
        cache: Open cache.
        row: Row of the cache.
        distance: Distance in the representation for which steps are given.

    Returns:
        Report; its "metric" is None if the sound has none, and "failure" says why.

    Raises:
        IndexError: If there is no such row.
        ValueError: If `distance` is not positive.
    """
    distance = finite_number("distance", distance, above=0)
    check_row(cache, row)
    values = named_values(cache.synth_space, cache.theta[row].tolist())
    return SoundReport(
        cache=str(cache.path),
        sound=row,
        fold=FOLDS[int(cache.fold[row])],
        status=Status(int(cache.status[row])).name.lower(),
        failure=cache.failures.get(row),
        parameters=[
            SettingRow(**_range(parameter), value=float(values[parameter.name]), scaled=float(position))
            for parameter, position in zip(cache.space, cache.u[row], strict=True)
        ],
        others={name: value for name, value in values.items() if name not in cache.space.names},
        metric=_metric(cache.metric(row), cache.space, distance) if bool(cache.ok[row]) else None,
    )


def check_row(cache: MetricCache, row: int) -> None:
    """Refuse a row that a cache does not have.

    Raises:
        IndexError: If there is no such row.
    """
    if not 0 <= row < len(cache):
        raise IndexError(f"sound {row} is out of range, {cache.path} has sounds 0 to {len(cache) - 1}")


def metrics_of(cache: MetricCache, rows: Tensor, columns: list[int] | None = None) -> MetricSequence:
    """Return the metrics of some rows: in memory if they are few, otherwise read where they are asked for.

    Args:
        cache: Open cache.
        rows: Rows that have a metric, shape (n,).
        columns: Numbers of the parameters that the metrics are about, in their order; None for all.
    """
    stored = StoredMetrics(cache, rows, columns)
    return stored[:] if len(rows) * len(cache.space) ** 2 <= _ENTRIES else stored


def _range(parameter: Parameter) -> dict[str, Any]:
    names = ("name", "low", "high", "scale", "unit")
    return {name: getattr(parameter, name) for name in names}


def _metric(metric: RiemannianMetric, space: ParameterSpace, distance: float) -> MetricReport:
    steps = diagnostics.just_noticeable_steps(metric, distance)
    return MetricReport(
        distance=distance,
        eigenvalues=metric.eigenvalues.tolist(),
        eigenvectors=_eigenvectors(metric, space),
        condition=float(metric.condition),
        effective_rank=float(metric.effective_rank()),
        rank=int(diagnostics.rank(metric)),
        matrix=metric.matrix.tolist(),
        correlation=diagnostics.correlation(metric).tolist(),
        identifiability=diagnostics.identifiability(metric).tolist(),
        steps=_steps(steps.axes, space),
        eigenvector_steps=steps.eigenvectors.tolist(),
    )


def _metrics(
    found: Survey, metric: MetricSequence, u: Tensor, rows: Tensor, space: ParameterSpace, distance: float
) -> MetricsReport:
    entries = (len(space) + 1) * len(space) ** 2
    looked_at = min(_MOST_NEIGHBOURHOODS, max(_LEAST_NEIGHBOURHOODS, _NEIGHBOUR_ENTRIES // entries))
    change = diagnostics.smoothness(metric, u, most=looked_at)
    grouped = diagnostics.clusters(found.cosines)
    spectrum = torch.quantile(found.eigenvalues, torch.tensor(QUANTILES, dtype=torch.float64), dim=0)
    return MetricsReport(
        distance=distance,
        quantiles=list(QUANTILES),
        spectrum=spectrum.mT.tolist(),
        condition=_quantiles(found.condition),
        effective_rank=_quantiles(found.effective_rank),
        full_rank=int((found.rank == len(space)).sum()),
        mean=MeanMetric(
            matrix=found.mean.matrix.tolist(),
            correlation=diagnostics.correlation(found.mean).tolist(),
            eigenvalues=found.mean.eigenvalues.tolist(),
            eigenvectors=_eigenvectors(found.mean, space),
        ),
        composition=found.composition.tolist(),
        identifiability=[_quantiles(column) for column in found.identifiability.mT],
        confusion=found.cosines.tolist(),
        order=list(grouped.order),
        alike=[list(group) for group in grouped.groups],
        steps=_steps((distance / found.lengths).median(dim=0).values, space),
        eigenvector_steps=(distance / found.singular_values).median(dim=0).values.tolist(),
        outliers=rows[diagnostics.odd_traces(found.lengths.square().sum(-1))].tolist(),
        smoothness=FieldChange(
            distance=float(change.distance.nanmedian()),
            change=float(change.change.nanmedian()),
            strangers=change.strangers,
        ),
    )


def _eigenvectors(metric: RiemannianMetric, space: ParameterSpace) -> list[Eigenvector]:
    vectors = metric.eigenvectors
    words = diagnostics.describe_eigenvectors(vectors, space.names)
    return [Eigenvector(v.tolist(), text) for v, text in zip(vectors.mT, words, strict=True)]


def _steps(steps: Tensor, space: ParameterSpace) -> list[AxisStep]:
    """Return steps along the axes: a ratio on a log scale, a difference on a linear one, else that from the middle."""
    result = []
    middle = torch.zeros(len(space), dtype=torch.float64)
    moved = space.from_unit(steps.clamp(max=1.0)) - space.from_unit(middle)
    for step, parameter, change in zip(steps.tolist(), space, moved.tolist(), strict=True):
        if parameter.scale == "power" or parameter.offset:
            result.append(AxisStep(step, difference=change if math.isfinite(step) else math.inf))
        elif parameter.scale == "log":
            exponent = step / 2 * math.log(parameter.high / parameter.low)
            # Beyond that it is no step that could be taken.
            result.append(AxisStep(step, ratio=math.exp(exponent) if exponent < 700 else math.inf))
        else:
            result.append(AxisStep(step, difference=step / 2 * (parameter.high - parameter.low)))
    return result


def _quantiles(values: Tensor) -> list[float]:
    # Nearest rather than interpolated: values may be infinite.
    ordered = values.sort().values
    return [float(ordered[round(q * (len(ordered) - 1))]) for q in QUANTILES]
