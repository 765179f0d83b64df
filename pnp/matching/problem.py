"""Least squares between the features of one recording and those of a synthesizer's sounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp._protocols import SynthesizerLike
from pnp.errors import SynthesisError
from pnp.jacobian import value_and_jacobian
from pnp.matching.catalogue import Catalogue
from pnp.matching.multistart import Refinement, refine
from pnp.matching.onset import find_lag
from pnp.matching.recording import Recording, fit_recording
from pnp.parameters import ParameterSpace
from pnp.synths.with_gain import WithGain

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
        fit_gain: True where the gain is one more unknown, the last coordinate of every point.

    Raises:
        ValueError: If nothing of the recording is left to compare.
    """

    def __init__(self, catalogue: Catalogue, recording: Recording, onset: int | None, fit_gain: bool) -> None:
        self.catalogue, self.recording, self.onset, self.fit_gain = catalogue, recording, onset, fit_gain
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
        self.engine: SynthesizerLike = catalogue.synth
        if fit_gain:
            low, high = catalogue.level / catalogue.high, catalogue.level / catalogue.low
            self.engine = WithGain(
                cast("nn.Module", catalogue.synth), low / _GAIN_MARGIN, high * _GAIN_MARGIN
            )
        self.space: ParameterSpace = self.engine.space
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
                self.jacobian,
                points,
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
        return Problem(self.catalogue, self.recording, self.onset + lag, self.fit_gain)

    def sound(self, u: np.ndarray) -> Float[Tensor, " N"]:
        """Return the synthesizer's sound, float64, shape (N,)."""
        return self.engine(self.space.from_unit(torch.from_numpy(u)[None].float()))[0].double()

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
        """Return the Jacobian of the features, shape (C, P); NaN where the synthesizer fails."""
        try:
            _, J = value_and_jacobian(
                cast("nn.Module", self.engine),
                cast("nn.Module", self.catalogue.features),
                torch.from_numpy(u)[None].float(),
            )
        except Exception as error:  # noqa: BLE001  (as above)
            self.failure = self.failure or error
            return np.full((len(self.phi), len(u)), np.nan)
        return J[0].double().numpy()

    def nearest(self, count: int) -> tuple[list[int], np.ndarray]:
        """Return rows of the cache, nearest first, and their points with the gain they call for."""
        levels = self.catalogue.levels() if self.fit_gain else np.array([self.norm])
        queries = self._analyse(torch.stack([self.target * (level / self.norm) for level in levels]))
        places, at = self.catalogue.nearest(queries, levels, count)
        points = self.catalogue.u[places].numpy()
        if self.fit_gain:
            # The recording at this level resembles the sound: so does the sound, times the inverse, the target.
            points = self._with_gain(points, self.norm / at)
        return [int(self.catalogue.rows[place]) for place in places], points

    def predicted(self, encoder: Callable[[Tensor], Tensor]) -> np.ndarray:
        """Return an encoder's prediction, shape (1, P), with the gain that gives it the target's level.

        Args:
            encoder: Callable from sounds (B, N) to parameters in units of the cube (B, P).

        Raises:
            ValueError: If it was made for other parameters, or predicts no point of this cube.
        """
        synth = self.catalogue.synth
        if hasattr(encoder, "check_fits"):
            encoder.check_fits(synth.space, float(synth.sample_rate), "the cache")
        point = _predict(encoder, self.target[None])
        shape = (1, len(synth.space))
        if tuple(point.shape) != shape or not torch.isfinite(point).all():
            raise ValueError(
                f"the encoder must predict finite parameters of shape {shape} for one sound; got "
                f"{'NaN or infinite ones' if tuple(point.shape) == shape else tuple(point.shape)}"
            )
        point = point.double().clamp(-1.0, 1.0)
        if not self.fit_gain:
            return np.asarray(point.numpy())
        try:
            own = float(torch.linalg.vector_norm(synth(synth.space.from_unit(point.float())).double()))
        except Exception as error:  # noqa: BLE001  (a start like any other, which the search gives up)
            self.failure = self.failure or error
            own = 0.0
        return self._with_gain(point.numpy(), np.array([self.norm / own if 0 < own < np.inf else 1.0]))

    def _with_gain(self, points: np.ndarray, gains: np.ndarray) -> np.ndarray:
        gain = self.space[-1:]
        scaled = gain.to_unit(torch.from_numpy(gains)[:, None]).clamp(-1.0, 1.0).numpy()
        return np.concatenate([points, scaled], axis=1)

    def _analyse(self, x: Tensor) -> np.ndarray:
        # One sound at a time: a batch is no faster on a CPU, and longer sounds would not fit into its caches.
        return np.stack([self.catalogue.features(row[None]).flatten().double().numpy() for row in x])


def _predict(encoder: Callable[[Tensor], Tensor], sounds: Tensor) -> Tensor:
    """Call an encoder; a module in evaluation mode, which is then as it was."""
    if not isinstance(encoder, nn.Module):
        return encoder(sounds)
    was_training = encoder.training
    encoder.eval()
    try:
        prediction: Tensor = encoder(sounds)
    finally:
        encoder.train(was_training)
    return prediction
