"""Sound matching by optimization: which parameters make a synthesizer sound like a given recording."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp.errors import CacheError
from pnp.jacobian import value_and_jacobian
from pnp.matching.multistart import Refinement, refine
from pnp.matching.recording import (
    Recording,
    as_recording,
    find_lag,
    find_onset,
    fit_recording,
    load_recording,
)
from pnp.metric.riemannian import RiemannianMetric
from pnp.offline.rebuild import features_of, synthesizer_of
from pnp.parameters import ParameterSpace
from pnp.store import MetricCache
from pnp.store.fitting import check_fits
from pnp.synths.with_gain import WithGain
from pnp.training.encoder import Encoder

__all__ = ["MatchResult", "ParameterEstimate", "match"]

# Sounds of the cache that are made to learn the synthesizer's usual level and onset.
_PROBES = 32
# Levels at which a recording is looked up: 3 dB apart, which is next to nothing after compression.
_LEVEL_STEP, _MOST_LEVELS = math.sqrt(2.0), 12
# How far, as a factor, the gain may leave the range of levels that the probes span.
_GAIN_MARGIN = 4.0
# Below this part of the target's norm, distances are rounding of float32.
_NEGLIGIBLE = 1e-5
# A direction of the cube in which the features change less than this, relative to the most audible one, is inaudible.
_INAUDIBLE = 1e-6
# An onset depends on what sounds: with a match at hand, the recording can be laid upon it, to a millisecond.
_REALIGNMENTS, _ALIGNED = 2, 1e-3


@dataclass(frozen=True)
class ParameterEstimate:
    """One parameter of a match.

    Attributes:
        name: Name of the parameter.
        value: Estimate, in `unit`.
        unit: Physical unit.
        low: Estimate minus one standard deviation, in `unit`, or the end of the range if that is nearer.
        high: Estimate plus one standard deviation.
        u: Estimate in units of the cube [-1, 1].
        deviation: Standard deviation in units of the cube; infinite if the sound does not tell.
        at_bound: Whether the estimate lies at an end of its range, beyond which the best match may be.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    u: float
    deviation: float
    at_bound: bool


@dataclass(frozen=True)
class Start:
    """One start of the search, and where it led.

    Attributes:
        row: Row of the cache; None for the encoder's prediction.
        before: Distance at the start.
        after: Distance in the end.
        evaluations: Number of sounds that were synthesized and analysed.
        reason: Why it ended.
    """

    row: int | None
    before: float
    after: float
    evaluations: int
    reason: str


@dataclass(frozen=True)
class MatchResult:
    """What a sound was matched by.

    Distances are ‖Φ(a g(θ)) − Φ(x)‖ between features, at the level at which the comparison was made: that of
    the synthesizer's own sounds if the gain a was estimated.

    Attributes:
        parameters: Estimates of the P parameters.
        gain: Estimated gain a, from the synthesizer's level to the recording's.
        distance_before: Distance of the nearest sound of the cache, at the best gain.
        distance_after: Distance of the match.
        distance_encoder: Distance of the encoder's prediction, if one was given.
        target_norm: ‖Φ(x)‖, to compare distances with.
        starts: Starts of the search.
        evaluations: Sounds that were synthesized and analysed, all starts together.
        seconds: Time taken.
        notes: What was done to the recording.
        sample_rate: Sampling rate of the sounds in Hz.
        metric: Metric M at the match; the last axis is the gain's if it was estimated.
        target: The recording as it was compared, shape (N,).
        sound: The match at the level of the recording, shape (N,).
        nearest: The nearest sound of the cache at the level of the recording, shape (N,).
    """

    parameters: tuple[ParameterEstimate, ...]
    gain: float
    distance_before: float
    distance_after: float
    distance_encoder: float | None
    target_norm: float
    starts: tuple[Start, ...]
    evaluations: int
    seconds: float
    notes: tuple[str, ...]
    sample_rate: float
    metric: RiemannianMetric = field(repr=False, compare=False)
    target: Tensor = field(repr=False, compare=False)
    sound: Tensor = field(repr=False, compare=False)
    nearest: Tensor = field(repr=False, compare=False)

    @property
    def theta(self) -> Float[Tensor, " P"]:
        """Estimates in physical units, float64, shape (P,)."""
        return torch.tensor([p.value for p in self.parameters], dtype=torch.float64)

    @property
    def u(self) -> Float[Tensor, " P"]:
        """Estimates in units of the cube, float64, shape (P,)."""
        return torch.tensor([p.u for p in self.parameters], dtype=torch.float64)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the sounds, as JSON can hold it: None stands for infinity."""
        arrays = ("metric", "target", "sound", "nearest")
        # Not asdict of the whole, which would copy the sounds.
        plain = {name: value for name, value in self.__dict__.items() if name not in arrays}
        plain["parameters"] = [_finite(asdict(p)) for p in self.parameters]
        plain["starts"] = [asdict(start) for start in self.starts]
        plain["notes"] = list(self.notes)
        plain["metric"] = self.metric.matrix.tolist()
        return plain

    def save(self, out: str | os.PathLike[str]) -> dict[str, Path]:
        """Write the match: `match.wav`, `nearest.wav`, `target.wav`, `comparison.png` and `match.json`.

        Args:
            out: Directory, made if need be.

        Returns:
            Path of each file, by its name without ending; the JSON under "json".
        """
        import soundfile

        from pnp.plots.sounds import sound_comparison

        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        paths = {}
        for name, sound in (("match", self.sound), ("nearest", self.nearest), ("target", self.target)):
            paths[name] = folder / f"{name}.wav"
            # Floating point, so that no level is too high.
            soundfile.write(paths[name], sound.numpy(), round(self.sample_rate), subtype="FLOAT")
        paths["comparison"] = folder / "comparison.png"
        sound_comparison(
            {"recording": self.target, "nearest sound of the cache": self.nearest, "match": self.sound},
            self.sample_rate,
        ).savefig(paths["comparison"], dpi=120)
        paths["json"] = folder / "match.json"
        paths["json"].write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")
        return paths


@torch.no_grad()
def match(
    sound: str | os.PathLike[str] | Tensor | np.ndarray,
    cache: MetricCache | str | os.PathLike[str],
    *,
    sample_rate: float | None = None,
    synth: nn.Module | None = None,
    features: nn.Module | None = None,
    encoder: Encoder | None = None,
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
    Levenberg-Marquardt search with exact Jacobians, see `pnp.refine.refine`.

    The level of a recording is a nuisance. The recording is scaled to the median level of the synthesizer's
    sounds, where the features' compression works as it did for the cache; it is looked up in the cache at a
    range of levels; and the search has the synthesizer's gain as one more unknown.

    The uncertainty is that of least squares to first order: with residual r of C features at the match and
    metric M = JᵀJ there, the covariance is ‖r‖²/(C − P) M⁻¹. It tells how well the sound pins a parameter
    down next to this match; it knows nothing of other matches, and takes the features' errors for independent.

    Args:
        sound: File that soundfile reads, or samples of shape (n,) or (n, channels).
        cache: Cache of the synthesizer, with features, or its path.
        sample_rate: Of samples, in Hz; the synthesizer's by default. A file says for itself.
        synth: Synthesizer; by default the one that the cache names.
        features: Feature map; by default the one that the cache names.
        encoder: Encoder whose prediction is one more start.
        starts: Number of starts from the cache.
        max_evaluations: Most sounds to synthesize from one start.
        fit_gain: Whether to estimate the gain; if not, samples are compared at their own level.
        align: Whether to move the onset.
        allow_clipped: Accept a clipped recording.
        progress: Show a progress bar.

    Returns:
        Parameters with their uncertainty, distances before and after, and sounds.

    Raises:
        FileNotFoundError: If there is no such file or cache.
        CacheError: If the cache keeps no features or has no finished sound, or its synthesizer or features are
            not known.
        ValueError: If the sound is one that `load_recording` refuses, an option is out of its range, or cache,
            synthesizer, features and encoder do not fit each other.
    """
    began = time.perf_counter()
    if starts < 1:
        raise ValueError(f"a match needs at least one start, got {starts}")
    opened = cache if isinstance(cache, MetricCache) else MetricCache(cache)
    try:
        engine: Any = synthesizer_of(opened) if synth is None else synth
        recording = _recording(sound, sample_rate or engine.sample_rate, allow_clipped)
        catalogue = _Catalogue(opened, engine, features_of(opened) if features is None else features)
    finally:
        if opened is not cache:
            opened.close()
    problem = _Problem(catalogue, recording, catalogue.onset if align else None, fit_gain)
    rows, points = problem.nearest(starts)
    if encoder is not None:
        rows, points = [*rows, None], np.concatenate([points, problem.predicted(encoder)])
    found = problem.refine(points, max_evaluations, progress)
    first = min(range(len(rows) - (encoder is not None)), key=lambda i: found[i].distances[0])
    nearest = problem.at_own_level(points[first])
    best = min(found, key=lambda run: run.distance)
    evaluations = sum(run.evaluations for run in found)
    for _ in range(_REALIGNMENTS if align else 0):
        moved = problem.realigned(best)
        if moved is None:
            break
        # From all starts again: where the match was led by a wrong alignment, it may not find out.
        anew = moved.refine(np.concatenate([best.u[None], points]), max_evaluations, progress)
        evaluations += sum(run.evaluations for run in anew)
        again = min(anew, key=lambda run: run.distance)
        if again.distance * problem.target_norm >= best.distance * moved.target_norm:
            break
        problem, best = moved, again
    metric = RiemannianMetric.from_jacobian(torch.from_numpy(problem.jacobian(best.u)))
    estimates, gain = problem.estimates(best, metric)
    return MatchResult(
        parameters=estimates,
        gain=gain / problem.scale,
        distance_before=found[first].distances[0],
        distance_after=best.distance,
        distance_encoder=found[-1].distances[0] if encoder is not None else None,
        target_norm=problem.target_norm,
        starts=tuple(
            Start(row, run.distances[0], run.distance, run.evaluations, run.reason)
            for row, run in zip(rows, found, strict=True)
        ),
        evaluations=evaluations,
        seconds=time.perf_counter() - began,
        notes=problem.notes,
        sample_rate=float(engine.sample_rate),
        metric=metric,
        target=problem.recorded,
        sound=problem.at_own_level(best.u),
        nearest=nearest,
    )


class _Catalogue:
    """What a cache and its synthesizer say before any recording is seen."""

    def __init__(self, cache: MetricCache, synth: nn.Module, features: nn.Module) -> None:
        like: Any = synth
        check_fits(cache, like, features)
        self.rows = cache.rows()
        if not len(self.rows):
            raise CacheError(
                f"{cache.path} has no finished sound to start from; run `pnp precompute` to its end."
            )
        if "S" not in cache.stored:
            raise CacheError(
                f"{cache.path} keeps no features to look a sound up in; precompute it again with "
                "`--store features` or `--store jacobian`."
            )
        engine: Any = synth
        self.synth, self.features = synth, features
        self.u, self.S = cache.u[self.rows], cache.features(self.rows).numpy().astype(np.float32)
        probes = synth(cache.theta[self.rows[:_PROBES]].float()).double()
        if not torch.isfinite(probes).all():
            raise ValueError(
                f"synthesizer {type(synth).__name__} makes NaN or infinite samples at sounds of {cache.path}"
            )
        norms = torch.linalg.vector_norm(probes, dim=-1)
        self.low, self.high = float(norms[norms > 0].min()), float(norms.max())
        self.level = float(norms[norms > 0].median())
        self.onset = int(np.median([find_onset(probe, engine.sample_rate) for probe in probes.numpy()]))

    def levels(self) -> Float[np.ndarray, " K"]:
        """Levels (norms of sounds) that the synthesizer's own sounds have, from low to high."""
        count = 1 + math.ceil(math.log(self.high / self.low) / math.log(_LEVEL_STEP))
        return np.geomspace(self.low, self.high, min(max(count, 1), _MOST_LEVELS))


class _Problem:
    """Least squares between one target and the synthesizer, in units of the cube."""

    def __init__(
        self, catalogue: _Catalogue, recording: Recording, onset: int | None, fit_gain: bool
    ) -> None:
        self.catalogue, self.recording, self.onset, self.fit_gain = catalogue, recording, onset, fit_gain
        inner: Any = catalogue.synth
        rate, n_samples = inner.sample_rate, inner.n_samples
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
        self.engine: Any = inner
        if fit_gain:
            low, high = catalogue.level / catalogue.high, catalogue.level / catalogue.low
            self.engine = WithGain(catalogue.synth, low / _GAIN_MARGIN, high * _GAIN_MARGIN)
        self.space: ParameterSpace = self.engine.space
        self.target = (self.recorded * self.scale).float()
        self.phi = self._analyse(self.target[None])[0]
        self.target_norm = float(np.linalg.norm(self.phi))

    def refine(self, points: np.ndarray, max_evaluations: int, progress: bool) -> list[Refinement]:
        """Least squares from some points."""
        return refine(
            self.residual,
            self.jacobian,
            points,
            max_evaluations=max_evaluations,
            negligible=_NEGLIGIBLE * self.target_norm,
            progress=progress,
        )

    def realigned(self, best: Refinement) -> _Problem | None:
        """The recording moved onto a match of it; None if it is there already."""
        rate = self.engine.sample_rate
        lag = find_lag(self.target.double().numpy(), self.sound(best.u).numpy(), rate)
        if self.onset is None or abs(lag) < _ALIGNED * rate or self.onset + lag < 0:
            return None
        return _Problem(self.catalogue, self.recording, self.onset + lag, self.fit_gain)

    def at_own_level(self, u: np.ndarray) -> Float[Tensor, " N"]:
        """The synthesizer's sound at the level of the recording."""
        return self.sound(u) / self.scale

    def _analyse(self, x: Tensor) -> np.ndarray:
        # One sound at a time: a batch is no faster on a CPU, and longer sounds would not fit into its caches.
        return np.stack([self.catalogue.features(row[None]).flatten().double().numpy() for row in x])

    def sound(self, u: np.ndarray) -> Float[Tensor, " N"]:
        sounds: Tensor = self.engine(self.space.from_unit(torch.from_numpy(u)[None].float()))
        return sounds[0].double()

    def residual(self, u: np.ndarray) -> np.ndarray:
        difference: np.ndarray = self._analyse(self.sound(u)[None].float())[0] - self.phi
        return difference

    def jacobian(self, u: np.ndarray) -> np.ndarray:
        _, J = value_and_jacobian(self.engine, self.catalogue.features, torch.from_numpy(u)[None].float())
        return J[0].double().numpy()

    def nearest(self, count: int) -> tuple[list[int | None], np.ndarray]:
        """Rows of the cache, nearest first, and where in the cube they are, with the gain they call for."""
        from sklearn.neighbors import NearestNeighbors

        S, rows = self.catalogue.S, self.catalogue.rows
        count = min(count, len(rows))
        levels = self.catalogue.levels() if self.fit_gain else np.array([self.norm])
        queries = self._analyse(torch.stack([self.target * (level / self.norm) for level in levels]))
        search = NearestNeighbors(n_neighbors=min(4 * count, len(rows))).fit(S)
        distances, places = search.kneighbors(queries.astype(np.float32))
        # Soft sounds are close to each other: distances at different levels compare relative to what is at hand.
        distances = distances / np.maximum(np.linalg.norm(S, axis=1)[places], np.finfo(np.float32).tiny)
        best: dict[int, tuple[float, float]] = {}
        for distance, place, level in zip(
            distances.ravel(), places.ravel(), np.repeat(levels, places.shape[1]), strict=True
        ):
            best[int(place)] = min(best.get(int(place), (math.inf, 0.0)), (float(distance), float(level)))
        chosen = sorted(best, key=lambda place: best[place])[:count]
        points = self.catalogue.u[chosen].numpy()
        if self.fit_gain:
            # The recording at this level resembles the sound: so does the sound, times the inverse, the target.
            points = self._with_gain(points, np.array([self.norm / best[place][1] for place in chosen]))
        return [int(rows[place]) for place in chosen], points

    def predicted(self, encoder: Encoder) -> np.ndarray:
        """The encoder's prediction, with the gain that gives it the target's level."""
        inner: Any = self.catalogue.synth
        encoder.check_fits(inner.space, float(inner.sample_rate), "the cache")
        point: Tensor = encoder.eval()(self.target[None]).double().clamp(-1.0, 1.0)
        coordinates: np.ndarray = point.numpy()
        if not self.fit_gain:
            return coordinates
        made: Tensor = self.catalogue.synth(self.catalogue.synth.space.from_unit(point.float()))  # type: ignore[operator, union-attr]
        own = float(torch.linalg.vector_norm(made.double()))
        return self._with_gain(coordinates, np.array([self.norm / own if own else 1.0]))

    def _with_gain(self, points: np.ndarray, gains: np.ndarray) -> np.ndarray:
        gain = ParameterSpace([self.space["gain"]])
        scaled = gain.to_unit(torch.from_numpy(gains)[:, None]).clamp(-1.0, 1.0).numpy()
        return np.concatenate([points, scaled], axis=1)

    def estimates(
        self, best: Refinement, metric: RiemannianMetric
    ) -> tuple[tuple[ParameterEstimate, ...], float]:
        """Estimates in physical units with their uncertainty, and the gain."""
        u = torch.from_numpy(best.u)
        deviation = _deviations(metric, best.distance, len(self.phi))
        ends = (u - deviation, u, u + deviation)
        low, value, high = (self.space.from_unit(end.clamp(-1.0, 1.0)).tolist() for end in ends)
        estimates = tuple(
            ParameterEstimate(
                p.name,
                value[i],
                p.unit,
                low[i],
                high[i],
                float(u[i]),
                float(deviation[i]),
                bool(u[i].abs() > 1 - 1e-3),
            )
            for i, p in enumerate(self.space)
        )
        return (estimates[:-1], estimates[-1].value) if self.fit_gain else (estimates, 1.0)


def _deviations(metric: RiemannianMetric, distance: float, n_features: int) -> Float[Tensor, " P"]:
    """Square roots of the diagonal of ‖r‖²/(C − P) M⁻¹, through the spectrum: M is never inverted."""
    variance = distance**2 / max(n_features - metric.n_parameters, 1)
    sigma, vectors = metric.singular_values, metric.eigenvectors
    heard = sigma > _INAUDIBLE * sigma.max()
    inverse = torch.where(heard, 1.0 / sigma, 0.0)
    known = math.sqrt(variance) * (vectors * inverse).norm(dim=-1)
    # A parameter that is part of an inaudible direction could be anything.
    return torch.where((vectors.square() * ~heard).sum(-1) > _INAUDIBLE, math.inf, known)


def _recording(
    sound: str | os.PathLike[str] | Tensor | np.ndarray, sample_rate: float, allow_clipped: bool
) -> Recording:
    if isinstance(sound, Tensor):
        sound = sound.numpy(force=True)
    if isinstance(sound, np.ndarray):
        return as_recording(sound, sample_rate, allow_clipped=allow_clipped)
    return load_recording(sound, allow_clipped=allow_clipped)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value == math.inf else value for name, value in values.items()}
