"""Reports in lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pnp.matching.match import MatchResult
from pnp.training.evaluate import Evaluation

_HEADINGS = ("min", "25 %", "median", "75 %", "max")


def as_text(report: dict[str, Any]) -> str:
    """A report in lines for a terminal.

    Args:
        report: What `cache_report` or `sound_report` returned.

    Returns:
        Text without a final line break.
    """
    lines = _sound_lines(report) if "sound" in report else _cache_lines(report)
    return "\n".join(line.rstrip() for line in lines)


def _cache_lines(report: dict[str, Any]) -> Iterable[str]:
    numbers = report["metric"]
    yield report["cache"]
    yield from _fields(cache_facts(report))
    for reason, count in report["failures"].items():
        rows = [str(failed["sound"]) for failed in report["failed_sounds"] if failed["reason"] == reason]
        shown = ", ".join(rows[:8]) + (" and others" if len(rows) > 8 else "")
        yield f"  {count} × {reason} (sound {shown})"
    names = [parameter["name"] for parameter in report["parameters"]]
    if report["findings"]:
        yield ""
        yield from _fields(report["findings"])
    yield ""
    yield from _table("parameters", parameter_table(report)[0], names, parameter_table(report)[1])
    if numbers is not None:
        columns, labels, cells = spectrum_table(numbers, names)
        yield ""
        yield from _table("spectrum of M", columns, labels, cells)
        yield from _matrices(numbers["mean"], names, "mean metric")
    if report["warnings"]:
        yield ""
    for warning in report["warnings"]:
        yield f"warning: {warning}"


def cache_facts(report: dict[str, Any]) -> dict[str, str]:
    """What a cache is and how complete.

    Args:
        report: What `cache_report` returned.

    Returns:
        From term to what it is.
    """
    sounds = report["sounds"]
    return {
        "synthesizer": _label(report["synthesizer"]),
        "features": f"{_label(report['features'])}, {report['n_features']} coefficients",
        "stored": ", ".join(["metric", *report["stored"]]),
        "sounds": f"{sounds['ok']} of {sounds['total']} with a metric, {sounds['failed']} failed, "
        f"{sounds['pending']} pending",
        "folds": ", ".join(f"{count} {name}" for name, count in report["folds"].items()),
        "fingerprint": report["fingerprint"][:16],
    }


def parameter_table(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Ranges of the parameters and, where there are metrics, how well each is heard.

    Args:
        report: What `cache_report` returned.

    Returns:
        Headings, and one row of cells per parameter.
    """
    columns = ["low", "high", "unit", "scale"]
    rows = [_range(parameter) for parameter in report["parameters"]]
    numbers = report["metric"]
    if numbers is not None:
        columns += ["identifiable", _step_heading(numbers)]
        parts = zip(rows, numbers["identifiability"], numbers["steps"], report["parameters"], strict=True)
        for row, identifiability, step, parameter in parts:
            row += [_number(identifiability[2]), _step(step, parameter["unit"])]
    return columns, rows


def spectrum_table(
    numbers: dict[str, Any], names: Sequence[str]
) -> tuple[list[str], list[str], list[list[str]]]:
    """Quantiles of eigenvalues, condition number and effective rank.

    Args:
        numbers: The "metric" of what `cache_report` returned.
        names: The parameters' names.

    Returns:
        Headings, labels of the rows, and the rows.
    """
    words = [vector["words"] for vector in numbers["mean"]["eigenvectors"]]
    rows = [
        [*map(_number, row), _scaled(step), text]
        for row, step, text in zip(numbers["spectrum"], numbers["eigenvector_steps"], words, strict=True)
    ]
    rows += [[*map(_number, numbers[key]), "", ""] for key in ("condition", "effective_rank")]
    labels = [*(f"λ{k + 1}" for k in range(len(names))), "condition", "effective rank"]
    return [*_HEADINGS, "step", "eigenvector of the mean metric"], labels, rows


def _matrices(numbers: dict[str, Any], names: Sequence[str], title: str) -> Iterable[str]:
    for matrix, heading, digits in (
        (numbers["matrix"], title, _number),
        (numbers["correlation"], "normalized", lambda value: f"{value:.2f}"),
    ):
        yield ""
        yield from _table(heading, names, names, [[digits(value) for value in row] for row in matrix])


def _sound_lines(report: dict[str, Any]) -> Iterable[str]:
    numbers = report["metric"]
    yield f"{report['cache']}, sound {report['sound']}"
    yield from _fields({"fold": report["fold"], "status": report["status"]})
    if report["failure"]:
        yield f"  {report['failure']}"
    names = [parameter["name"] for parameter in report["parameters"]]
    columns = ["value", "unit", "scaled"]
    rows = [[f"{p['value']:.4g}", p["unit"], f"{p['scaled']:+.3f}"] for p in report["parameters"]]
    if numbers is not None:
        columns += ["identifiable", _step_heading(numbers)]
        for row, part, step, p in zip(
            rows, numbers["identifiability"], numbers["steps"], report["parameters"], strict=True
        ):
            row += [_number(part), _step(step, p["unit"])]
    yield ""
    yield from _table("parameters", columns, names, rows)
    if numbers is None:
        return
    yield ""
    yield from _table(
        "spectrum of M",
        ["eigenvalue", "step", "eigenvector"],
        [f"λ{k + 1}" for k in range(len(names))],
        [
            [_number(value), _scaled(step), vector["words"]]
            for value, step, vector in zip(
                numbers["eigenvalues"], numbers["eigenvector_steps"], numbers["eigenvectors"], strict=True
            )
        ],
    )
    yield from _fields(
        {"condition": _number(numbers["condition"]), "effective rank": _number(numbers["effective_rank"])}
    )
    yield from _matrices(numbers, names, "M")


def _range(parameter: dict[str, Any]) -> list[str]:
    ends = [f"{parameter[end]:.4g}" for end in ("low", "high")]
    return [*ends, parameter["unit"], parameter["scale"]]


def _step_heading(numbers: dict[str, Any]) -> str:
    return f"step of distance {numbers['distance']:g}"


def _step(step: dict[str, Any], unit: str) -> str:
    if step.get("scaled") is None or None in step.values():
        return "inaudible"
    if "ratio" in step:
        ratio = step["ratio"]
        return f"{100 * (ratio - 1):.3g} %" if ratio < 10 else f"× {ratio:.3g}"
    return f"{step['difference']:.3g} {unit}".rstrip()


def _scaled(step: float | None) -> str:
    return "inaudible" if step is None else f"{step:.3g}"


def _label(described: dict[str, Any] | None) -> str:
    if not described:
        return "unknown"
    options = dict(described.get("config") or {})
    name = options.get("name") or str(described.get("class", "unknown")).rpartition(".")[2]
    if "n_samples" in described and "sample_rate" in described:
        seconds = described["n_samples"] / described["sample_rate"]
        return f"{name}, {seconds:.3g} s at {described['sample_rate']:g} Hz"
    inner = options.get("representation")
    if isinstance(inner, dict):
        shown = {key: value for key, value in inner.items() if key in ("J", "Q", "J_fr", "Q_fr", "T", "F")}
        name += " of scattering " + ", ".join(f"{key}={value}" for key, value in shown.items())
    return str(name)


def _number(value: float | None) -> str:
    return "∞" if value is None else f"{value:.3g}"


def _fields(fields: dict[str, str]) -> Iterable[str]:
    width = max(map(len, fields))
    for name, value in fields.items():
        yield f"  {name:<{width}}  {value}"


def _table(
    title: str, columns: Sequence[str], labels: Sequence[str], rows: Sequence[Sequence[str]]
) -> Iterable[str]:
    """Right-aligned columns below their headings; the last one is left-aligned if it holds phrases."""
    first = max(map(len, [title, *(f"  {label}" for label in labels)]))
    widths = [max(len(column), *(len(row[i]) for row in rows)) for i, column in enumerate(columns)]
    phrases = any(" " in row[-1] and row[-1][-1:] not in "%" for row in rows)

    def align(cells: Sequence[str]) -> str:
        aligned = [f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)]
        if phrases:
            aligned[-1] = cells[-1]
        return "  ".join(aligned)

    yield f"{title:<{first}}  {align(columns)}"
    for label, row in zip(labels, rows, strict=True):
        yield f"{'  ' + label:<{first}}  {align(row)}"


def evaluations_as_text(evaluations: Mapping[str, Evaluation]) -> str:
    """Held-out errors of several encoders side by side, above those of always answering with the centre.

    Args:
        evaluations: Name and evaluation of each encoder; all of the same fold of the same cache.

    Returns:
        A table: mean parameter error in percent of the range, per parameter and over all, and mean distance
        in features, absolute and relative to the norm of the target's features.
    """
    first = next(iter(evaluations.values()))
    columns = [*first.parameters, "mean"]
    rows = [_percent([*e.parameter_error_percent, 50 * e.mean_parameter_error]) for e in evaluations.values()]
    centre = [50 * error for error in first.centre_parameter_error]
    rows.append(_percent([*centre, sum(centre) / len(centre)]))
    if first.feature_distance is not None:
        columns += ["distance", "relative"]
        for row, e in zip(rows, evaluations.values(), strict=False):
            row += [_number(e.feature_distance), _percent([100 * (e.relative_feature_distance or 0.0)])[0]]
        rows[-1] += [_number(first.centre_feature_distance), ""]
    title = f"{first.n_sounds} {first.fold} sounds"
    return "\n".join(_table(title, columns, [*evaluations, "centre of the cube"], rows))


def match_as_text(result: MatchResult) -> str:
    """A match in lines for a terminal.

    Args:
        result: What `match` returned.

    Returns:
        Text without a final line break.
    """
    rows = [
        [
            f"{p.value:.5g}",
            f"{p.low:.5g}",
            f"{p.high:.5g}",
            p.unit,
            "unknown" if math.isinf(p.deviation) else f"{50 * p.deviation:.2g} %",
            "at its bound" if p.at_bound else "",
        ]
        for p in result.parameters
    ]
    columns = ["value", "− σ", "+ σ", "unit", "σ of range", ""]
    lines = [*_table("parameters", columns, [p.name for p in result.parameters], rows), ""]
    fields = {
        "gain": f"{20 * math.log10(result.gain):+.1f} dB",
        "distance before": _distance(result.distance_before, result.target_norm),
    }
    if result.distance_encoder is not None:
        fields["encoder's"] = _distance(result.distance_encoder, result.target_norm)
    fields["distance after"] = _distance(result.distance_after, result.target_norm)
    fields["search"] = (
        f"{len(result.starts)} starts, {result.evaluations} evaluations, {result.seconds:.1f} s"
    )
    lines += _fields(fields)
    if result.notes:
        lines += ["", *result.notes]
    return "\n".join(line.rstrip() for line in lines)


def _distance(distance: float, norm: float) -> str:
    return f"{_number(distance)}, {100 * distance / norm:.2g} % of the recording's features"


def _percent(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f} %" for value in values]
