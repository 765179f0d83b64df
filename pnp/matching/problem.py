"""Least squares between the features of one recording and those of a synthesizer's sounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pnp._protocols import SynthesizerLike
from pnp.errors import SynthesisError
from pnp.jacobian import value_and_jacobian
from pnp.matching.catalogue import Catalogue
from pnp.matching.multistart import Refinement, refine
from pnp.matching.onset import find_lag
from pnp.matching.recording import Recording, fit_recording
from pnp.matching.unknowns import Unknowns
from pnp.parameters import Parameter, ParameterSpace
from pnp.parameters.values import rounded
from pnp.synths.with_gain import WithGain
from pnp.training.answers import Answer, Network, ask

__all__ = ["Problem"]

# How far, as a factor, the gain may leave the range of levels that the probes span.
_GAIN_MARGIN = 4.0
# Below this part of the target's norm, distances are rounding of float32.
_NEGLIGIBLE = 1e-5
# An onset depends on what sounds: with a match at hand, the recording can be laid upon it, to a millisecond.
_ALIGNED = 1e-3


class Problem:
    """Least squares between one target and the synthesizer, in units of the cube.

    Args:
        catalogue: Sounds of the cache and habits of the synthesizer.
        recording: Recording to match.
        onset: Sample at which the recording is made to begin; None leaves it where it is.
        fit_gain: True where the gain is one more unknown, the last parameter of every point.
        known: From the name of each condition that is known to its number in physical units.

    Attributes:
        space: All that is to be found, as the columns of a point: parameters, unknown conditions, gain, choices.
        free: Columns that are continuous.

    Raises:
        ValueError: If nothing of the recording is left to compare.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        recording: Recording,
        onset: int | None,
        fit_gain: bool,
        known: Mapping[str, float] | None = None,
    ) -> None:
        self.catalogue, self.recording, self.onset, self.fit_gain = catalogue, recording, onset, fit_gain
        self.known = dict(known or {})
        rate, n_samples = catalogue.synth.sample_rate, catalogue.synth.n_samples
        self.recorded, self.notes = fit_recording(recording, rate, n_samples, onset=onset)
        norm = float(torch.linalg.vector_norm(self.recorded))
        if not norm:
            raise ValueError(
                f"{recording.name} is silent for the {n_samples / rate:.3g} s that the synthesizer sounds; "
                "expected it to begin earlier."
            )
        # From the recording's level to that of the comparison.
        self.scale = catalogue.level / norm if fit_gain else 1.0
        self.norm = norm * self.scale
        self.synth: SynthesizerLike = catalogue.synth
        if catalogue.synth.space.conditions:
            self.synth = Unknowns(cast("nn.Module", catalogue.synth), self.known)
        self.engine: SynthesizerLike = self.synth
        if fit_gain:
            low, high = catalogue.level / catalogue.high, catalogue.level / catalogue.low
            self.engine = WithGain(cast("nn.Module", self.synth), low / _GAIN_MARGIN, high * _GAIN_MARGIN)
        self.space: ParameterSpace = self.engine.space
        self.free = [p for p, parameter in enumerate(self.space.columns) if not parameter.is_whole]
        self.target = (self.recorded * self.scale).float()
        self.phi = self._analyse(self.target[None])[0]
        self.target_norm = float(np.linalg.norm(self.phi))
        self.failure: Exception | None = None

    def refine(self, points: np.ndarray, max_evaluations: int, progress: bool) -> list[Refinement]:
        """Minimize the distance from some points.

        Args:
            points: Points in the cube, shape (n, P).
            max_evaluations: Most sounds to make from one point.
            progress: Show a progress bar.

        Returns:
            Outcome of each.

        Raises:
            SynthesisError: If the synthesizer fails at every point; says how.
        """
        try:
            return refine(
                self.residual,
                lambda u: self.jacobian(u)[:, self.free],
                points,
                free=self.free,
                moves=self.moves,
                max_evaluations=max_evaluations,
                negligible=_NEGLIGIBLE * self.target_norm,
                progress=progress,
            )
        except SynthesisError as error:
            if self.failure is None:
                raise
            cause = f"{type(self.failure).__name__}: {self.failure}"
            raise SynthesisError(f"{error}; the first failure was {cause}") from self.failure

    def realigned(self, best: Refinement) -> Problem | None:
        """Return the problem with the recording moved onto a match; None if it is there already."""
        rate = self.engine.sample_rate
        lag = find_lag(self.target.double().numpy(), self.sound(best.u).numpy(), rate)
        if self.onset is None or abs(lag) < _ALIGNED * rate or self.onset + lag < 0:
            return None
        return Problem(self.catalogue, self.recording, self.onset + lag, self.fit_gain, self.known)

    def moves(self, u: np.ndarray) -> list[np.ndarray]:
        """Return points at which one choice has another option, or one integer another value near or far."""
        found = []
        for column, parameter in enumerate(self.space.columns):
            if not parameter.is_whole:
                continue
            theta = float(self.theta(u)[column])
            for value in _other_values(parameter, theta):
                moved = self.theta(u)
                moved[column] = value
                point = np.array(u, np.float64)
                point[column] = float(self.space.to_unit(moved)[column])
                found.append(point)
        return found

    def theta(self, u: np.ndarray) -> Float[Tensor, " D"]:
        """Return a point in physical units, float64; integers and choices are whole."""
        point = torch.from_numpy(np.asarray(u, np.float64))
        return rounded(self.space, self.space.from_unit(point))

    def complete(self, u: np.ndarray) -> Float[Tensor, " D"]:
        """Return all that the synthesizer receives at a point, in physical units and its order; no gain."""
        inner = self.theta(u)
        if self.fit_gain:
            place = len(self.synth.space)
            inner = torch.cat([inner[:place], inner[place + 1 :]])
        return self.synth.complete(inner) if isinstance(self.synth, Unknowns) else inner

    def sound(self, u: np.ndarray) -> Float[Tensor, " N"]:
        """Return the synthesizer's sound, float64, shape (N,)."""
        point = self.space.from_unit(torch.from_numpy(u)[None].float())
        return self.engine(rounded(self.space, point))[0].double()

    def at_own_level(self, u: np.ndarray) -> Float[Tensor, " N"]:
        """Return the synthesizer's sound at the level of the recording."""
        return self.sound(u) / self.scale

    def residual(self, u: np.ndarray) -> np.ndarray:
        """Return Φ(g(u)) − Φ(x), shape (C,); NaN where the synthesizer fails."""
        try:
            difference: np.ndarray = self._analyse(self.sound(u)[None].float())[0] - self.phi
        except Exception as error:  # noqa: BLE001  (whatever a user's synthesizer raises is a property of the point)
            self.failure = self.failure or error
            return np.full_like(self.phi, np.nan)
        return difference

    def jacobian(self, u: np.ndarray) -> np.ndarray:
        """Return the Jacobian of the features, shape (C, P); NaN where the synthesizer fails.

        Its columns are those of parameters, unknown conditions and gain; choices have none.
        """
        try:
            _, J = value_and_jacobian(
                cast("nn.Module", self.engine),
                cast("nn.Module", self.catalogue.features),
                torch.from_numpy(u)[None].float(),
            )
        except Exception as error:  # noqa: BLE001  (as above)
            self.failure = self.failure or error
            return np.full((len(self.phi), len(self.space)), np.nan)
        return J[0].double().numpy()

    def nearest(self, count: int) -> tuple[list[int], np.ndarray]:
        """Return rows of the cache, nearest first, and their points with the gain they call for."""
        levels = self.catalogue.levels() if self.fit_gain else np.array([self.norm])
        queries = self._analyse(torch.stack([self.target * (level / self.norm) for level in levels]))
        places, at = self.catalogue.nearest(queries, levels, count, self.catalogue.like(self.known, count))
        names = self.catalogue.synth.space.column_names
        columns = [names.index(name) for name in self.synth.space.column_names]
        points = self.catalogue.design[places][:, columns].numpy()
        if self.fit_gain:
            # The recording at this level resembles the sound: so does the sound, times the inverse, the target.
            points = self._with_gain(points, self.norm / at)
        return [int(self.catalogue.rows[place]) for place in places], points

    def predicted(self, encoder: Network, nearest: np.ndarray) -> np.ndarray:
        """Return an encoder's prediction, shape (1, D), with the gain that gives it the target's level.

        Args:
            encoder: Callable from sounds (B, N), and conditions if it takes them, to parameters in units of the cube
                (B, P), or to these and probabilities of choices.
            nearest: Point of the nearest sound of the cache, shape (D,), for what the encoder does not say: unknown
                conditions, and choices if it leaves them alone.

        Raises:
            ValueError: If it was made for other parameters, or predicts no point of this cube.
        """
        synth = self.catalogue.synth
        if hasattr(encoder, "check_fits"):
            encoder.check_fits(synth.space, float(synth.sample_rate), "the cache")
        n_conditions = len(synth.space.conditions)
        told = None
        if n_conditions:
            told = synth.space.to_unit(self.complete(nearest))[None, -n_conditions:].float()
        answer = _ask(encoder, self.target[None], told, synth.space)
        if not torch.isfinite(torch.cat([answer.u_hat, *answer.probabilities.values()], -1)).all():
            raise ValueError("the encoder must predict finite parameters; got NaN or infinite ones")
        point = torch.from_numpy(np.array(nearest, np.float64))
        if self.fit_gain:
            place = len(self.synth.space)
            point = torch.cat([point[:place], point[place + 1 :]])
        point[: len(synth.space)] = answer.u_hat[0].double().clamp(-1.0, 1.0)
        theta = self.synth.space.from_unit(point)
        if answer.probabilities:
            columns = [self.synth.space.column(choice.name) for choice in synth.space.choices]
            theta[columns] = answer.options(synth.space)[0].to(theta)
        theta = rounded(self.synth.space, theta)
        point = torch.where(_whole(self.synth.space), self.synth.space.to_unit(theta), point)
        if not self.fit_gain:
            return np.asarray(point[None].numpy())
        try:
            own = float(torch.linalg.vector_norm(self.synth(theta[None].float()).double()))
        except Exception as error:  # noqa: BLE001  (a start like any other, which the search gives up)
            self.failure = self.failure or error
            own = 0.0
        return self._with_gain(point[None].numpy(), np.array([self.norm / own if 0 < own < np.inf else 1.0]))

    def _with_gain(self, points: np.ndarray, gains: np.ndarray) -> np.ndarray:
        """Return points of the synthesizer with the column of the gain."""
        place = len(self.synth.space)
        gain = self.space[place : place + 1]
        scaled = gain.to_unit(torch.from_numpy(gains)[:, None]).clamp(-1.0, 1.0).numpy()
        return np.concatenate([points[:, :place], scaled, points[:, place:]], axis=1)

    def _analyse(self, x: Tensor) -> np.ndarray:
        # One sound at a time: a batch is no faster on a CPU, and longer sounds would not fit into its caches.
        return np.stack([self.catalogue.features(row[None]).flatten().double().numpy() for row in x])


def _ask(encoder: Network, sounds: Tensor, conditions: Tensor | None, space: ParameterSpace) -> Answer:
    """Ask an encoder; a module in evaluation mode, which is then as it was."""
    if not isinstance(encoder, nn.Module):
        return ask(encoder, sounds, conditions, space)
    was_training = encoder.training
    encoder.eval()
    try:
        return ask(encoder, sounds, conditions, space)
    finally:
        encoder.train(was_training)


def _whole(space: ParameterSpace) -> Bool[Tensor, " D"]:
    return torch.tensor([parameter.is_whole for parameter in space.columns])


def _other_values(parameter: Parameter, value: float) -> list[float]:
    """Return other values of a whole number: all options of a choice; of an integer, those 1, 2, 4, … away."""
    if parameter.choices:
        return [float(option) for option in range(len(parameter.choices)) if option != value]
    steps = [2**k for k in range(int(parameter.high - parameter.low).bit_length())]
    near = [value + sign * step for step in steps for sign in (1, -1)]
    return [number for number in near if parameter.low <= number <= parameter.high]
