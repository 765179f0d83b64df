"""Reports in lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pnp.evaluate import Evaluation

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
    sounds, folds, numbers = report["sounds"], report["folds"], report["metric"]
    yield report["cache"]
    yield from _fields(
        {
            "synthesizer": _label(report["synthesizer"]),
            "features": f"{_label(report['features'])}, {report['n_features']} coefficients",
            "stored": ", ".join(["metric", *report["stored"]]),
            "sounds": f"{sounds['ok']} of {sounds['total']} with a metric, {sounds['failed']} failed, "
            f"{sounds['pending']} pending",
            "folds": ", ".join(f"{count} {name}" for name, count in folds.items()),
            "fingerprint": report["fingerprint"][:16],
        }
    )
    for reason, count in report["failures"].items():
        yield f"  {count} × {reason}"
    names = [parameter["name"] for parameter in report["parameters"]]
    if numbers is not None:
        columns = [
            "low",
            "high",
            "unit",
            "scale",
            "identifiable",
            _step_heading(numbers),
        ]
        rows = [
            [*_range(parameter), _number(identifiability[2]), _step(step, parameter["unit"])]
            for parameter, identifiability, step in zip(
                report["parameters"], numbers["identifiability"], numbers["steps"], strict=True
            )
        ]
    else:
        columns = ["low", "high", "unit", "scale"]
        rows = [_range(parameter) for parameter in report["parameters"]]
    yield ""
    yield from _table("parameters", columns, names, rows)
    if numbers is not None:
        yield from _spectrum_lines(numbers, names)
    if report["warnings"]:
        yield ""
    for warning in report["warnings"]:
        yield f"warning: {warning}"


def _spectrum_lines(numbers: dict[str, Any], names: Sequence[str]) -> Iterable[str]:
    words = [vector["words"] for vector in numbers["mean"]["eigenvectors"]]
    rows = [[*map(_number, row), text] for row, text in zip(numbers["spectrum"], words, strict=True)]
    rows += [[*map(_number, numbers[key]), ""] for key in ("condition", "effective_rank")]
    labels = [*(f"λ{k + 1}" for k in range(len(words))), "condition", "effective rank"]
    yield ""
    yield from _table("spectrum of M", [*_HEADINGS, "eigenvector of the mean metric"], labels, rows)
    yield from _matrices(numbers["mean"], names, "mean metric")


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
        ["eigenvalue", "eigenvector"],
        [f"λ{k + 1}" for k in range(len(names))],
        [
            [_number(value), vector["words"]]
            for value, vector in zip(numbers["eigenvalues"], numbers["eigenvectors"], strict=True)
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


def _percent(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f} %" for value in values]
