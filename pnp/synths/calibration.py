"""Measurement of the steps at which the sounds of a program are differentiated."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pnp._text import percent
from pnp.errors import SynthesisError
from pnp.parameters import ParameterSpace
from pnp.synths.finite_differences import LADDER, Step, best_step

__all__ = ["INAUDIBLE", "Calibration"]

_log = logging.getLogger(__name__)

# Points at which steps are measured, and how far from the middle of the range: the largest step must stay inside.
_N_PILOTS = 3
_MOST_TRIED = 24
_PILOT_REACH = 0.75

# Points along an axis at which a parameter that small steps do not change is tried for jumps.
_WIDE = 9

# Disagreement of derivatives from which on a user is told.
_UNCERTAIN = 0.02

# Step for a parameter that does not change the sound anywhere it was tried: its derivative is 0 at any step.
INAUDIBLE = Step(1e-3)


@dataclass(frozen=True)
class Calibration:
    """Measurement of the step of each parameter of a program.

    Args:
        render: Function from physical parameters, shape (B, D), to sounds, shape (B, N), float64.
        space: Parameters, choices and conditions of the program.
        label: Name of the program, for messages.
        tolerance: Relative disagreement of finite differences beyond which there is no derivative.
    """

    render: Callable[[Tensor], Tensor]
    space: ParameterSpace
    label: str
    tolerance: float

    def pilots(self) -> list[Tensor]:
        """Find points in unit coordinates where the program sounds, and the same twice.

        Returns:
            Points of shape (D,), three at most.

        Raises:
            ValueError: If the program is not deterministic.
            SynthesisError: If the program fails at every point that is tried.
        """
        found, failure = list[Tensor](), None
        for u in self.space.snap(_PILOT_REACH * self.space.sample(_MOST_TRIED)):
            theta = self.space.from_unit(u)[None]
            try:
                first, second = self.render(theta), self.render(theta)
            except SynthesisError as error:
                # A program may fail in part of its range: that concerns the sounds there, not the whole run.
                failure = error
                continue
            if not torch.equal(first, second):
                raise ValueError(
                    f"{self.label} is not deterministic: the same parameters twice give different samples; "
                    "seed its noise, or switch off dither"
                )
            found.append(u)
            if len(found) == 1:
                self._check_memory(theta, first)
            if len(found) == _N_PILOTS:
                break
        if failure is not None and not found:
            raise failure
        return found

    def _check_memory(self, theta: Tensor, x: Tensor) -> None:
        """Refuse a program whose sound depends on the sounds before it: it is played again after distant ones."""
        for corner in (-_PILOT_REACH, _PILOT_REACH):
            distant = self.space.from_unit(torch.full_like(theta, corner))
            # What matters is that it was played, not that it was well.
            with contextlib.suppress(SynthesisError):
                self.render(distant)
            if not torch.equal(self.render(theta), x):
                raise ValueError(
                    f"{self.label} is not deterministic: the same parameters give other samples after other sounds; "
                    "reset its state before each sound"
                )

    def measure(self, column: int, pilots: list[Tensor]) -> Step:
        """Measure the step at which the derivative of the sound at the pilots depends least on the step.

        Args:
            column: Column of the parameter.
            pilots: Points from `pilots`.

        Returns:
            The step, with what is known about the differences there.

        Raises:
            ValueError: If the parameter has no derivative.
            SynthesisError: If the program fails at every pilot.
        """
        name = self.space.names[column]
        slopes, bends, failure = list[Tensor](), list[Tensor](), None
        for pilot in pilots:
            try:
                slope, bend = self._differences(column, pilot)
            except SynthesisError as error:  # a step may lead to where the program fails
                failure = error
                continue
            slopes.append(slope)
            bends.append(bend)
        if failure is not None and not slopes:
            raise failure
        central, second = torch.stack(slopes), torch.stack(bends)
        audible = central.any(-1).any(-1)
        if not audible.any():
            self._check_plateaus(column, name, pilots)
            _log.warning("parameter %r of %s did not change the sound where it was tried", name, self.label)
            return INAUDIBLE
        step = best_step(central[audible], second[audible], self.tolerance)
        if not step.disagreement < self.tolerance:
            raise ValueError(
                f"parameter {name!r} of {self.label} has no derivative: finite differences disagree by "
                f"{percent(step.disagreement, 0)} or more at every step, least at {step.size:.2g}; likely it switches "
                "(an integer, a choice) or its effect drowns in noise (16-bit samples). A long step in `steps` gives "
                "the slope across a jump, a larger `tolerance` accepts the disagreement"
            )
        if not step.worst < self.tolerance:
            _log.warning(
                "parameter %r of %s has no derivative at some sounds: differences disagree by %s there and by %s "
                "elsewhere, at a step of %.2g; sounds with a contradiction fail",
                name,
                self.label,
                percent(step.worst, 0) if math.isfinite(step.worst) else "all they are",
                percent(step.disagreement, 1),
                step.size,
            )
        elif step.worst > _UNCERTAIN:
            _log.warning(
                "derivatives with respect to %r of %s are uncertain by about %s, at the best step of %.2g; likely "
                "its samples or its parameters are coarse",
                name,
                self.label,
                percent(step.worst, 0),
                step.size,
            )
        return step

    def _check_plateaus(self, column: int, name: str, pilots: list[Tensor]) -> None:
        """Refuse a parameter that changes the sound in jumps alone, farther apart than the longest step."""
        for pilot in pilots:
            sounds = list[Tensor]()
            for value in torch.linspace(-1.0, 1.0, _WIDE, dtype=torch.float64):
                point = pilot.clone()
                point[column] = value
                with contextlib.suppress(SynthesisError):
                    sounds.append(self.render(self.space.from_unit(point)[None]))
            if any(not torch.equal(sound, sounds[0]) for sound in sounds):
                raise ValueError(
                    f"parameter {name!r} of {self.label} has no derivative: it changes the sound in jumps and not in "
                    "between; likely it is an integer or a choice. A step in `steps` that reaches the next jump gives "
                    "the slope across"
                )

    def _differences(self, column: int, pilot: Tensor) -> tuple[Tensor, Tensor]:
        """Central differences along one axis at each step of the ladder, and second ones, (rungs, N) each."""
        ladder = torch.tensor(LADDER, dtype=torch.float64)
        points = pilot.expand(len(ladder), 2, -1).clone()
        points[..., column] += ladder[:, None] * torch.tensor([1.0, -1.0], dtype=torch.float64)
        middle = self.render(self.space.from_unit(pilot)[None])
        sounds = self.render(self.space.from_unit(points).reshape(-1, points.shape[-1]))
        above, below = sounds.reshape(len(ladder), 2, -1).unbind(1)
        return (above - below) / (2.0 * ladder[:, None]), above + below - 2.0 * middle
