"""What there is to say about a cache, or about one of its sounds, as a dictionary for programs."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from torch import Tensor

from pnp import diagnostics
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters import Parameter, ParameterSpace
from pnp.report.findings import findings, warnings
from pnp.store import FOLDS, MetricCache, Status

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)

# Sounds at most whose neighbours are looked up: all pairs of a large cache would take minutes.
_MOST_NEIGHBOURHOODS = 2048


def cache_report(cache: MetricCache, distance: float = 1.0) -> dict[str, Any]:
    """Everything there is to say about a cache and its metrics.

    Args:
        cache: Open cache.
        distance: Distance in the representation for which steps are given.

    Returns:
        Dictionary that JSON can hold; infinite and undefined numbers are None. "metric" is None where no
        sound has one.

    Raises:
        ValueError: If `distance` is not positive.
    """
    status = cache.status
    folds = {name: int((cache.fold == number).sum()) for number, name in enumerate(FOLDS)}
    report: dict[str, Any] = {
        "cache": str(cache.path),
        "fingerprint": cache.fingerprint,
        "synthesizer": cache.config.get("synthesizer"),
        "features": cache.config.get("features"),
        "n_features": cache.header.n_features,
        "stored": list(cache.stored),
        "sounds": {
            "total": len(cache),
            "ok": int(cache.ok.sum()),
            "failed": len(cache.failures),
            "pending": int((status == Status.PENDING).sum()),
        },
        "folds": folds,
        "failures": dict(Counter(cache.failures.values()).most_common()),
        "failed_sounds": [{"sound": row, "reason": reason} for row, reason in cache.failures.items()],
        "parameters": [_parameter(parameter) for parameter in cache.space],
    }
    metric = cache.metrics()
    known = bool(metric.valid.any())
    report["metric"] = _metrics(metric, cache.u, cache.space, distance) if known else None
    report["findings"] = findings(report)
    report["warnings"] = warnings(report)
    finite: dict[str, Any] = _finite(report)
    return finite


def sound_report(cache: MetricCache, row: int, distance: float = 1.0) -> dict[str, Any]:
    """Everything there is to say about one sound of a cache.

    Args:
        cache: Open cache.
        row: Row of the cache.
        distance: Distance in the representation for which steps are given.

    Returns:
        Dictionary that JSON can hold; infinite and undefined numbers are None. "metric" is None if the sound
        has none, and "failure" says why.

    Raises:
        IndexError: If there is no such row.
        ValueError: If `distance` is not positive.
    """
    if not 0 <= row < len(cache):
        raise IndexError(f"sound {row} is out of range, {cache.path} has sounds 0 to {len(cache) - 1}")
    theta, u = cache.theta[row], cache.u[row]
    report: dict[str, Any] = {
        "cache": str(cache.path),
        "sound": row,
        "fold": FOLDS[int(cache.fold[row])],
        "status": Status(int(cache.status[row])).name.lower(),
        "failure": cache.failures.get(row),
        "parameters": [
            {**_parameter(parameter), "value": float(value), "scaled": float(position)}
            for parameter, value, position in zip(cache.space, theta, u, strict=True)
        ],
        "metric": None,
    }
    if bool(cache.ok[row]):
        report["metric"] = _metric(cache.metric(row), cache.space, distance)
    finite: dict[str, Any] = _finite(report)
    return finite


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "low": parameter.low,
        "high": parameter.high,
        "scale": parameter.scale,
        "unit": parameter.unit,
    }


def _metric(metric: RiemannianMetric, space: ParameterSpace, distance: float) -> dict[str, Any]:
    steps = diagnostics.just_noticeable_steps(metric, distance)
    return {
        "distance": distance,
        "eigenvalues": metric.eigenvalues.tolist(),
        "eigenvectors": _eigenvectors(metric, space),
        "condition": float(metric.condition),
        "effective_rank": float(metric.effective_rank()),
        "rank": int(diagnostics.rank(metric)),
        "matrix": metric.matrix.tolist(),
        "correlation": diagnostics.correlation(metric).tolist(),
        "identifiability": diagnostics.identifiability(metric).tolist(),
        "steps": _steps(steps.axes, space),
        "eigenvector_steps": steps.eigenvectors.tolist(),
    }


def _metrics(metric: RiemannianMetric, u: Tensor, space: ParameterSpace, distance: float) -> dict[str, Any]:
    valid = diagnostics.require_sounds(metric)
    mean = valid.mean()
    steps = diagnostics.just_noticeable_steps(valid, distance)
    field = diagnostics.smoothness(metric, u, most=_MOST_NEIGHBOURHOODS)
    return {
        "distance": distance,
        "quantiles": list(QUANTILES),
        "spectrum": diagnostics.spectrum(valid, QUANTILES).mT.tolist(),
        "condition": _quantiles(valid.condition),
        "effective_rank": _quantiles(valid.effective_rank()),
        "full_rank": int((diagnostics.rank(valid) == len(space)).sum()),
        "mean": {
            "matrix": mean.matrix.tolist(),
            "correlation": diagnostics.correlation(mean).tolist(),
            "eigenvalues": mean.eigenvalues.tolist(),
            "eigenvectors": _eigenvectors(mean, space),
        },
        "composition": diagnostics.composition(valid).tolist(),
        "identifiability": [_quantiles(column) for column in diagnostics.identifiability(valid).mT],
        "confusion": diagnostics.correlation(valid).abs().median(dim=0).values.tolist(),
        "steps": _steps(steps.axes.median(dim=0).values, space),
        "eigenvector_steps": steps.eigenvectors.median(dim=0).values.tolist(),
        "outliers": diagnostics.outliers(metric).nonzero().flatten().tolist(),
        "smoothness": {
            "distance": float(field.distance.nanmedian()),
            "change": float(field.change.nanmedian()),
            "strangers": field.strangers,
        },
    }


def _eigenvectors(metric: RiemannianMetric, space: ParameterSpace) -> list[dict[str, Any]]:
    vectors = metric.eigenvectors
    words = diagnostics.describe_eigenvectors(vectors, space.names)
    return [{"components": v.tolist(), "words": text} for v, text in zip(vectors.mT, words, strict=True)]


def _steps(steps: Tensor, space: ParameterSpace) -> list[dict[str, Any]]:
    """Steps along the axes, in the cube and in physical terms: a ratio on a log scale, else a difference."""
    result = []
    for step, parameter in zip(steps.tolist(), space, strict=True):
        if parameter.scale == "log":
            exponent = step / 2 * math.log(parameter.high / parameter.low)
            # Beyond that it is no step that could be taken.
            physical = {"ratio": math.exp(exponent) if exponent < 700 else math.inf}
        else:
            physical = {"difference": step / 2 * (parameter.high - parameter.low)}
        result.append({"scaled": step, **physical})
    return result


def _quantiles(values: Tensor) -> list[float]:
    # Nearest rather than interpolated: values may be infinite.
    ordered = values.sort().values
    return [float(ordered[round(q * (len(ordered) - 1))]) for q in QUANTILES]


def _finite(value: Any) -> Any:
    """The same nested value with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
