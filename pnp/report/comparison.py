"""Comparison of two caches: which parameters each hears, where they differ, and how their subspaces lie."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from pnp import diagnostics
from pnp.metric.riemannian import RiemannianMetric
from pnp.metric.sequence import MetricSequence
from pnp.report.format import label
from pnp.report.numbers import metrics_of
from pnp.report.records import plain
from pnp.store import MetricCache

# Decibels below the most audible parameter from which one is not heard beside it; identifiability from which nothing
# else imitates it; and differences that are worth a sentence.
NOT_HEARD, NOT_IDENTIFIABLE, DIFFERENT_LEVEL, DIFFERENT_PART = -60.0, 0.1, 10.0, 0.2
# Eigenvectors at most whose span is compared.
_MOST_DIRECTIONS = 8
# Sounds whose eigenvectors are held at once.
_AT_A_TIME = 256
# Settings count as the same where they differ by no more than rounding.
_SAME = 1e-9


@dataclass(frozen=True)
class Side:
    """One of the two caches.

    Attributes:
        cache: File.
        synthesizer: Synthesizer in words.
        features: Feature map in words.
        sounds: Number of sounds with a metric that are compared.
        effective_rank: Median effective rank, over the shared parameters.
        condition: Median condition number, over the shared parameters.
        only: Parameters that the other one does not have.
    """

    cache: str
    synthesizer: str
    features: str
    sounds: int
    effective_rank: float
    condition: float
    only: list[str]


@dataclass(frozen=True)
class Compared:
    """One parameter as two caches hear it; medians over the sounds.

    Attributes:
        name: Name of the parameter.
        levels: Length of its Jacobian column beside the longest one, in decibels, in either cache.
        identifiability: Part of its column that the other parameters cannot explain, in either cache.
        heard: True where either cache hears it: not 60 dB below the most audible one, not imitated by others.
    """

    name: str
    levels: tuple[float, float]
    identifiability: tuple[float, float]
    heard: tuple[bool, bool]


@dataclass(frozen=True)
class Comparison:
    """Two caches side by side.

    Attributes:
        sides: The two caches.
        same_sounds: True where both have the same settings, row by row; angles are then medians over them, else those
            between the mean metrics.
        parameters: Shared parameters, those on which the two differ most first.
        directions: Number of leading eigenvectors whose spans the angles compare.
        angles: Principal angles between the spans in degrees, ascending; 0 the same, 90 nothing in common. Empty where
            a cache hears nothing.
        differences: Sentences about the parameters on which the two differ.
    """

    sides: tuple[Side, Side]
    same_sounds: bool
    parameters: list[Compared]
    directions: int
    angles: list[float]
    differences: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON can hold it: None for infinity."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def compare(first: MetricCache, second: MetricCache) -> Comparison:
    """Compare two representations, or two synthesizers, over the parameters that both have.

    Parameters that only one has are held fixed. Levels are relative to each cache's most audible shared parameter, for
    the units of two representations differ.

    Args:
        first: Open cache.
        second: Open cache.

    Returns:
        Comparison.

    Raises:
        ValueError: If no parameter is shared, a shared one has another range, or a cache has no metric.
    """
    shared = [name for name in first.space.names if name in second.space.names]
    _check(first, second, shared)
    rows = _common_rows(first, second)
    same = rows is not None
    pair = (first, second)
    metrics = [
        metrics_of(
            cache,
            cache.ok.nonzero().flatten() if rows is None else rows,
            [cache.space.names.index(name) for name in shared],
        )
        for cache in pair
    ]
    surveys = [diagnostics.survey(metric) for metric in metrics]
    levels = [_levels(survey.lengths) for survey in surveys]
    parts = [survey.identifiability.median(dim=0).values for survey in surveys]
    parameters = [
        Compared(
            name,
            levels=(float(levels[0][p]), float(levels[1][p])),
            identifiability=(float(parts[0][p]), float(parts[1][p])),
            heard=(_heard(levels[0][p], parts[0][p]), _heard(levels[1][p], parts[1][p])),
        )
        for p, name in enumerate(shared)
    ]
    parameters.sort(key=_difference, reverse=True)
    effective = [float(survey.effective_rank.median()) for survey in surveys]
    directions = max(1, min(_MOST_DIRECTIONS, len(shared) - 1, round(min(effective))))
    return Comparison(
        sides=(
            _side(first, shared, len(metrics[0]), effective[0], surveys[0]),
            _side(second, shared, len(metrics[1]), effective[1], surveys[1]),
        ),
        same_sounds=same,
        parameters=parameters,
        directions=directions,
        angles=_angles(metrics, surveys, directions, same)
        if all(bool(survey.lengths.any()) for survey in surveys)
        else [],
        differences=_differences(parameters),
    )


def _check(first: MetricCache, second: MetricCache, shared: list[str]) -> None:
    for cache in (first, second):
        if not bool(cache.ok.any()):
            raise ValueError(f"{cache.path}: no sound has a metric, so there is nothing to compare")
    if not shared:
        raise ValueError(
            f"{first.path} and {second.path} share no parameter ({', '.join(first.space.names[:5])} … and "
            f"{', '.join(second.space.names[:5])} …); only metrics on the same parameters can be compared"
        )
    for name in shared:
        one, other = first.space[name], second.space[name]
        if (one.low, one.high, one.scale) != (other.low, other.high, other.scale):
            raise ValueError(
                f"parameter {name!r} has another range in {second.path} ({other}) than in {first.path} ({one}); "
                "steps in the cube then mean different things"
            )


def _common_rows(first: MetricCache, second: MetricCache) -> Tensor | None:
    """Return the rows with a metric in both caches, if both have the same settings; otherwise None."""
    if len(first) != len(second) or first.space.names != second.space.names:
        return None
    if not torch.allclose(first.u, second.u, rtol=0.0, atol=_SAME):
        return None
    rows = (first.ok & second.ok).nonzero().flatten()
    return rows if len(rows) else None


def _levels(lengths: Tensor) -> Tensor:
    """Return the medians of column lengths beside the longest one, in decibels."""
    medians = lengths.median(dim=0).values
    return 20 * (medians / medians.max().clamp(min=torch.finfo(torch.float64).tiny)).log10()


def _heard(level: Tensor, part: Tensor) -> bool:
    return bool(level > NOT_HEARD) and bool(part >= NOT_IDENTIFIABLE)


def _difference(parameter: Compared) -> float:
    """Return a rank: heard by one alone first, then the difference in identifiability and level."""
    level = abs(max(parameter.levels[0], 2 * NOT_HEARD) - max(parameter.levels[1], 2 * NOT_HEARD))
    part = abs(parameter.identifiability[0] - parameter.identifiability[1])
    return (
        100.0 * (parameter.heard[0] != parameter.heard[1]) + part / DIFFERENT_PART + level / DIFFERENT_LEVEL
    )


def _differences(parameters: list[Compared]) -> list[str]:
    sentences = []
    for place, other in ((0, 1), (1, 0)):
        alone = [p.name for p in parameters if p.heard[place] and not p.heard[other]]
        if alone:
            sentences.append(f"only {'AB'[place]} hears {', '.join(alone)}")
    both = [p for p in parameters if p.heard == (True, True)]
    for place, other in ((0, 1), (1, 0)):
        clearer = [
            p.name for p in both if p.identifiability[place] - p.identifiability[other] >= DIFFERENT_PART
        ]
        if clearer:
            sentences.append(f"{'AB'[place]} tells {', '.join(clearer)} apart from the others more clearly")
    neither = [p.name for p in parameters if p.heard == (False, False)]
    if neither:
        sentences.append(f"neither hears {', '.join(neither)}")
    return sentences or ["both hear the same parameters, about as clearly"]


def _angles(
    metrics: list[MetricSequence], surveys: list[diagnostics.Survey], directions: int, same: bool
) -> list[float]:
    """Return the principal angles between the leading eigenvectors, in degrees."""
    if same:
        with diagnostics.one_thread():
            parts = [
                _cosines([metric[first : first + _AT_A_TIME] for metric in metrics], directions)
                for first in range(0, len(metrics[0]), _AT_A_TIME)
            ]
        cosines = torch.cat(parts).median(dim=0).values
        return [math.degrees(math.acos(min(1.0, float(cosine)))) for cosine in cosines]
    from scipy.linalg import subspace_angles

    first, second = (survey.mean.eigenvectors[:, :directions].numpy(force=True) for survey in surveys)
    return sorted(math.degrees(float(angle)) for angle in subspace_angles(first, second))


def _cosines(metrics: list[RiemannianMetric], directions: int) -> Tensor:
    """Return the cosines of the principal angles between the leading eigenvectors of each sound."""
    first, second = (metric.eigenvectors[..., :directions] for metric in metrics)
    cosines: Tensor = torch.linalg.svdvals(first.mT @ second)
    return cosines


def _side(
    cache: MetricCache, shared: list[str], sounds: int, effective: float, survey: diagnostics.Survey
) -> Side:
    return Side(
        cache=str(cache.path),
        synthesizer=label(cache.config.get("synthesizer")),
        features=label(cache.config.get("features")),
        sounds=sounds,
        effective_rank=effective,
        condition=float(survey.condition.median()),
        only=[name for name in cache.space.names if name not in shared],
    )
