"""Results of evaluating encoders and of matching a recording, in lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pnp._text import counted, percent, printable, text_table
from pnp.matching.result import MatchResult
from pnp.report.format import number
from pnp.training.evaluate import Evaluation


def evaluations_as_text(evaluations: Mapping[str, Evaluation]) -> str:
    """Return held-out errors of several encoders, above those of always answering with the centre.

    Args:
        evaluations: Name and evaluation of each encoder; all of the same fold of the same cache.

    Returns:
        A table: mean parameter error in percent of the range, per parameter and over all, and mean distance
        in features, absolute and relative to the norm of the target's features. Where there are choices, another one:
        how often each is right, and the expected distance of the mistakes.
    """
    first = next(iter(evaluations.values()))
    columns = [f"{counted(first.n_sounds, f'{first.fold} sound')}", *first.parameters, "mean"]
    rows = [[name, *_halves([*e.parameter_error, e.mean_parameter_error])] for name, e in evaluations.items()]
    centre = first.centre_parameter_error
    rows.append(["centre of the cube", *_halves([*centre, sum(centre) / len(centre)])])
    if first.feature_distance is not None:
        columns += ["distance", "relative"]
        for row, e in zip(rows, evaluations.values(), strict=False):
            row += [number(e.feature_distance), percent(e.relative_feature_distance or 0.0)]
        rows[-1] += [number(first.centre_feature_distance), ""]
    table = text_table(columns, rows)
    choices = _choices_as_text(evaluations)
    return f"{table}\n\n{choices}" if choices else table


def _choices_as_text(evaluations: Mapping[str, Evaluation]) -> str:
    """Accuracy and expected distance of choices, for the networks that answer them."""
    answered = {name: e for name, e in evaluations.items() if e.choices}
    if not answered:
        return ""
    first = next(iter(answered.values()))
    columns = ["choices"]
    for choice in first.choices:
        columns += [f"{choice} right", "distance"]
    rows = [[name, *_right(e.choice_accuracy, e.choice_distance)] for name, e in answered.items()]
    rows.append(["most frequent option", *_right(first.centre_choice_accuracy, first.centre_choice_distance)])
    return text_table(columns, rows)


def _right(accuracy: Sequence[float], distance: Sequence[float]) -> list[str]:
    return [cell for a, d in zip(accuracy, distance, strict=True) for cell in (percent(a), number(d))]


def _halves(errors: Sequence[float]) -> list[str]:
    """Errors in percent of the range, which is 2 long in the cube."""
    return [percent(error / 2) for error in errors]


def match_as_text(result: MatchResult) -> str:
    """Return a match in lines for a terminal.

    Args:
        result: Result of `match`.

    Returns:
        Text without a final line break.
    """
    rows = [
        [
            p.name,
            f"{p.value:.5g}",
            f"{p.low:.5g}",
            f"{p.high:.5g}",
            p.unit,
            "unknown" if math.isinf(p.deviation) else f"{50 * p.deviation:.2g} %",
            ", ".join(word for word, holds in (("condition", known), ("at its bound", p.at_bound)) if holds),
        ]
        for known, group in ((False, result.parameters), (True, result.conditions))
        for p in group
    ]
    lines = [text_table(["parameter", "value", "− σ", "+ σ", "unit", "σ of range", ""], rows, "lrrrlrl"), ""]
    if result.choices:
        options = [
            [
                choice.name,
                choice.option,
                ", ".join(
                    f"{name} {number(other)}" for name, other in _others(choice.option, choice.distances)
                ),
            ]
            for choice in result.choices
        ]
        lines += [text_table(["choice", "option", "distance with others"], options, "lll"), ""]
    fields = {"given": ", ".join(f"{name} = {value}" for name, value in result.given.items())}
    fields = {name: value for name, value in fields.items() if value}
    fields |= {
        "gain": f"{20 * math.log10(result.gain):+.1f} dB",
        "distance before": _distance(result.distance_before, result.target_norm),
    }
    if result.distance_encoder is not None:
        fields["encoder's"] = _distance(result.distance_encoder, result.target_norm)
    fields["distance after"] = _distance(result.distance_after, result.target_norm)
    fields["search"] = (
        f"{len(result.starts)} starts, {result.evaluations} evaluations, {result.seconds:.1f} s"
    )
    lines += [f"  {name:<15}  {value}" for name, value in fields.items()]
    if result.notes:
        lines += ["", *result.notes]
    if result.warnings:
        lines += ["", *(f"Warning: {warning}" for warning in result.warnings)]
    return "\n".join(printable(line) for text in lines for line in text.splitlines() or [""])


def _others(option: str, distances: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the other options, nearest first."""
    return sorted(((name, d) for name, d in distances.items() if name != option), key=lambda item: item[1])


def _distance(distance: float, norm: float) -> str:
    return f"{number(distance)}, {percent(distance / norm, significant=2)} of the recording's features"
