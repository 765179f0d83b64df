"""Sounds to listen to: a few settings, and from each, steps of the same metric distance along eigenvectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pnp import diagnostics
from pnp._protocols import FeatureMap, SynthesizerLike
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters.values import rounded

# Singular values below this share of the largest are inaudible, as for `diagnostics.rank`.
_INAUDIBLE = 1e-7
# Terms of an eigenvector at most.
_TERMS = 5


@dataclass(frozen=True)
class Step:
    """A step from a setting along one eigenvector of its metric.

    Attributes:
        words: The eigenvector in words, in the direction of the step.
        u: End of the step, (P,), in the unit cube.
        scaled: Length of the step in the cube.
        predicted: Distance that the metric predicts for it.
        actual: Distance between true features; None if they cannot be computed.
        clipped: True where the cube ends before the step of the wanted distance does.
        inaudible: True where the metric says that no step along the eigenvector is heard.
        sound: Samples, (N,); None if it cannot be synthesized.
    """

    words: str
    u: Tensor
    scaled: float
    predicted: float
    actual: float | None
    clipped: bool
    inaudible: bool
    sound: Tensor | None


@dataclass(frozen=True)
class Listening:
    """A setting and the steps around it.

    Attributes:
        row: Row of the cache.
        u: Setting, (P,), in the unit cube.
        distance: Metric distance that each step is meant to have.
        sound: Samples, (N,); None if it cannot be synthesized.
        steps: One per eigenvector shown, most audible first.
    """

    row: int
    u: Tensor
    distance: float
    sound: Tensor | None
    steps: tuple[Step, ...]


def spread_out(points: Tensor, count: int) -> list[int]:
    """Return the rows of a few sounds that lie far from one another.

    The first is the one nearest the centre of the cube, each other one that farthest from those before it.

    Args:
        points: Positions of the sounds in the unit cube, shape (n, P).
        count: Sounds at most.

    Returns:
        Row numbers.
    """
    if not len(points) or count < 1:
        return []
    chosen = [int(torch.linalg.vector_norm(points, dim=-1).argmin())]
    nearest = torch.linalg.vector_norm(points - points[chosen[0]], dim=-1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, torch.linalg.vector_norm(points - points[chosen[-1]], dim=-1))
    return chosen


def audible_distance(metric: RiemannianMetric) -> float:
    """Return a distance at which steps can be heard, yet mostly stay in the cube and near where the metric holds.

    With it the second most audible eigenvector (the only one, for one parameter) takes a tenth of the cube's
    side; rounded to one digit.

    Args:
        metric: Metric at one setting.

    Returns:
        The distance; 1 where that direction is inaudible.
    """
    values = metric.singular_values
    distance = 0.2 * float(values[min(1, len(values) - 1)])
    return float(f"{distance:.0e}") if distance > 0 else 1.0


def listen(
    rows: Sequence[int],
    metric: RiemannianMetric,
    u: Tensor,
    names: Sequence[str],
    distance: float | None,
    synths: Sequence[SynthesizerLike] | None,
    features: FeatureMap | None,
    dtype: torch.dtype = torch.float32,
    shown: Sequence[int] | None = None,
    labels: Sequence[int] | None = None,
) -> list[Listening]:
    """Return settings, steps around them, and their sounds where a synthesizer is at hand.

    Args:
        rows: Rows of the settings.
        metric: Metrics of all B sounds.
        u: Their positions in the unit cube, shape (B, P).
        names: The P parameters' names.
        distance: Metric distance of each step; None to choose one for each setting.
        synths: Synthesizer of each setting, from its P parameters to sounds; or None.
        features: Feature map, or None; used with a synthesizer only.
        dtype: Type in which both compute.
        shown: Eigenvectors to follow, by number; all by default.
        labels: Rows of the cache, where `rows` counts in a part of it.

    Returns:
        One entry per row.
    """
    shown = range(len(names)) if shown is None else shown
    found = []
    for place, row in enumerate(rows):
        synth = None if synths is None else synths[place]
        centre = u[row].to(torch.float64)
        around = _around(row, metric[row], centre, names, distance, synth, features, dtype, shown)
        found.append(around if labels is None else replace(around, row=labels[place]))
    return found


@torch.no_grad()
def _around(
    row: int,
    metric: RiemannianMetric,
    centre: Tensor,
    names: Sequence[str],
    distance: float | None,
    synth: SynthesizerLike | None,
    features: FeatureMap | None,
    dtype: torch.dtype,
    shown: Sequence[int],
) -> Listening:
    distance = audible_distance(metric) if distance is None else distance
    values = metric.singular_values
    directions, lengths, wanted = [], [], []
    for vector, value in zip(metric.eigenvectors.mT[list(shown)], values[list(shown)], strict=True):
        # An eigenvector has no sign: step to where there is more room.
        forward, backward = _room(centre, vector), _room(centre, -vector)
        directions.append(vector if forward >= backward else -vector)
        wanted.append(math.inf if value <= _INAUDIBLE * values[0] else distance / float(value))
        lengths.append(min(wanted[-1], max(forward, backward)))
    ends = torch.stack([centre + n * v for n, v in zip(lengths, directions, strict=True)]).clamp(-1, 1)
    points = torch.cat([centre[None], ends])
    sounds, reached = _heard(points, synth, features, dtype)
    steps = tuple(
        Step(
            words=_directed(vector, names),
            u=end,
            scaled=length,
            predicted=float(metric.norm(end - centre)),
            actual=None if reached is None else float(reached[k]),
            clipped=length < aim,
            inaudible=math.isinf(aim),
            sound=None if sounds is None else sounds[k + 1],
        )
        for k, (vector, end, length, aim) in enumerate(zip(directions, ends, lengths, wanted, strict=True))
    )
    return Listening(row, centre, distance, None if sounds is None else sounds[0], steps)


def _heard(
    points: Tensor, synth: SynthesizerLike | None, features: FeatureMap | None, dtype: torch.dtype
) -> tuple[Tensor | None, Tensor | None]:
    """Sounds at some points, and the distances of their features from those of the first."""
    if synth is None:
        return None, None
    sounds = synth(rounded(synth.space, synth.space.from_unit(points.to(dtype))))
    if features is None:
        return sounds, None
    values = features(sounds).flatten(1).to(torch.float64)
    return sounds, torch.linalg.vector_norm(values[1:] - values[0], dim=-1)


def _room(centre: Tensor, direction: Tensor) -> float:
    """Return the distance from a point to the end of the cube in a direction."""
    sides = torch.where(direction > 0, 1.0, -1.0).to(centre)
    reach = torch.where(direction.abs() < 1e-12, math.inf, (sides - centre) / direction)
    return float(reach.min().clamp(min=0))


def _directed(vector: Tensor, names: Sequence[str]) -> str:
    """The direction of a step in words, where an eigenvector's would have no sign."""
    words = diagnostics.in_words(vector.tolist(), names, most=_TERMS)
    if float(vector[vector.abs().argmax()]) >= 0:
        return words
    swapped = words.translate(str.maketrans("+−", "−+"))
    return f"−{swapped}"
