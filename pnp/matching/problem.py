"""Least squares between the features of one recording and those of a synthesizer's sounds."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pnp._protocols import SynthesizerLike
from pnp.features.concatenated import Concatenated
from pnp.jacobian import value_and_jacobian
from pnp.matching.catalogue import Catalogue
from pnp.matching.noise import NOISE_HIGHEST, NOISE_LOWEST, noise_draw, noise_share, without_noise
from pnp.matching.onset import find_lag
from pnp.matching.recording import Recording, fit_recording
from pnp.matching.unknowns import Unknowns
from pnp.parameters import Parameter, ParameterSpace
from pnp.parameters.values import rounded
from pnp.synths.with_equalizer import with_equalizer
from pnp.synths.with_gain import WithGain
from pnp.synths.with_noise import WithNoise
from pnp.synths.with_window import WithWindow
from pnp.training.answers import Answer, Network, ask

__all__ = ["Problem"]

# How far, as a factor, the gain may leave the range of levels that the probes span.
_GAIN_MARGIN = 4.0
# Knots of the equalizer in Hz, those below a quarter of the sampling rate, and its largest gain, 12 dB.
_KNOTS, _MOST = (150.0, 600.0, 2400.0), 4.0
# A floor this many times the lowest, or less, is silence.
_SILENT = 1.1
# Of the recording's power, what is the synthesizer's at least.
_LEAST_VOICED = 0.01
# Sounds of the cache that are heard with the recording's noise: this many times the starts, of either kind.
_CANDIDATES = 4
# An onset depends on what sounds: with a match at hand, the recording can be laid upon it, to a millisecond.
_ALIGNED = 1e-3


class Problem:
    """Least squares between one target and the synthesizer, in units of the cube.

    Args:
        catalogue: Sounds of the cache and habits of the synthesizer.
        recording: Recording to match.
        onset: Sample at which the recording is made to begin; None leaves it where it is.
        fit_gain: True where the gain is one more unknown, after the parameters of every point.
        fit_noise: True where the level of a noise floor is one more unknown, after that.
        known: From the name of each condition that is known to its number in physical units.
        equalize: True where the gains of an equalizer are unknowns, between gain and noise.

    Attributes:
        space: All that is to be found, as the columns of a point: parameters, unknown conditions, gain, bands of an
            equalizer, noise, choices.
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
        fit_noise: bool = False,
        equalize: bool = False,
    ) -> None:
        self.catalogue, self.recording, self.onset = catalogue, recording, onset
        self.fit_gain, self.fit_noise, self.equalize = fit_gain, fit_noise, equalize
        self.known = dict(known or {})
        rate, n_samples = catalogue.synth.sample_rate, catalogue.synth.n_samples
        self.recorded, self.notes, self.window = fit_recording(
            recording, rate, n_samples, onset=onset, stops=catalogue.stops
        )
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
        self.voice: SynthesizerLike = self.synth
        if fit_gain:
            low, high = catalogue.level / catalogue.high, catalogue.level / catalogue.low
            self.voice = WithGain(cast("nn.Module", self.synth), low / _GAIN_MARGIN, high * _GAIN_MARGIN)
        before = len(self.voice.space)
        if equalize:
            knots = [knot for knot in _KNOTS if knot < rate / 4]
            if len(knots) < 2:
                raise ValueError(
                    f"an equalizer has bands at {', '.join(f'{knot:g}' for knot in _KNOTS)} Hz, and needs two of them "
                    f"below a quarter of the synthesizer's sampling rate; got {rate:g} Hz"
                )
            self.voice = cast("SynthesizerLike", with_equalizer(cast("nn.Module", self.voice), knots, _MOST))
        # Columns of the equalizer; none where there is none.
        self.bands = slice(before, len(self.voice.space))
        # Share of the noise in the recording's norm, by its spectrogram.
        self.noise = noise_share(self.recorded)
        # What is compared, but for the noise: where the recording was faded or cut, so is the sound.
        self.compared: SynthesizerLike = self.voice
        if self.window is not None:
            self.compared = WithWindow(cast("nn.Module", self.voice), self.window)
        self.engine: SynthesizerLike = self.compared
        if fit_noise:
            self.engine = self._under(noise_draw(self.recorded))
        self.space: ParameterSpace = self.engine.space
        self.free = [p for p, parameter in enumerate(self.space.columns) if not parameter.is_whole]
        self.target = (self.recorded * self.scale).float()
        self.phi = self._analyse(self.target[None])[0]
        self.target_norm = float(np.linalg.norm(self.phi))
        self.failure: Exception | None = None

    def realigned(self, u: np.ndarray) -> Problem | None:
        """Return the problem with the recording moved onto the sound of a point; None if it is there already."""
        rate = self.engine.sample_rate
        lag = find_lag(self.target.double().numpy(), self._cut(self.sound(u)).numpy(), rate)
        if self.onset is None or abs(lag) < _ALIGNED * rate or self.onset + lag < 0:
            return None
        return self._but(onset=self.onset + lag)

    def with_noise(self) -> Problem:
        """Return the same problem with the level of a noise floor as one more unknown."""
        return self._but(fit_noise=True)

    def equalized(self) -> Problem:
        """Return the same problem with the gains of an equalizer as further unknowns."""
        return self._but(equalize=True)

    def in_bands(self) -> Problem:
        """Return the same problem with coarse spectrograms in place of the features."""
        return self._heard_by(self.catalogue.bands)

    def with_bands(self) -> Problem:
        """Return the same problem with coarse spectrograms after the features."""
        return self._heard_by(
            Concatenated([cast("nn.Module", self.catalogue.features), self.catalogue.bands])
        )

    def flat(self, u: np.ndarray) -> np.ndarray:
        """Return a point of the problem without an equalizer as one of this problem, at 0 dB in all bands.

        Args:
            u: Point, shape (D,), or points, shape (n, D).
        """
        n_bands = self.bands.stop - self.bands.start
        parts = [u[..., : self.bands.start], np.zeros((*u.shape[:-1], n_bands)), u[..., self.bands.start :]]
        return np.concatenate(parts, axis=-1)

    def _heard_by(self, features: nn.Module) -> Problem:
        """Return the same problem with other features."""
        return self._but(catalogue=replace(self.catalogue, features=features))

    def _but(self, **changes: Any) -> Problem:
        """Return the same problem with other options."""
        options = {
            "catalogue": self.catalogue,
            "onset": self.onset,
            "fit_gain": self.fit_gain,
            "known": self.known,
            "fit_noise": self.fit_noise,
            "equalize": self.equalize,
        }
        return Problem(recording=self.recording, **(options | changes))

    def with_draw(self, draw: Float[Tensor, " N"]) -> Problem:
        """Return the same problem with another draw of noise, of norm 1."""
        other = copy.copy(self)
        other.engine = self._under(draw)
        return other

    def under(self, u: np.ndarray, draws: Float[Tensor, "K N"]) -> Float[np.ndarray, "K C"]:
        """Return the features of a point's sound under other draws of noise; NaN where the synthesizer fails.

        Args:
            u: Point of a problem with a noise floor, which gives the level of the noise.
            draws: Draws of norm 1, shape (K, N).
        """
        factor = self.norm * float(self.theta(u)[len(self.voice.space)])
        try:
            return self._analyse((self._cut(self.sound(u)) + factor * draws).float())
        except Exception as error:  # noqa: BLE001  (whatever a user's synthesizer raises is a property of the point)
            self.failure = self.failure or error
            return np.full((len(draws), len(self.phi)), np.nan)

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
        """Return all that the synthesizer receives at a point, in physical units and its order; no gain, no noise."""
        inner = self._without(self.theta(u), self._n_nuisances)
        return self.synth.complete(inner) if isinstance(self.synth, Unknowns) else inner

    def sound(self, u: np.ndarray) -> Float[Tensor, " N"]:
        """Return the synthesizer's sound, whole and without a noise floor, float64, shape (N,)."""
        point = np.delete(u, len(self.voice.space)) if self.fit_noise else u
        return _render(self.voice, torch.from_numpy(point))

    def gain(self, u: np.ndarray) -> float:
        """Return the gain at a point, from the synthesizer's level to the recording's."""
        return (float(self.theta(u)[len(self.synth.space)]) if self.fit_gain else 1.0) / self.scale

    def decibels(self, u: np.ndarray) -> dict[str, float]:
        """Return the gains of the equalizer at a point in dB, by the name of the band; empty without an equalizer."""
        theta = self.theta(u)[self.bands]
        return {
            parameter.name: 20 * math.log10(gain)
            for parameter, gain in zip(list(self.space)[self.bands], theta.tolist(), strict=True)
        }

    def noise_to_sound(self, u: np.ndarray) -> float | None:
        """Return the norm of the noise floor at a point relative to that of the sound.

        None where no floor is estimated; 0 where its level is at the lowest, which is silence.
        """
        if not self.fit_noise:
            return None
        factor = float(self.theta(u)[len(self.voice.space)])
        if factor < _SILENT * NOISE_LOWEST:
            return 0.0
        own = float(torch.linalg.vector_norm(self._cut(self.sound(u))))
        return factor * self.norm / own if own else math.inf

    def at_own_level(self, u: np.ndarray) -> Float[Tensor, " N"]:
        """Return the synthesizer's sound at the level of the recording."""
        return self.sound(u) / self.scale

    def residual(self, u: np.ndarray) -> np.ndarray:
        """Return Φ(g(u)) − Φ(x), shape (C,); NaN where the synthesizer fails."""
        try:
            heard = _render(self.engine, torch.from_numpy(u))
            difference: np.ndarray = self._analyse(heard[None].float())[0] - self.phi
        except Exception as error:  # noqa: BLE001  (whatever a user's synthesizer raises is a property of the point)
            self.failure = self.failure or error
            return np.full_like(self.phi, np.nan)
        return difference

    def jacobian(self, u: np.ndarray) -> np.ndarray:
        """Return the Jacobian of the features, shape (C, P); NaN where the synthesizer fails.

        Its columns are those of parameters, unknown conditions, gain and noise; choices have none.
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

    def slopes(self, u: np.ndarray) -> np.ndarray:
        """Return the columns of the Jacobian that a descent moves along, those of `free`."""
        return self.jacobian(u)[:, self.free]

    def nearest(self, count: int) -> tuple[list[int], np.ndarray]:
        """Return rows of the cache, nearest first, and their points with the gain and the noise that they call for."""
        if self.fit_noise:
            return self._nearest_with_noise(count)
        places, points = self._looked_up(self.target, self.norm, count)
        return [int(self.catalogue.rows[place]) for place in places], points

    def _looked_up(self, heard: Tensor, norm: float, count: int) -> tuple[list[int], np.ndarray]:
        """Look a sound up in the cache, at all levels if the gain is unknown."""
        levels = self.catalogue.levels() if self.fit_gain else np.array([norm])
        queries = self._analyse(torch.stack([heard * (level / norm) for level in levels]))
        places, at = self.catalogue.nearest(queries, levels, count, self.catalogue.like(self.known, count))
        # The recording at this level resembles the sound: so does the sound, times the inverse, the target.
        return places, self._with_nuisances(self._points(places), self._voiced / at)

    def _points(self, places: Sequence[int]) -> np.ndarray:
        """Return sounds of the cache as points of the synthesizer whose unknowns are searched."""
        names = self.catalogue.synth.space.column_names
        columns = [names.index(name) for name in self.synth.space.column_names]
        return self.catalogue.design[list(places)][:, columns].numpy()

    def _nearest_with_noise(self, count: int) -> tuple[list[int], np.ndarray]:
        """Take the sounds of the cache that are nearest to the recording once they have its noise.

        Sounds of the cache have no floor, so that a recording with one is far from all of them. Candidates are those
        that are near to the recording less its floor, and some from everywhere; each is heard with the noise.
        """
        quiet = without_noise(self.target.double()).float()
        wanted = _CANDIDATES * count
        places, points = self._looked_up(quiet, float(torch.linalg.vector_norm(quiet.double())), wanted)
        everywhere = self.catalogue.like(self.known, wanted)
        spread = everywhere[np.linspace(0, len(everywhere) - 1, wanted).round().astype(int)]
        others = sorted({*spread.tolist()} - {*places})
        if others:
            inner = self._points(others)
            gains = np.array([self._gain_of(torch.from_numpy(point)) for point in inner])
            points = np.concatenate([points, self._with_nuisances(inner, gains)])
            places = [*places, *others]
        distances = [float(np.linalg.norm(self.residual(point))) for point in points]
        best = np.argsort(np.nan_to_num(distances, nan=np.inf), kind="stable")[:count]
        return [int(self.catalogue.rows[places[i]]) for i in best], points[best]

    def predicted(self, encoder: Network, nearest: np.ndarray) -> np.ndarray:
        """Return an encoder's prediction, shape (1, D), with the gain that gives it the target's level and the noise.

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
        told = None
        if synth.space.told:
            columns = [synth.space.column(condition.name) for condition in synth.space.told]
            told = synth.space.to_unit(self.complete(nearest))[None, columns].float()
        answer = _ask(encoder, self.target[None], told, synth.space)
        if not torch.isfinite(torch.cat([answer.u_hat, *answer.probabilities.values()], -1)).all():
            raise ValueError("the encoder must predict finite parameters; got NaN or infinite ones")
        point = self._without(torch.from_numpy(np.array(nearest, np.float64)), self._n_nuisances)
        point[: len(synth.space)] = answer.u_hat[0].double().clamp(-1.0, 1.0)
        theta = self.synth.space.from_unit(point)
        if answer.probabilities:
            columns = [self.synth.space.column(choice.name) for choice in synth.space.choices]
            theta[columns] = answer.options(synth.space)[0].to(theta)
        theta = rounded(self.synth.space, theta)
        point = torch.where(_whole(self.synth.space), self.synth.space.to_unit(theta), point)
        return self._with_nuisances(point[None].numpy(), np.array([self._gain_of(point)]))

    def _gain_of(self, point: Tensor) -> float:
        """Return the gain that gives a sound of the synthesizer the level that it has in the target."""
        if not self.fit_gain:
            return 1.0
        try:
            own = float(torch.linalg.vector_norm(self._cut(_render(self.synth, point))))
        except Exception as error:  # noqa: BLE001  (a start like any other, which the search gives up)
            self.failure = self.failure or error
            own = 0.0
        return self._voiced / own if 0 < own < np.inf else 1.0

    @property
    def _voiced(self) -> float:
        """Norm of what is left of the target when its noise is taken away."""
        share = self.noise if self.fit_noise else 0.0
        return self.norm * math.sqrt(max(1.0 - share**2, _LEAST_VOICED))

    def _with_nuisances(self, points: np.ndarray, gains: np.ndarray) -> np.ndarray:
        """Return points of the synthesizer with the columns of gain and noise, where these are unknowns."""
        place = len(self.synth.space)
        bands = [np.ones(len(points))] * (self.bands.stop - self.bands.start)
        values = [gains] * self.fit_gain + bands + [np.full(len(points), self.noise)] * self.fit_noise
        scaled = [
            self.space[p : p + 1].to_unit(torch.from_numpy(column)[:, None]).clamp(-1.0, 1.0).numpy()
            for p, column in enumerate(values, start=place)
        ]
        return np.concatenate([points[:, :place], *scaled, points[:, place:]], axis=1)

    @property
    def _n_nuisances(self) -> int:
        """Number of unknowns that are no matter of the synthesizer."""
        return self.fit_gain + self.bands.stop - self.bands.start + self.fit_noise

    def _without(self, point: Tensor, count: int) -> Tensor:
        """Return a point without its columns after the synthesizer's parameters, as many as are counted."""
        place = len(self.synth.space)
        return torch.cat([point[:place], point[place + count :]])

    def _under(self, draw: Tensor) -> WithNoise:
        noise = (self.norm * draw).float()
        return WithNoise(cast("nn.Module", self.compared), noise, NOISE_LOWEST, NOISE_HIGHEST)

    def _cut(self, x: Tensor) -> Tensor:
        """Return a sound faded or cut as the recording was."""
        return x if self.window is None else x * self.window

    def _analyse(self, x: Tensor) -> np.ndarray:
        # One sound at a time: a batch is no faster on a CPU, and longer sounds would not fit into its caches.
        return np.stack([self.catalogue.features(row[None]).flatten().double().numpy() for row in x])


def _render(synth: SynthesizerLike, point: Tensor) -> Float[Tensor, " N"]:
    """Return the sound of a synthesizer at a point of its cube, float64; integers and choices are whole."""
    theta = synth.space.from_unit(point[None].float())
    return synth(rounded(synth.space, theta))[0].double()


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
