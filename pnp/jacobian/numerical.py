"""Tangents of sounds by finite differences, for a synthesizer that only renders."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pnp._protocols import SynthesizerModule
from pnp._text import percent
from pnp._torch.memory import NUMBERS_AT_ONCE
from pnp.errors import SynthesisError
from pnp.jacobian.derivatives import DEFAULT_STEP, by_name
from pnp.jacobian.finite_differences import (
    LADDER,
    NODES,
    STANDS_OUT,
    Agreement,
    Step,
    best_step,
    contradiction,
    derivative_weights,
)
from pnp.parameters import ParameterSpace
from pnp.parameters.values import described_values

__all__ = ["DifferencedSounds", "NumericalTangents", "Progress", "Wrapper", "measured_steps", "numerical_of"]

_log = logging.getLogger(__name__)

Render = Callable[[Tensor], Tensor]
Progress = Callable[[Sequence[Any]], Iterable[Any]]

# Points at which steps are measured, and how far from the middle of the range: the largest step must stay inside.
_N_PILOTS = 3
_MOST_TRIED = 24
_PILOT_REACH = 0.75

# Points along an axis at which a parameter that small steps do not change is tried for jumps.
_WIDE = 9

# Share of the tolerance that a sound's own two differences may use: unlike those that a step is measured with, nothing
# else is known about them.
_ROW = 0.3

# Disagreement of derivatives from which on a user is told.
_UNCERTAIN = 0.02

# Step for a parameter that does not change the sound anywhere it was tried: its derivative is 0 at any step.
_INAUDIBLE = Step(1e-3)

# Steps of differences of features, for parameters that change the sound in jumps alone.
_JUMPS = (DEFAULT_STEP, 0.25, 0.5, 1.0, 2.0)


class NumericalTangents:
    """Finite differences of sounds along unit coordinates, at steps that are measured.

    Args:
        render: Map from physical parameters (B, D), float64, to sounds (B, N), float64, row by row.
        space: Parameters, choices and conditions.
        n_samples: Number of samples N.
        label: Name of the renderer in messages, such as "the program 'bell'".
        steps: Step in unit coordinates in place of the measured ones: a number for all, or by name.
        tolerance: Relative disagreement of differences beyond which there is no derivative: a number, or by name.
        several: Renders to ask for at a time, at least.
        settle: Makes the renderer depend less on earlier sounds; returns what it does in words, or None where it knows
            no further way.
    """

    def __init__(
        self,
        render: Render,
        space: ParameterSpace,
        n_samples: int,
        label: str,
        *,
        steps: float | Mapping[str, float] | None = None,
        tolerance: float | Mapping[str, float] = 0.1,
        several: int = 1,
        settle: Callable[[], str | None] | None = None,
    ) -> None:
        self._render = render
        self._space = space
        self._n_samples = n_samples
        self._label = label
        self._several = several
        self._settle = settle or (lambda: None)
        self.given = by_name(space, "steps", steps or {}, 0.0, 1.0)
        tolerances = by_name(space, "tolerance", tolerance, 0.0, 1.0, exclusive=True)
        self._tolerance = {name: tolerances.get(name, 0.1) for _, name in self._smooth}
        self.measured: dict[str, Step] | None = None
        self._found_pilots: list[tuple[Tensor, Tensor]] | None = None

    @property
    def _smooth(self) -> list[tuple[int, str]]:
        """Columns and names of the continuous parameters."""
        return [(column, p.name) for column, p in enumerate(self._space) if not p.is_whole]

    # Steps ----------------------------------------------------------------------------------------------------------

    def calibrate(self, progress: Progress | None = None) -> dict[str, Step]:
        """Measure the step of each parameter; done once.

        A parameter without a derivative is named in a warning, with its best step and error.

        Args:
            progress: Shows the progress of an iterable, as `tqdm` does.

        Returns:
            From parameter name to step.

        Raises:
            ValueError: If the renderer is not deterministic.
            SynthesisError: If it fails.
        """
        if self.measured is None:
            pilots, sounds = map(list, zip(*self.pilots(), strict=True))
            found = dict[str, Step]()
            for column, name in self._smooth if progress is None else progress(self._smooth):
                given = self.given.get(name)
                found[name] = self._measure(column, name, pilots, sounds) if given is None else Step(given)
            self.measured = found
            _log.info("steps of %s: %s", self._label, {name: step.size for name, step in found.items()})
        return self.measured

    def pilots(self) -> list[tuple[Tensor, Tensor]]:
        """Return points in unit coordinates where the renderer sounds, and the same twice, with sounds; found once.

        Raises:
            ValueError: If the same parameters give different samples.
            SynthesisError: If it fails everywhere.
        """
        if self._found_pilots is None:
            self._found_pilots = self._look_for_pilots("")
        return self._found_pilots

    def _look_for_pilots(self, remedy: str) -> list[tuple[Tensor, Tensor]]:
        found, failure = list[tuple[Tensor, Tensor]](), None
        for u in self._space.snap(_PILOT_REACH * self._space.sample(_MOST_TRIED)):
            theta = self._space.from_unit(u)[None]
            try:
                first, second = self._render(theta), self._render(theta)
            except SynthesisError as error:
                # It may fail in part of its range: that concerns the sounds there, not the whole run.
                failure = error
                continue
            if not torch.equal(first, second):
                return self._settled(
                    "the same parameters twice give different samples; switch off dither, or seed its noise with a "
                    "condition Parameter('seed', kind='seed')"
                )
            if not found and self._remembers(theta, first):
                return self._settled(
                    "the same parameters give other samples after other sounds; reset its state before each sound"
                )
            found.append((u, first))
            if len(found) == _N_PILOTS:
                break
        if failure is not None and not found:
            raise failure
        if remedy:
            _log.warning("%s depends on the sounds before: %s", self._label, remedy)
        return found

    def _remembers(self, theta: Tensor, x: Tensor) -> bool:
        """Tell if a sound depends on the sounds before it: it is played again after distant ones."""
        for corner in (-_PILOT_REACH, _PILOT_REACH):
            distant = self._space.from_unit(self._space.snap(torch.full_like(theta, corner)))
            # What matters is that it was played, not that it was well.
            with contextlib.suppress(SynthesisError):
                self._render(distant)
            if not torch.equal(self._render(theta), x):
                return True
        return False

    def _settled(self, problem: str) -> list[tuple[Tensor, Tensor]]:
        """Return pilots of a renderer that has been made to depend less on earlier sounds."""
        remedy = self._settle()
        if remedy is None:
            raise ValueError(f"{self._label} is not deterministic: {problem}")
        return self._look_for_pilots(remedy)

    def _measure(self, column: int, name: str, pilots: list[Tensor], sounds: list[Tensor]) -> Step:
        """Measure the step at which the derivative of the sound at the pilots depends least on the step."""
        found, failure = list[Agreement](), None
        for pilot, x in zip(pilots, sounds, strict=True):
            try:
                agreement = self._agreement(column, pilot, x)
            except SynthesisError as error:  # a step may lead to where it fails
                failure = error
                continue
            found.append(agreement)
        if failure is not None and not found:
            raise failure
        audible = [agreement for agreement in found if agreement.audible]
        if not audible:
            return self._plateaus(column, name, pilots)
        tolerance = self._tolerance[name]
        step = best_step(audible, tolerance)
        if not step.disagreement < tolerance:
            secant = self._secant(column, pilots, step)
            _log.warning(
                "parameter %r of %s has no derivative: differences disagree by %s or more at every step, least at "
                "%.2g; differences of features over ±%.2g take its place. Likely it has kinks, lies on a grid, or "
                "drowns in noise; a larger tolerance accepts the disagreement",
                name,
                self._label,
                percent(step.disagreement, 0),
                step.size,
                secant.secant,
            )
            return secant
        if not step.worst < tolerance:
            step = step.with_secant(DEFAULT_STEP, always=False)
            _log.warning(
                "parameter %r of %s has no derivative at some sounds: differences disagree by %s there and by %s "
                "elsewhere, at a step of %.2g; where they do, differences of features over ±%.2g take its place",
                name,
                self._label,
                percent(step.worst, 0) if math.isfinite(step.worst) else "all they are",
                percent(step.disagreement, 1),
                step.size,
                step.secant,
            )
        elif step.worst > _UNCERTAIN:
            _log.warning(
                "derivatives with respect to %r of %s are uncertain by about %s, at the best step of %.2g; likely "
                "its samples or its parameters are coarse",
                name,
                self._label,
                percent(step.worst, 0),
                step.size,
            )
        return step

    def _plateaus(self, column: int, name: str, pilots: list[Tensor]) -> Step:
        """Step of a parameter that no short step changes: it is inaudible, or changes the sound in jumps alone."""
        for pilot in pilots:
            sounds = self._sounds_along(column, pilot, torch.linspace(-1.0, 1.0, _WIDE, dtype=torch.float64))
            if any(not torch.equal(sound, sounds[0]) for sound in sounds):
                secant = self._secant(column, pilots, Step(DEFAULT_STEP, math.inf, math.inf))
                _log.warning(
                    "parameter %r of %s has no derivative: it changes the sound in jumps and not in between; "
                    "differences of features over ±%.2g take its place. Likely it is an integer or a choice: give it "
                    "kind='integer' or choices",
                    name,
                    self._label,
                    secant.secant,
                )
                return secant
        _log.warning("parameter %r of %s did not change the sound where it was tried", name, self._label)
        return _INAUDIBLE

    def _secant(self, column: int, pilots: list[Tensor], step: Step) -> Step:
        """Step with a longer one for differences of features: the shortest that changes the sound at all pilots."""
        for size in _JUMPS:
            ends = [
                self._sounds_along(
                    column, pilot, (pilot[column] + size * torch.tensor([-1.0, 1.0])).clamp(-1, 1)
                )
                for pilot in pilots
            ]
            if all(len(pair) < 2 or not torch.equal(*pair) for pair in ends):
                break
        return step.with_secant(size, always=True)

    def _sounds_along(self, column: int, pilot: Tensor, positions: Tensor) -> list[Tensor]:
        """Sounds at positions along one axis, without those that fail."""
        sounds = list[Tensor]()
        for position in positions:
            point = pilot.clone()
            point[column] = position
            with contextlib.suppress(SynthesisError):
                sounds.append(self._render(self._space.from_unit(point)[None]))
        return sounds

    def _agreement(self, column: int, pilot: Tensor, x: Tensor) -> Agreement:
        """Compare the differences of the sound x of a pilot, shape (1, N), along one axis."""
        ladder = torch.tensor(LADDER, dtype=torch.float64)
        points = pilot.expand(2, len(ladder), -1).clone()
        points[..., column] += ladder * torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        sounds = self._render(self._space.from_unit(points).flatten(0, 1))
        return Agreement.of(x, *sounds.unflatten(0, (2, -1)))

    # Tangents -------------------------------------------------------------------------------------------------------

    def tangents(
        self, theta: Float[Tensor, "B D"], axes: Sequence[int]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B A N"], Bool[Tensor, "B A"]]:
        """Sounds, their derivatives with respect to some physical parameters, and where there are none.

        Args:
            theta: Physical parameters, shape (B, D).
            axes: Columns of the parameters.

        Returns:
            Sounds, shape (B, N); tangents, shape (B, A, N); and True, shape (B, A), where there is no derivative and
            the tangent is 0: the parameter has none anywhere, is known to have kinks and has one here, or changes
            this sound in jumps.

        Raises:
            ValueError: If the renderer is not deterministic.
            SynthesisError: If it fails, or another parameter has no derivative at one of these sounds.
        """
        steps = self.calibrate()
        exact = theta.detach().double().cpu()
        u = self._space.to_unit(exact)
        step = torch.full(u.shape[1:], _INAUDIBLE.size, dtype=torch.float64)
        for column, name in self._smooth:
            step[column] = steps[name].size
        centre = torch.minimum(torch.maximum(u, step - 1.0), 1.0 - step)
        # Where along its axis each difference is taken: (B, D, 4).
        along = centre[..., None] + step[:, None] * torch.tensor(NODES, dtype=torch.float64)
        weights = derivative_weights(along - u[..., None])
        slope = self._space.slope(u)
        x = self._render(exact)
        tangents = torch.zeros(len(u), len(axes), self._n_samples, dtype=theta.dtype, device=theta.device)
        missing = torch.zeros(len(u), len(axes), dtype=torch.bool)
        # All sounds around all rows would take 4 P times the memory of the sounds.
        group = max(1, NUMBERS_AT_ONCE // (4 * self._n_samples), self._several)
        never = torch.tensor([steps[self._space.names[column]].always for column in axes], dtype=torch.bool)
        missing[:, never] = True
        to_render = (~never).nonzero().flatten()
        for row in range(len(u)):
            for places in to_render.split(group) if len(to_render) else ():
                columns = torch.tensor(axes)[places]
                points = torch.cat(
                    [self._moved(exact[row], u[row], c, along[row, c]) for c in columns.tolist()]
                )
                around = self._render(points).unflatten(0, (-1, 4))
                for place, column, neighbours in zip(places, columns.tolist(), around, strict=True):
                    centred = bool(centre[row, column] == u[row, column])
                    contradicted = self._is_contradicted(
                        column, x[row], neighbours, exact[row], centred=centred
                    )
                    if contradicted or self._is_plateau(column, x[row], neighbours, exact[row], u[row]):
                        missing[row, place] = True
                        continue
                    # The weights sum to 0 but for rounding: with the sound itself taken off, no change gives exactly 0.
                    difference = weights[row, column] @ (neighbours - x[row])
                    tangents[row, place] = (difference / slope[row, column]).to(tangents)
        return x.to(theta), tangents, missing

    def _is_contradicted(
        self, column: int, x: Tensor, around: Tensor, theta: Tensor, *, centred: bool
    ) -> bool:
        """Tell if the sounds at hand contradict a derivative, where that is known to happen; else refuse it."""
        name = self._space.names[column]
        # Who gives a step may want the slope across a jump.
        if name in self.given:
            return False
        step = self.calibrate()[name]
        problem = contradiction(x, around, step, _ROW * self._tolerance[name], centred=centred)
        if problem is None:
            return False
        if step.secant and problem is not STANDS_OUT:
            return True
        reason = f"parameter {name!r} of {self._label} has no derivative here: {problem}"
        raise SynthesisError(reason, described_values(self._space, theta.tolist()))

    def _is_plateau(self, column: int, x: Tensor, around: Tensor, theta: Tensor, u: Tensor) -> bool:
        """Tell if a short step leaves this sound as it is and a longer one does not, as in a waveform with jumps."""
        if self._space.names[column] in self.given or bool((around != x).any()):
            return False
        ends = (u[column] + DEFAULT_STEP * torch.tensor([-1.0, 1.0])).clamp(-1.0, 1.0)
        for point in self._moved(theta, u, column, ends):
            with contextlib.suppress(SynthesisError):
                if not torch.equal(self._render(point[None])[0], x):
                    return True
        return False

    def _moved(self, theta: Tensor, u: Tensor, column: int, positions: Tensor) -> Tensor:
        """Physical parameters at positions along one axis; the others to the last bit as they are."""
        points, moved = u.repeat(len(positions), 1), theta.repeat(len(positions), 1)
        points[:, column] = positions
        moved[:, column] = self._space.from_unit(points)[:, column]
        return moved


class DifferencedSounds:
    """Base of synthesizers whose tangents are finite differences.

    Attributes:
        numerical: The differences, with their steps.
    """

    numerical: NumericalTangents

    def tangents_where_they_exist(
        self, theta: Float[Tensor, "B D"], axes: Sequence[int]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B A N"], Bool[Tensor, "B A"]]:
        """Return sounds, their tangents along some axes, and where there are none; see `NumericalTangents.tangents`."""
        return self.numerical.tangents(theta, axes)


class Wrapper:
    """Base of synthesizers around another, which hand on its finite differences.

    Attributes:
        synth: The synthesizer inside.
    """

    synth: Any

    @property
    def numerical(self) -> NumericalTangents | None:
        """Finite differences of the synthesizer inside; None where it has other derivatives."""
        # Asked for here, not by `numerical_of`, which asks this.
        found = getattr(self.synth, "numerical", None)
        return found if isinstance(found, NumericalTangents) else None


def numerical_of(synth: object) -> NumericalTangents | None:
    """Return the finite differences of a synthesizer that has no other derivatives, or None.

    Args:
        synth: Synthesizer.
    """
    found = getattr(synth, "numerical", None)
    return found if isinstance(found, NumericalTangents) else None


def measured_steps(synth: SynthesizerModule, progress: Progress | None = None) -> dict[str, Step]:
    """Return the measured steps of the parameters that a synthesizer has finite differences for.

    A synthesizer around another adds parameters with exact derivatives, or holds some fixed: neither have a step here.

    Args:
        synth: Synthesizer.
        progress: Shows the progress where steps are measured, as `tqdm` does.

    Returns:
        From parameter name to step; empty where derivatives are exact.
    """
    numerical = numerical_of(synth)
    measured = {} if numerical is None else numerical.calibrate(progress)
    return {name: measured[name] for name in synth.space.names if name in measured}
