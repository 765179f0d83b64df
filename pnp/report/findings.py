"""What a report comes to: findings and warnings in sentences."""

from __future__ import annotations

import math
from typing import Any

# Shares beyond which a warning is given: a parameter that makes up nearly all of the mean metric drowns the
# others in any unweighted loss; one whose column is explained to this part by others cannot be estimated.
_DOMINANT, _HARDLY_IDENTIFIABLE = 0.99, 0.1
# Cosine from which two parameters are said to be confused: half of the squared effect of one is the other's.
_CONFUSED = 0.7
# Median condition number from which the plain metric is warned of. That of drums, 6e7, taught an encoder less than
# parameter loss did until it was saturated; that of chirps, 2e2, did no harm (docs/evidence.md).
_ILL_CONDITIONED = 1e6
# A step as long as the side of the cube is no step within a parameter's range.
_WHOLE_RANGE = 2.0


def findings(report: dict[str, Any]) -> dict[str, str]:
    """Which parameters are heard, which are confused, and where the metric cannot be trusted.

    Args:
        report: A cache's report, with its "sounds", "parameters" and "metric".

    Returns:
        From topic to sentence; empty where no sound has a metric.
    """
    numbers = report["metric"]
    if numbers is None:
        return {}
    names = [parameter["name"] for parameter in report["parameters"]]
    return {
        "hears": _heard(numbers, names),
        "confuses": _confused(numbers, names),
        "trust": _trust(report, numbers),
    }


def _heard(numbers: dict[str, Any], names: list[str]) -> str:
    # Of the whole range, the share that is one step; by the median sound.
    steps = {name: step["scaled"] for name, step in zip(names, numbers["steps"], strict=True)}
    heard = sorted((step, name) for name, step in steps.items() if step is not None and step < _WHOLE_RANGE)
    distance = f"{numbers['distance']:g}"
    sentence = "nothing over its whole range"
    if heard:
        listed = ", ".join(f"{name} ({100 * step / 2:.2g} %)" for step, name in heard)
        sentence = f"{listed}: part of the range that makes a distance of {distance}, at the median sound"
    missing = [name for name in names if name not in {name for _, name in heard}]
    if missing and heard:
        sentence += f"; not even over its whole range: {', '.join(missing)}"
    return sentence


def _confused(numbers: dict[str, Any], names: list[str]) -> str:
    if len(names) == 1:
        return "nothing: there is one parameter"
    cosines = numbers["confusion"]
    pairs = sorted(
        ((cosines[i][j], names[i], names[j]) for i in range(len(names)) for j in range(i)), reverse=True
    )
    worst = [pair for pair in pairs if pair[0] >= _CONFUSED]
    described = ", ".join(f"{b} with {a} (|cosine| {cosine:.2f})" for cosine, a, b in worst or pairs[:1])
    sentence = described if worst else f"no pair; closest come {described}"
    hardly = _hardly_identifiable(numbers, names)
    return sentence + (f"; imitated by all others together: {', '.join(hardly)}" if hardly else "")


def _trust(report: dict[str, Any], numbers: dict[str, Any]) -> str:
    doubts = []
    sounds = report["sounds"]
    deficient = sounds["ok"] - numbers["full_rank"]
    if deficient:
        doubts.append(f"rank deficient at {deficient} of {sounds['ok']} sounds")
    if numbers["outliers"]:
        doubts.append(_counted(len(numbers["outliers"]), "outlier"))
    field = numbers["smoothness"]
    if field["strangers"] > 0:
        share = field["change"] / field["strangers"]
        doubts.append(
            f"from a sound to its neighbours, {field['distance']:.2g} away, it changes by "
            f"{100 * field['change']:.0f} %, {100 * share:.0f} % of what it does between any two sounds"
        )
    if sounds["failed"] or sounds["pending"]:
        doubts.append(f"unknown at {sounds['failed'] + sounds['pending']} sounds")
    return "; ".join(doubts) or "nothing speaks against it"


def _hardly_identifiable(numbers: dict[str, Any], names: list[str]) -> list[str]:
    parts = zip(names, numbers["identifiability"], strict=True)
    return [name for name, part in parts if part[len(part) // 2] < _HARDLY_IDENTIFIABLE]


def warnings(report: dict[str, Any]) -> list[str]:
    """What to be wary of in a cache.

    Args:
        report: A cache's report, with its "sounds", "parameters" and "metric".

    Returns:
        One sentence each.
    """
    sounds, numbers = report["sounds"], report["metric"]
    found = []
    if sounds["pending"]:
        found.append(f"{sounds['pending']} sounds are still to be computed; the same command goes on")
    if sounds["failed"]:
        found.append(f"{sounds['failed']} sounds failed")
    if numbers is None:
        return [*found, "no sound has a metric, so there is nothing to say about it"]
    deficient = sounds["ok"] - numbers["full_rank"]
    if deficient:
        found.append(
            f"rank deficiency: at {deficient} of {sounds['ok']} sounds some combination of parameters is "
            "inaudible"
        )
    condition = numbers["condition"][numbers["quantiles"].index(0.5)]
    # None stands for infinity: singular.
    if condition is None or condition > _ILL_CONDITIONED:
        found.append(
            f"ill-conditioned: the median condition number is {math.inf if condition is None else condition:.1e}; "
            "a loss with the plain metric follows few sounds and directions, so give it a reach (`reach=10`)"
        )
    names = [parameter["name"] for parameter in report["parameters"]]
    matrix = numbers["mean"]["matrix"]
    trace = sum(matrix[p][p] for p in range(len(names)))
    for p, name in enumerate(names):
        if len(names) > 1 and trace and matrix[p][p] > _DOMINANT * trace:
            found.append(
                f"{name} dominates: it makes up {100 * matrix[p][p] / trace:.1f} % of the mean metric's trace"
            )
    found += [
        f"{name} is hardly identifiable: other parameters sound alike"
        for name in _hardly_identifiable(numbers, names)
    ]
    odd = numbers["outliers"]
    if odd:
        rows = ", ".join(map(str, odd[:8])) + (" and others" if len(odd) > 8 else "")
        found.append(
            f"{_counted(len(odd), 'outlier')}: the metric is far larger or smaller than elsewhere at {rows}"
        )
    field = numbers["smoothness"]
    if field["strangers"] > 0 and field["change"] >= field["strangers"]:
        found.append(
            "the metric changes as much between neighbours as between any two sounds: too few sounds to "
            "interpolate it"
        )
    return found


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
