"""Sound matching by optimization: which parameters make a synthesizer sound like a given recording."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pnp._protocols import FeatureMap, SynthesizerLike
from pnp._text import did_you_mean
from pnp.matching.catalogue import Catalogue
from pnp.matching.multistart import Refinement
from pnp.matching.problem import Problem
from pnp.matching.recording import Recording, as_recording, load_recording
from pnp.matching.result import ChoiceEstimate, MatchResult, ParameterEstimate, Start
from pnp.matching.uncertainty import NOT_MUCH_LARGER, deviations, doubts, rivals
from pnp.metric.riemannian import RiemannianMetric
from pnp.offline.rebuild import features_of, synthesizer_of
from pnp.parameters import ParameterSpace
from pnp.store import MetricCache
from pnp.training.answers import Network

__all__ = ["MatchResult", "ParameterEstimate", "Start", "match"]

# With a match at hand, the recording is laid upon it and the search repeated, this often at most.
_REALIGNMENTS = 2
# A parameter this close to an end of the cube is at its bound.
_AT_BOUND = 1e-3


@torch.no_grad()
def match(
    sound: str | os.PathLike[str] | Tensor | np.ndarray,
    cache: MetricCache | str | os.PathLike[str],
    *,
    sample_rate: float | None = None,
    synth: SynthesizerLike | None = None,
    features: FeatureMap | None = None,
    encoder: Network | None = None,
    conditions: Mapping[str, float | str] | None = None,
    starts: int = 8,
    max_evaluations: int = 60,
    fit_gain: bool = True,
    align: bool = True,
    allow_clipped: bool = False,
    progress: bool = False,
) -> MatchResult:
    """Find the parameters with which a synthesizer comes closest to a sound.

    The sound is brought to the synthesizer's sampling rate and length, and its onset to where the
    synthesizer's sounds begin. The cache's sounds nearest to it in features are the starts of a bounded
    Levenberg-Marquardt search with exact Jacobians, see `pnp.matching.multistart.refine`.

    Integers and choices are searched by exchange, in turn with the continuous parameters: another option, or a whole
    number nearer or further, is taken where it brings the sound closer. Conditions that are given are kept; others are
    searched like parameters.

    The level of a recording is a nuisance. The recording is scaled to the median level of the synthesizer's
    sounds, where the features' compression works as it did for the cache; it is looked up in the cache at a
    range of levels; and the search has the synthesizer's gain as one more unknown.

    The uncertainty is that of least squares to first order: with residual r of C features at the match and
    metric M = JᵀJ there, the covariance is ‖r‖²/(C − P) M⁻¹. It tells how well the sound determines a parameter
    next to this match, and takes the features' errors for independent. Starts that ended elsewhere, at less than
    twice the distance, are other explanations: their mean squared offset adds to the variance. What no start found,
    it does not know. `warnings` says when starts disagree, when the residual is large, and when starts failed.

    A point at which the synthesizer raises or makes NaN is a bad point: a step there is shortened, and a start there is
    given up.

    Args:
        sound: File that soundfile reads, or samples of shape (n,) or (n, channels).
        cache: Cache of the synthesizer, with features, or its path.
        sample_rate: Of samples, in Hz; the synthesizer's by default. A file says for itself.
        synth: Synthesizer; by default the one that the cache names.
        features: Feature map; by default the one that the cache names.
        encoder: Any callable from sounds (B, N) to parameters in the cube (B, P), as `evaluate` takes it; its
            prediction is one more start.
        conditions: From the name of each condition that is known, such as a MIDI note, to its value.
        starts: Number of starts from the cache.
        max_evaluations: Most sounds to synthesize from one start, the start included.
        fit_gain: Estimate the gain; otherwise samples are compared at their own level.
        align: Move the onset.
        allow_clipped: Accept a clipped recording.
        progress: Show a progress bar.

    Returns:
        Parameters with their uncertainty, distances before and after, and sounds.

    Raises:
        FileNotFoundError: If there is no such file or cache.
        CacheError: If the cache keeps no features or has no finished sound, or its synthesizer or features are
            not known.
        SynthesisError: If the synthesizer fails at every start.
        ValueError: If the sound is one that `load_recording` refuses, an option or a condition is out of its range, or
            cache, synthesizer, features and encoder do not fit each other.
    """
    began = time.perf_counter()
    for name, number in (("starts", starts), ("max_evaluations", max_evaluations)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    problem = _problem(
        sound, cache, sample_rate, synth, features, conditions or {}, fit_gain, align, allow_clipped
    )
    rows: list[int | None]
    rows, points = problem.nearest(starts)  # type: ignore[assignment]
    origins = ["cache"] * len(rows)
    if encoder is not None:
        rows, origins = [*rows, None], [*origins, "encoder"]
        points = np.concatenate([points, problem.predicted(encoder, points[0])])
    ends = problem.refine(points, max_evaluations, progress)
    evaluations = sum(end.evaluations for end in ends)
    for _ in range(_REALIGNMENTS if align else 0):
        best = _best(ends)
        moved = problem.realigned(best)
        if moved is None:
            break
        # From all starts again: where the match was led by a wrong alignment, it may not find out.
        again = moved.refine(np.concatenate([points, best.u[None]]), max_evaluations, progress)
        evaluations += sum(end.evaluations for end in again)
        if _best(again).distance * problem.target_norm >= best.distance * moved.target_norm:
            break
        # What is reported belongs to the recording as it is now, its starts included.
        problem, ends = moved, again
    if len(ends) > len(rows):
        rows, origins = [*rows, None], [*origins, "alignment"]
    return _result(
        problem,
        points,
        [_start(problem, *start) for start in zip(origins, rows, ends, strict=True)],
        ends,
        evaluations,
        time.perf_counter() - began,
    )


def _problem(
    sound: str | os.PathLike[str] | Tensor | np.ndarray,
    cache: MetricCache | str | os.PathLike[str],
    sample_rate: float | None,
    synth: SynthesizerLike | None,
    features: FeatureMap | None,
    conditions: Mapping[str, float | str],
    fit_gain: bool,
    align: bool,
    allow_clipped: bool,
) -> Problem:
    opened = cache if isinstance(cache, MetricCache) else MetricCache(cache)
    try:
        engine: SynthesizerLike = synthesizer_of(opened) if synth is None else synth
        rate = engine.sample_rate if sample_rate is None else sample_rate
        recording = _recording(sound, rate, allow_clipped)
        module = engine if isinstance(engine, nn.Module) else None
        analysis: FeatureMap = features_of(opened, module) if features is None else features
        catalogue = Catalogue.from_cache(opened, engine, analysis)
    finally:
        if opened is not cache:
            opened.close()
    known = _known(engine.space, conditions)
    return Problem(catalogue, recording, catalogue.onset if align else None, fit_gain, known)


def _known(space: ParameterSpace, conditions: Mapping[str, float | str]) -> dict[str, float]:
    """Return conditions that are known as numbers, each checked in its own unit."""
    expected = [condition.name for condition in space.conditions]
    known = {}
    for name, value in conditions.items():
        if name not in expected:
            cause = (
                "; it is to be found and is no condition"
                if name in space.column_names
                else did_you_mean(name, expected)
            )
            raise ValueError(
                f"unknown condition {name!r}, expected some of {', '.join(expected) or 'none'}{cause}"
            )
        parameter = space[name]
        number = parameter.number(value)
        if not parameter.low <= number <= parameter.high:
            unit = f" {parameter.unit}" if parameter.unit else ""
            raise ValueError(
                f"condition {name!r} must lie in [{parameter.low:g}, {parameter.high:g}]{unit}, the range of the "
                f"cache; got {number:g}{unit}"
            )
        known[name] = number
    return known


def _recording(
    sound: str | os.PathLike[str] | Tensor | np.ndarray, sample_rate: float, allow_clipped: bool
) -> Recording:
    if isinstance(sound, Tensor):
        sound = sound.numpy(force=True)
    if isinstance(sound, np.ndarray):
        return as_recording(sound, sample_rate, allow_clipped=allow_clipped)
    return load_recording(sound, allow_clipped=allow_clipped)


def _best(ends: Sequence[Refinement]) -> Refinement:
    return min(ends, key=lambda end: end.distance)


def _start(problem: Problem, origin: str, row: int | None, end: Refinement) -> Start:
    theta = tuple(problem.complete(end.u).tolist())
    return Start(origin, row, end.distances[0], end.distance, theta, end.evaluations, end.reason)


def _result(
    problem: Problem,
    points: np.ndarray,
    starts: list[Start],
    ends: list[Refinement],
    evaluations: int,
    seconds: float,
) -> MatchResult:
    """Gather what is known of the best end."""
    best, space = _best(ends), problem.catalogue.synth.space
    n_parameters, n_found = len(space), len(problem.synth.space)
    J = problem.jacobian(best.u)
    has_derivative = bool(np.isfinite(J).all())
    metric = RiemannianMetric.from_jacobian(torch.from_numpy(J if has_derivative else np.zeros_like(J)))
    others = rivals(ends, best, metric, n_found if problem.fit_gain else None)
    warnings = doubts(ends, best, others, problem.target_norm)
    if not has_derivative:
        warnings += ("The synthesizer has no derivative at the match: the uncertainty is not known.",)
    elsewhere = np.array([end.u for end in others]).reshape(len(others), len(best.u))
    deviation = deviations(metric, best.distance, len(problem.phi), elsewhere, best.u)
    estimates = _estimates(problem, best, deviation)
    choices = tuple(
        _choice(problem, best, column)
        for column, parameter in enumerate(problem.space.columns)
        if parameter.choices
    )
    tried = sum(len(choice.distances) - 1 for choice in choices)
    warnings += _undecided(choices, best.distance)
    # The cache's nearest sound at which the synthesizer does not fail; of any origin if it fails at all of these.
    usable = [i for i, start in enumerate(starts) if math.isfinite(start.before) and i < len(points)]
    first = min(usable, key=lambda i: (starts[i].origin != "cache", starts[i].before))
    predicted = [start.before for start in starts if start.origin == "encoder"]
    return MatchResult(
        parameters=estimates[:n_parameters],
        conditions=estimates[n_parameters:n_found],
        choices=choices,
        given={name: space[name].value(number) for name, number in problem.known.items()},
        gain=(estimates[-1].value if problem.fit_gain else 1.0) / problem.scale,
        distance_before=starts[first].before,
        distance_after=best.distance,
        distance_encoder=predicted[0] if predicted else None,
        target_norm=problem.target_norm,
        starts=tuple(starts),
        evaluations=evaluations + tried,
        seconds=seconds,
        notes=problem.notes,
        warnings=warnings,
        sample_rate=float(problem.engine.sample_rate),
        metric=metric,
        theta=problem.complete(best.u),
        target=problem.recorded,
        sound=problem.at_own_level(best.u),
        nearest=problem.at_own_level(points[first]),
    )


def _estimates(problem: Problem, best: Refinement, deviation: Tensor) -> tuple[ParameterEstimate, ...]:
    """Return each parameter in physical units with its uncertainty; the gain last if it was estimated."""
    u = torch.from_numpy(best.u)[: len(problem.space)]
    low, value, high = (
        problem.space.from_unit(end.clamp(-1.0, 1.0)).tolist() for end in (u - deviation, u, u + deviation)
    )
    return tuple(
        ParameterEstimate(
            p.name,
            value[i],
            p.unit,
            low[i],
            high[i],
            float(u[i]),
            float(deviation[i]),
            bool(u[i].abs() > 1 - _AT_BOUND),
        )
        for i, p in enumerate(problem.space)
    )


def _choice(problem: Problem, best: Refinement, column: int) -> ChoiceEstimate:
    """Return the option of a choice with the distances that the others would have."""
    parameter, theta = problem.space.columns[column], problem.theta(best.u)
    chosen, distances = int(theta[column]), {}
    for option, name in enumerate(parameter.choices):
        point = best.u.copy()
        theta[column] = option
        point[column] = float(problem.space.to_unit(theta)[column])
        distance = best.distance if option == chosen else float(np.linalg.norm(problem.residual(point)))
        distances[name] = distance if math.isfinite(distance) else math.inf
    return ChoiceEstimate(parameter.name, parameter.choices[chosen], distances)


def _undecided(choices: Sequence[ChoiceEstimate], distance: float) -> tuple[str, ...]:
    """Return a sentence for each choice that the sound does not decide."""
    found = []
    for choice in choices:
        alike = [
            name
            for name, other in choice.distances.items()
            if name != choice.option and other <= NOT_MUCH_LARGER * distance
        ]
        if alike:
            found.append(
                f"The sound does not decide {choice.name}: with {', '.join(alike)} in place of {choice.option}, the "
                "distance would be less than twice as large."
            )
    return tuple(found)
