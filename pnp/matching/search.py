"""Search for the parameters of one recording after another, with one catalogue of starts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from pnp._arguments import whole_number
from pnp._text import did_you_mean
from pnp._torch.blas import blas_in_one_thread
from pnp.matching.catalogue import Catalogue
from pnp.matching.coarse_to_fine import coarse_to_fine
from pnp.matching.doubts import doubts
from pnp.matching.likelihood import Likelier, distance_by_noise, likelier
from pnp.matching.multistart import Refinement, norm
from pnp.matching.noise import NOISY
from pnp.matching.onset import count_onsets
from pnp.matching.problem import Problem
from pnp.matching.recording import Recording, resampled
from pnp.matching.result import ChoiceEstimate, MatchResult, ParameterEstimate, Start
from pnp.matching.searches import aligned, equalized, refined, searched_again
from pnp.matching.uncertainty import NOT_MUCH_LARGER, deviations, rivals
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters import ParameterSpace
from pnp.training.answers import Network

__all__ = ["Search", "check_options", "known_conditions"]

# With a match at hand, the recording is laid upon it and the search repeated, this often at most.
_REALIGNMENTS = 2
# A sound of the synthesizer is missed if the match is further away than this part of its features.
_MISSED = 0.01
# What another draw of the noise makes of a distance, times this, is not missed either.
_NOISE_MARGIN = 1.15
# Where the residual changes by less than this part of the distance, there is less than that to gain by moving.
_WORTH_MOVING = 0.1
# A parameter this close to an end of the cube is at its bound.
_AT_BOUND = 1e-3


@dataclass(frozen=True)
class Search:
    """Search for the parameters of recordings; options are those of `pnp.match`.

    Attributes:
        catalogue: Sounds of the cache and habits of its synthesizer.
        encoder: Callable whose prediction is one more start.
        known: From the name of each condition that is known to its number in physical units.
        starts: Number of starts from the cache.
        max_evaluations: Most sounds to synthesize from one start in each of the searches.
        fit_gain: True to estimate the gain.
        fit_noise: True to estimate the noise floor; None leaves that to the recording.
        align: True to move the onset.
        long_steps: True to search again by differences over long steps; None does so where the search ended far away
            from a sound that the synthesizer can make.
        equalize: True to estimate a gentle equalizer behind the synthesizer, once all else has been matched.
        coarse: True to search on coarse spectrograms first, False to search on the features alone.

    Raises:
        ValueError: If an option is out of its range.
    """

    catalogue: Catalogue
    encoder: Network | None = None
    known: Mapping[str, float] = field(default_factory=dict)
    starts: int = 8
    max_evaluations: int = 60
    fit_gain: bool = True
    fit_noise: bool | None = None
    align: bool = True
    long_steps: bool | None = None
    equalize: bool = False
    coarse: bool = True

    def __post_init__(self) -> None:
        check_options(self.starts, self.max_evaluations)

    @torch.no_grad()
    @blas_in_one_thread()
    def match(self, recording: Recording, *, progress: bool = False) -> MatchResult:
        """Match one recording.

        Args:
            recording: Samples of a file.
            progress: Show a progress bar.

        Returns:
            Parameters with their uncertainty, distances and sounds.

        Raises:
            SynthesisError: If the synthesizer fails at every start.
            ValueError: If nothing of the recording is left to compare, or the encoder does not fit.
        """
        began = time.perf_counter()
        # Once, and not for every problem.
        recording = resampled(recording, self.catalogue.synth.sample_rate)
        onset = self.catalogue.place(recording) if self.align else None
        floor = bool(self.fit_noise)
        problem = Problem(self.catalogue, recording, onset, self.fit_gain, self.known, floor)
        if self.fit_noise is None and problem.noise > NOISY:
            problem = problem.with_noise()
        rows: list[int | None]
        rows, points = problem.nearest(self.starts)  # type: ignore[assignment]
        origins = ["cache"] * len(rows)
        if self.encoder is not None:
            rows, origins = [*rows, None], [*origins, "encoder"]
            points = np.concatenate([points, problem.predicted(self.encoder, points[0])])
        ends = self._searched(problem, points, progress)
        evaluations = sum(end.evaluations for end in ends)
        for _ in range(_REALIGNMENTS if self.align else 0):
            best = _best(ends)
            moved = problem.realigned(best.u)
            if moved is None or _apart(moved, problem, best.u) < _WORTH_MOVING * best.distance:
                break
            # From all starts again: where the match was led by a wrong alignment, it may not find out.
            again = self._searched(moved, np.concatenate([points, best.u[None]]), progress)
            evaluations += sum(end.evaluations for end in again)
            if _best(again).distance * problem.target_norm >= best.distance * moved.target_norm:
                break
            # What is reported belongs to the recording as it is now, its starts included.
            problem, ends = moved, again
        if len(ends) > len(rows):
            rows, origins = [*rows, None], [*origins, "alignment"]
        if self._searches_again(problem, ends):
            ends, tried = searched_again(problem, points, ends, self.max_evaluations, progress)
            evaluations += tried
        if self.align and self._is_noisy(problem, ends):
            problem, ends = aligned(problem, points, ends)
        flat = None
        if self.equalize:
            flat = _best(ends).distance
            problem, ends, tried = equalized(problem, ends, self.max_evaluations, progress)
            points = problem.flat(points)
            evaluations += tried
        starts = [_start(problem, *start) for start in zip(origins, rows, ends, strict=True)]
        better = self._likelier(problem, ends)
        evaluations += better.evaluations if better else 0
        seconds = time.perf_counter() - began
        return _result(problem, points, starts, ends, better, evaluations, seconds, flat)

    def _searched(self, problem: Problem, points: np.ndarray, progress: bool) -> list[Refinement]:
        """Search from some points; one evaluation each is no search."""
        if not self.coarse or self.max_evaluations == 1:
            return refined(problem, points, self.max_evaluations, progress)
        long_steps = self.long_steps is not False
        return coarse_to_fine(problem, points, self.max_evaluations, progress, long_steps=long_steps)

    def _searches_again(self, problem: Problem, ends: Sequence[Refinement]) -> bool:
        """Tell if there is a second search by long steps: where the first one seems to have missed the sound."""
        if self.long_steps is not None:
            return self.long_steps
        if self.max_evaluations == 1:
            return False
        usual, nearest = self.catalogue.neighbour_distance, min(end.distances[0] for end in ends)
        if usual is None or nearest > usual * problem.target_norm:
            return False
        best = _best(ends)
        if best.distance <= _MISSED * problem.target_norm:
            return False
        noisy = bool(problem.noise_to_sound(best.u))
        return not noisy or best.distance > _NOISE_MARGIN * distance_by_noise(problem, best.u)

    def _is_noisy(self, problem: Problem, ends: Sequence[Refinement]) -> bool:
        """Tell if there was a search, and the best end has a noise floor."""
        return self.max_evaluations > 1 and bool(problem.noise_to_sound(_best(ends).u))

    def _likelier(self, problem: Problem, ends: Sequence[Refinement]) -> Likelier | None:
        """Refine the best end where it has a noise floor; never to a point further away than the nearest start."""
        best = _best(ends)
        if not self._is_noisy(problem, ends):
            return None
        found = likelier(problem, best.u, self.max_evaluations)
        if found is None or float(np.linalg.norm(problem.residual(found.u))) > min(
            end.distances[0] for end in ends
        ):
            return None
        return found


def check_options(starts: int, max_evaluations: int) -> None:
    """Refuse numbers of starts and evaluations with which there is no search.

    Args:
        starts: Number of starts.
        max_evaluations: Most sounds to synthesize from one start.

    Raises:
        TypeError: If one is no whole number.
        ValueError: If one is below 1.
    """
    for name, number in (("starts", starts), ("max_evaluations", max_evaluations)):
        whole_number(name, number, least=1)


def known_conditions(space: ParameterSpace, conditions: Mapping[str, float | str]) -> dict[str, float]:
    """Return conditions that are known as numbers, each checked in its own unit.

    Args:
        space: Space of the synthesizer.
        conditions: From the name of each condition that is known to its value.

    Returns:
        From names to numbers in physical units.

    Raises:
        ValueError: If there is no such condition, or a value is out of its range.
    """
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
                f"unknown condition {name!r}, expected some of {', '.join(expected)}{cause}"
                if expected
                else f"unknown condition {name!r}{cause}; this synthesizer has no conditions"
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


def _apart(one: Problem, other: Problem, u: np.ndarray) -> float:
    """Return how much the residual at a point changes; where a recording is cut elsewhere, so is the point's sound."""
    return norm(one.residual(u) - other.residual(u))


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
    better: Likelier | None,
    evaluations: int,
    seconds: float,
    flat: float | None,
) -> MatchResult:
    """Gather what is known of the best end, or of the likelier point that was found from there."""
    best, space = _best(ends), problem.catalogue.synth.space
    n_parameters, n_found = len(space), len(problem.synth.space)
    # Explanations that differ are told apart before the refinement, which only one of them had.
    nearest_end = best
    if better is not None:
        distance = float(np.linalg.norm(problem.residual(better.u)))
        best = replace(best, u=better.u, distance=distance)
    J = problem.jacobian(best.u)
    has_derivative = bool(np.isfinite(J).all())
    metric = RiemannianMetric.from_jacobian(torch.from_numpy(J if has_derivative else np.zeros_like(J)))
    others = rivals(ends, nearest_end, metric, range(n_found, len(problem.space)))
    elsewhere = np.array([end.u for end in others]).reshape(len(others), len(best.u))
    seen = metric if better is None else RiemannianMetric.from_jacobian(torch.from_numpy(better.jacobian))
    near = None if better is None else better.variance
    deviation = deviations(seen, best.distance, len(problem.phi), elsewhere, nearest_end.u, near)
    estimates = _estimates(problem, best, deviation)
    choices = tuple(
        _choice(problem, best, column)
        for column, parameter in enumerate(problem.space.columns)
        if parameter.choices
    )
    tried = sum(len(choice.distances) - 1 for choice in choices)
    # The cache's nearest sound at which the synthesizer does not fail; of any origin if it fails at all of these.
    usable = [i for i, start in enumerate(starts) if math.isfinite(start.before) and i < len(points)]
    first = min(usable, key=lambda i: (starts[i].origin != "cache", starts[i].before))
    predicted = [i for i, start in enumerate(starts) if start.origin == "encoder"]
    warnings = doubts(
        ends,
        best,
        others,
        estimates[:n_found],
        target_norm=problem.target_norm,
        nearest=starts[first].before,
        usual=problem.catalogue.neighbour_distance,
        unheard=_unheard(problem, estimates[:n_found]) if has_derivative else None,
        onsets=(
            count_onsets(problem.recorded.numpy(), problem.engine.sample_rate),
            problem.catalogue.most_onsets,
        ),
    )
    return MatchResult(
        warnings=warnings + _undecided(choices, best.distance),
        parameters=estimates[:n_parameters],
        conditions=estimates[n_parameters:n_found],
        choices=choices,
        given={name: space[name].value(number) for name, number in problem.known.items()},
        gain=problem.gain(best.u),
        equalizer=problem.decibels(best.u),
        noise=problem.noise_to_sound(best.u),
        distance_before=starts[first].before,
        distance_after=best.distance,
        distance_flat=flat,
        distance_encoder=starts[predicted[0]].before if predicted else None,
        target_norm=problem.target_norm,
        starts=tuple(starts),
        evaluations=evaluations + tried,
        seconds=seconds,
        notes=problem.notes,
        misfit=None if better is None else (better.before, better.after),
        sample_rate=float(problem.engine.sample_rate),
        metric=metric,
        theta=problem.complete(best.u),
        target=problem.recorded,
        sound=problem.at_own_level(best.u),
        nearest=problem.at_own_level(points[first]),
        predicted=_heard(problem, points[predicted[0]]) if predicted else None,
    )


def _heard(problem: Problem, u: np.ndarray) -> Tensor | None:
    """Return the sound at a point; None where the synthesizer fails."""
    return problem.at_own_level(u) if np.isfinite(problem.residual(u)).all() else None


def _unheard(problem: Problem, estimates: Sequence[ParameterEstimate]) -> list[str]:
    """Return the continuous parameters that could be anything."""
    return [p.name for p in estimates if math.isinf(p.deviation) and not problem.space[p.name].is_whole]


def _estimates(problem: Problem, best: Refinement, deviation: Tensor) -> tuple[ParameterEstimate, ...]:
    """Return each parameter in physical units with its uncertainty; gain and noise last if they were estimated."""
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
