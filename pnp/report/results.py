"""Results of evaluating encoders and of matching a recording, in lines for a terminal."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from pnp._text import counted, percent, printable, text_table
from pnp.matching.folder import FolderMatch, MatchedFile
from pnp.matching.result import MatchResult
from pnp.report.format import number
from pnp.training.evaluate import Evaluation

# Files that are no sound, named one by one.
_MOST_NAMED = 8


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
    lines = [f"Warning: {warning}" for warning in result.warnings]
    if lines:
        lines.append("")
    lines += [text_table(["parameter", "value", "− σ", "+ σ", "unit", "σ of range", ""], rows, "lrrrlrl"), ""]
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
    fields["gain"] = f"{20 * math.log10(result.gain):+.1f} dB"
    level = result.noise_level
    if level is not None:
        fields["noise floor"] = "silent" if math.isinf(level) else f"{level:+.1f} dB relative to the match"
    fields |= {
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
    return "\n".join(printable(line) for text in lines for line in text.splitlines() or [""])


def _others(option: str, distances: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the other options, nearest first."""
    return sorted(((name, d) for name, d in distances.items() if name != option), key=lambda item: item[1])


# Columns of a table of matches, after the name.
MATCH_COLUMNS = ("nearest", "encoder", "match", "noise floor", "seconds")


def match_summary(file: MatchedFile) -> list[tuple[float | None, str]]:
    """Return a match of a folder as numbers and text, a pair for each of `MATCH_COLUMNS`.

    Args:
        file: File that was matched.
    """
    assert file.match is not None
    distances = [file.relative(which) for which in ("before", "encoder", "after")]
    noise = file.match["noise"]
    level = 20 * math.log10(noise) if noise else None
    return [
        *((share, "" if share is None else percent(share)) for share in distances),
        (level, "" if level is None else f"{level:+.0f} dB"),
        (file.match["seconds"], f"{file.match['seconds']:.1f}"),
    ]


def matches_as_text(found: FolderMatch) -> str:
    """Return the matches of a folder as a table for a terminal, and what was left out.

    Args:
        found: Outcome of the folder.

    Returns:
        Text without a final line break.
    """
    lines: list[str] = []
    matched = found.matched
    if matched:
        rows = []
        for file in matched:
            assert file.match is not None
            doubts = len(file.match["warnings"])
            rows.append([file.name, *(text for _, text in match_summary(file)), str(doubts or "")])
        lines += text_table(["recording", *MATCH_COLUMNS, "doubts"], rows).splitlines()
        medians = []
        for which, title in (("before", "nearest"), ("encoder", "encoder"), ("after", "match")):
            shares = [share for file in matched if (share := file.relative(which)) is not None]
            if shares:
                medians.append(f"{title} {percent(statistics.median(shares))}")
        lines += ["", f"Median distance, relative to the recording's features: {', '.join(medians)}."]
    refused = [file for file in found.files if file.match is None]
    if refused:
        lines += ["", f"{counted(len(refused), 'recording')} could not be matched:"]
        lines += [f"  {file.refused}" for file in refused]
    if found.others:
        names = ", ".join(file.name for file in found.others[:_MOST_NAMED])
        more = len(found.others) - _MOST_NAMED
        lines += [
            "",
            f"{counted(len(found.others), 'other file')} skipped, no sound: {names}"
            + (f" and {more:,} more." if more > 0 else "."),
        ]
    return "\n".join(printable(line) for line in lines)


def _distance(distance: float, norm: float) -> str:
    return f"{number(distance)}, {percent(distance / norm, significant=2)} of the recording's features"
