"""Catalogue of starts: the sounds of a cache with their features, and the usual level and onset of its synthesizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pnp._protocols import FeatureMap, SynthesizerLike, check_synthesizer
from pnp._torch.environment import environment_fault
from pnp.errors import CacheError
from pnp.features.band_spectrogram import BandSpectrogram
from pnp.jacobian.derivatives import Derivatives
from pnp.jacobian.numerical import numerical_of
from pnp.jacobian.resolve import resolve
from pnp.matching.noise import NOISY, noise_share
from pnp.matching.onset import count_onsets, find_onset
from pnp.matching.recording import Recording, fit_recording, resampled, stops_ringing
from pnp.store import MetricCache
from pnp.store.fitting import check_fits

__all__ = ["Catalogue"]

# Sounds of the cache that are made to learn the synthesizer's usual level and onset.
_PROBES = 32
# Sounds whose nearest neighbours tell how far apart sounds are.
_NEIGHBOURS = 64
# Levels at which a recording is looked up: 3 dB apart, which is next to nothing after compression.
_LEVEL_STEP, _MOST_LEVELS = math.sqrt(2.0), 12
# Part of the mean square of a usual sound that is silence to coarse spectrograms.
_SILENCE = 0.01
# Sounds whose conditions are this near to known ones, in units of the cube, are looked at; at least so many times the
# number of starts.
_SAME_CONDITION, _LEAST = 0.05, 8


@dataclass(frozen=True)
class Catalogue:
    """Sounds of a cache and habits of its synthesizer, before any recording is seen.

    Attributes:
        synth: Synthesizer.
        features: Feature map.
        rows: Rows of the cache that have a sound, shape (n,).
        design: All columns that the synthesizer receives for these, scaled, shape (n, D).
        S: Features of these, float32, shape (n, C).
        low: Least norm of the synthesizer's sounds.
        level: Median norm.
        high: Largest norm.
        onset: Median sample at which its sounds begin.
        onsets: First and last sample at which one of some sounds begins.
        stops: True where one of some sounds stops while it rings, with silence after it.
        most_onsets: Number of times that one of its sounds begins, at most.
    """

    synth: SynthesizerLike
    features: FeatureMap
    rows: Tensor = field(repr=False)
    design: Tensor = field(repr=False)
    S: np.ndarray = field(repr=False)
    low: float
    level: float
    high: float
    onset: int
    onsets: tuple[int, int]
    stops: bool
    most_onsets: int

    @classmethod
    def from_cache(cls, cache: MetricCache, synth: SynthesizerLike, features: FeatureMap) -> Catalogue:
        """Read the sounds of a cache and make some of them.

        Args:
            cache: Cache with features.
            synth: Its synthesizer.
            features: Its feature map.

        Returns:
            The catalogue.

        Raises:
            CacheError: If the cache keeps no features or has no finished sound.
            ValueError: If cache, synthesizer and features do not fit each other.
        """
        check_fits(cache, synth, features)
        rows = cache.rows()
        if not len(rows):
            raise CacheError(
                f"{cache.path} has no finished sound to start from; run `pnp precompute` to its end."
            )
        if "S" not in cache.stored:
            raise CacheError(
                f"{cache.path} keeps no features to look a sound up in; precompute it again with "
                "`--store features` or `--store jacobian`."
            )
        S = cache.features(rows).numpy().astype(np.float32)
        probes = synth(cache.theta[rows[:_PROBES]].float()).double()
        if not torch.isfinite(probes).all():
            raise ValueError(
                f"synthesizer {type(synth).__name__} makes NaN or infinite samples at sounds of {cache.path}"
            )
        norms = torch.linalg.vector_norm(probes, dim=-1)
        norms, probes = norms[norms > 0], probes[norms > 0]
        onsets = [find_onset(probe, synth.sample_rate) for probe in probes.numpy()]
        return cls(
            *_with_derivatives(synth, features, cache.design[rows[:1]].float()),
            rows,
            cache.design[rows],
            S,
            low=float(norms.min()),
            level=float(norms.median()),
            high=float(norms.max()),
            onset=int(np.median(onsets)),
            onsets=(min(onsets), max(onsets)),
            stops=any(stops_ringing(probe, synth.sample_rate) for probe in probes.numpy()),
            most_onsets=max(count_onsets(probe, synth.sample_rate) for probe in probes.numpy()),
        )

    def place(self, recording: Recording) -> int:
        """Return the sample at which a recording is made to begin, before anything is known of its sound.

        One that begins where some of the synthesizer's sounds do is left there: theirs may depend on the parameters.
        So is one that is early and seems noisy, since noise may have been taken for its onset. Others are moved to the
        usual place.

        Args:
            recording: Samples of a file.

        Raises:
            ValueError: If nothing of it is left below the synthesizer's Nyquist frequency.
        """
        recording = resampled(recording, self.synth.sample_rate)
        begins, (first, last) = find_onset(recording.samples, self.synth.sample_rate), self.onsets
        if first <= begins <= last:
            return begins
        if begins < first:
            x = fit_recording(recording, self.synth.sample_rate, self.synth.n_samples).samples
            if noise_share(x) > NOISY:
                return begins
        return self.onset

    def levels(self) -> Float[np.ndarray, " K"]:
        """Return levels (norms of sounds) that the synthesizer's own sounds have, from low to high."""
        count = 1 + math.ceil(math.log(self.high / self.low) / math.log(_LEVEL_STEP))
        return np.geomspace(self.low, self.high, min(max(count, 1), _MOST_LEVELS))

    def like(self, known: Mapping[str, float], count: int) -> np.ndarray:
        """Return places of the sounds whose conditions are the nearest to known ones; all where nothing is known.

        Args:
            known: From the name of a condition to its number in physical units.
            count: Least number of sounds to return, if there are as many.
        """
        space = self.synth.space
        if not known:
            return np.arange(len(self.rows))
        columns = [space.column(name) for name in known]
        numbers = torch.zeros(len(space.columns), dtype=torch.float64)
        numbers[columns] = torch.tensor(list(known.values()), dtype=torch.float64)
        wanted = space.to_unit(numbers)[columns]
        away = (self.design[:, columns] - wanted).abs().amax(1)
        enough = max(int((away <= _SAME_CONDITION).sum()), min(_LEAST * count, len(away)))
        return away.argsort(stable=True)[:enough].numpy()

    @cached_property
    def bands(self) -> BandSpectrogram:
        """Coarse spectrograms, to which a 100th of the usual mean square is silence."""
        power = self.level**2 / self.synth.n_samples
        return BandSpectrogram(self.synth.n_samples, floor=_SILENCE * power)

    @cached_property
    def neighbour_distance(self) -> float | None:
        """Distance within which 19 of 20 sounds have a neighbour, relative to their norm; None for one sound."""
        from sklearn.neighbors import NearestNeighbors

        if len(self.rows) < 2:
            return None
        norms = np.maximum(np.linalg.norm(self.S, axis=1), np.finfo(np.float32).tiny)
        probes = np.linspace(0, len(self.rows) - 1, min(_NEIGHBOURS, len(self.rows))).round().astype(int)
        distances, _ = NearestNeighbors(n_neighbors=2).fit(self.S).kneighbors(self.S[probes])
        return float(np.quantile(distances[:, 1] / norms[probes], 0.95))

    def nearest(
        self,
        queries: Float[np.ndarray, "K C"],
        levels: Float[np.ndarray, " K"],
        count: int,
        among: Int[np.ndarray, " m"],
    ) -> tuple[list[int], Float[np.ndarray, " n"]]:
        """Look a recording up by its features at several levels.

        Args:
            queries: Features of the recording at each level, shape (K, C).
            levels: The levels, shape (K,).
            count: Most sounds to return.
            among: Places of the sounds that are looked at, shape (m,).

        Returns:
            Places in `design` and `rows`, nearest first, and the level at which each is nearest.
        """
        from sklearn.neighbors import NearestNeighbors

        S = self.S[among]
        count = min(count, len(S))
        search = NearestNeighbors(n_neighbors=min(4 * count, len(S))).fit(S)
        distances, places = search.kneighbors(queries.astype(np.float32))
        # Soft sounds are close to each other: distances at different levels compare relative to what is at hand.
        norms = np.maximum(np.linalg.norm(S, axis=1), np.finfo(np.float32).tiny)
        best: dict[int, tuple[float, float]] = {}
        for distance, place, level in zip(
            (distances / norms[places]).ravel(),
            places.ravel(),
            np.repeat(levels, places.shape[1]),
            strict=True,
        ):
            best[int(place)] = min(best.get(int(place), (math.inf, 0.0)), (float(distance), float(level)))
        chosen = sorted(best, key=lambda place: best[place])[:count]
        return [int(among[place]) for place in chosen], np.array([best[place][1] for place in chosen])


def _with_derivatives(
    synth: SynthesizerLike, features: FeatureMap, u: Tensor
) -> tuple[SynthesizerLike, FeatureMap]:
    """Lend adapters to a synthesizer and features that have no derivatives, once for all recordings.

    Not where the synthesizer has measured differences, which take many sounds. Nor where the sound fails; the search
    then finds out for itself.
    """
    module = check_synthesizer(synth)
    if numerical_of(module) is not None:
        return synth, features
    try:
        found = resolve(module, cast("nn.Module", features), u, Derivatives.of(module.space))
    except Exception as error:
        # Whatever else a user's synthesizer raises is a property of that sound.
        if environment_fault(error) is not None:
            raise
        return synth, features
    return found.synth, found.features
