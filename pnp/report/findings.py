"""Findings and warnings of a report, in sentences. Each sentence names its statistic."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pnp._text import counted, percent
from pnp.diagnostics.groups import ALIKE
from pnp.report.format import listed, number
from pnp.report.records import Findings, MetricsReport, SoundCounts

# Shares beyond which a warning is given: a parameter that makes up nearly all of the mean metric drowns the
# others in any unweighted loss; one whose column is explained to this part by others cannot be estimated.
_DOMINANT, HARDLY_IDENTIFIABLE = 0.99, 0.1
# Median condition number from which the plain metric is warned of. That of drums, 6e7, taught an encoder less than
# parameter loss did until it was saturated; that of chirps, 2e2, did no harm (docs/evidence/training.md).
_ILL_CONDITIONED = 1e6
# Step, in units of the shortest one, from which a parameter has no effect but rounding.
_SILENT = 1e7
# Names in a sentence at most.
_NAMED = 12
# A step as long as the side of the cube is no step within a parameter's range.
WHOLE_RANGE = 2.0


def findings(sounds: SoundCounts, names: Sequence[str], numbers: MetricsReport) -> Findings:
    """Return the parameters that are heard, those that sound alike, and where to doubt the metric.

    Args:
        sounds: Number of sounds by state.
        names: Names of the P parameters.
        numbers: Numbers about the metrics.

    Returns:
        Findings, in sentences and by name.
    """
    order = by_step(numbers)
    heard = [names[p] for p in order if numbers.steps[p].scaled < WHOLE_RANGE]
    inaudible = [names[p] for p in order if numbers.steps[p].scaled >= WHOLE_RANGE]
    alike = [[names[p] for p in group] for group in numbers.alike]
    imitated = [names[p] for p in order if median_identifiability(numbers, p) < HARDLY_IDENTIFIABLE]
    imitated = [name for name in imitated if name not in inaudible]
    return Findings(
        hears=_hears(numbers, names, order, inaudible),
        confuses=_confuses(numbers, names, alike, imitated),
        trust=_trust(sounds, numbers),
        heard=heard,
        alike=alike,
        imitated=imitated,
        inaudible=inaudible,
    )


def by_step(numbers: MetricsReport) -> list[int]:
    """Return all parameters, the one with the smallest median step of their range first."""
    return sorted(range(len(numbers.steps)), key=lambda p: numbers.steps[p].scaled)


def median_identifiability(numbers: MetricsReport, p: int) -> float:
    """Return the median over the sounds of a parameter's identifiability."""
    return numbers.identifiability[p][numbers.quantiles.index(0.5)]


def closest_pair(numbers: MetricsReport) -> tuple[int, int] | None:
    """Return the two parameters with the largest median |cosine|; None where there is one parameter."""
    pairs = ((numbers.confusion[i][j], j, i) for i in range(len(numbers.confusion)) for j in range(i))
    best = max(pairs, default=None)
    return None if best is None else best[1:]


def _hears(numbers: MetricsReport, names: Sequence[str], order: Sequence[int], inaudible: list[str]) -> str:
    parts = [
        f"{names[p]} ({number(50 * numbers.steps[p].scaled, 2)} %)"
        for p in order
        if numbers.steps[p].scaled < WHOLE_RANGE
    ]
    if not parts:
        return "nothing over its whole range"
    statistic = f"part of the range that makes a distance of {numbers.distance:g}, at the median sound"
    sentence = f"{listed(parts, _NAMED)}: {statistic}"
    return sentence + (f"; not even over its whole range: {listed(inaudible, _NAMED)}" if inaudible else "")


def _confuses(
    numbers: MetricsReport, names: Sequence[str], alike: list[list[str]], imitated: list[str]
) -> str:
    pair = closest_pair(numbers)
    if pair is None:
        return "nothing: there is one parameter"
    if alike:
        grouped = "; ".join(listed(group) for group in alike)
        sentence = f"{grouped} (median |cosine| of every two in a group at least {ALIKE:g})"
    else:
        i, j = pair
        sentence = (
            f"no two parameters; closest come {names[i]} and {names[j]} (median |cosine| "
            f"{numbers.confusion[i][j]:.2f})"
        )
    if imitated:
        sentence += f"; imitated by all others together, at the median sound: {listed(imitated, _NAMED)}"
    return sentence


def _trust(sounds: SoundCounts, numbers: MetricsReport) -> str:
    doubts = []
    deficient = sounds.ok - numbers.full_rank
    if deficient:
        doubts.append(f"rank deficient at {deficient} of {sounds.ok} sounds")
    if numbers.outliers:
        doubts.append(counted(len(numbers.outliers), "outlier"))
    field = numbers.smoothness
    if field.strangers > 0:
        doubts.append(
            f"from a sound to its neighbours, {field.distance:.2g} away, it changes by {percent(field.change, 0)}, "
            f"{percent(field.change / field.strangers, 0)} of what it does between any two sounds (medians)"
        )
    if sounds.failed or sounds.pending:
        doubts.append(f"unknown at {counted(sounds.failed + sounds.pending, 'sound')}")
    return "; ".join(doubts) or "nothing speaks against it"


def warnings(sounds: SoundCounts, names: Sequence[str], numbers: MetricsReport | None) -> list[str]:
    """Return what to be wary of in a cache, and what to do.

    Args:
        sounds: Number of sounds by state.
        names: Names of the P parameters.
        numbers: Numbers about the metrics, or None.

    Returns:
        One sentence each.
    """
    found = []
    if sounds.pending:
        found.append(f"{counted(sounds.pending, 'sound')} are still to be computed; the same command goes on")
    if sounds.failed:
        found.append(f"{counted(sounds.failed, 'sound')} failed")
    if numbers is None:
        return [*found, "no sound has a metric, so there is nothing to say about it"]
    deficient = sounds.ok - numbers.full_rank
    if deficient:
        found.append(
            f"rank deficiency: at {deficient} of {sounds.ok} sounds some combination of parameters is "
            "inaudible; no loss built on these features learns it"
        )
    condition = numbers.condition[numbers.quantiles.index(0.5)]
    if condition > _ILL_CONDITIONED:
        shown = number(condition, 2) if math.isfinite(condition) else "infinite"
        found.append(
            f"ill-conditioned: the median condition number is {shown}; a loss with the plain metric follows few "
            "sounds and directions, so keep the reach that a loss has by default"
        )
    matrix = numbers.mean.matrix
    trace = sum(matrix[p][p] for p in range(len(names)))
    for p, name in enumerate(names):
        if len(names) > 1 and trace and matrix[p][p] > _DOMINANT * trace:
            found.append(
                f"{name} dominates: it makes up {percent(matrix[p][p] / trace, 1)} of the mean metric's trace"
            )
    # A parameter without any effect is no other one's double.
    silent = min(step.scaled for step in numbers.steps) * _SILENT
    hardly = [
        name
        for p, name in enumerate(names)
        if median_identifiability(numbers, p) < HARDLY_IDENTIFIABLE and numbers.steps[p].scaled < silent
    ]
    if hardly:
        verb = "is" if len(hardly) == 1 else "are"
        found.append(
            f"{listed(hardly, 8)} {verb} hardly identifiable: other parameters sound alike (median below "
            f"{HARDLY_IDENTIFIABLE:g}); judge them by distance, not by parameter error"
        )
    odd = numbers.outliers
    if odd:
        found.append(
            f"{counted(len(odd), 'outlier')}: the metric is far larger or smaller than elsewhere at "
            f"{listed([str(row) for row in odd], 8)}; listen to one with --index"
        )
    field = numbers.smoothness
    if field.strangers > 0 and field.change >= field.strangers:
        found.append(
            "the metric changes as much between neighbours as between any two sounds: too few sounds to "
            "interpolate it; compute more before using a surrogate or MetricField"
        )
    return found
