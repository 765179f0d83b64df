"""Result of matching one sound: parameters with their uncertainty, distances, starts and sounds."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._files import write_atomically
from pnp.metric.riemannian import RiemannianMetric

__all__ = ["ChoiceEstimate", "MatchResult", "ParameterEstimate", "Start"]


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
        at_bound: True where the estimate lies at an end of its range, beyond which the best match may be.
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
class ChoiceEstimate:
    """One choice of a match.

    Attributes:
        name: Name of the choice.
        option: Estimate.
        distances: Distance of the match with each option, with all else as it is; infinite where the synthesizer fails.
            Another option that comes as near cannot be told from the estimate.
    """

    name: str
    option: str
    distances: dict[str, float]


@dataclass(frozen=True)
class Start:
    """Outcome of one start of the search.

    Attributes:
        origin: "cache", "encoder", or "alignment" for an earlier match, before the recording was moved onto it.
        row: Row of the cache; None for another origin.
        before: Distance at the start; infinite if the synthesizer failed there.
        after: Distance in the end.
        theta: All that the synthesizer receives in the end, in physical units: parameters, choices, conditions.
        evaluations: Number of sounds that were synthesized and analysed.
        reason: Reason for its end.
    """

    origin: str
    row: int | None
    before: float
    after: float
    theta: tuple[float, ...]
    evaluations: int
    reason: str


@dataclass(frozen=True)
class MatchResult:
    """Result of matching one sound.

    Distances are ‖Φ(a g(θ)) − Φ(x)‖ between features, at the level at which the comparison was made: that of
    the synthesizer's own sounds if the gain a was estimated. Where a noise floor was estimated, it is added to the
    synthesizer's sound. All belong to the same x: the recording as it was compared in the end.

    Attributes:
        warnings: Reasons to doubt the match, the gravest first.
        parameters: Estimates of the P parameters. Integers are whole.
        gain: Estimated gain a, from the synthesizer's level to the recording's.
        noise: Norm of the estimated noise floor relative to that of the match; 0 for silence, None where none was
            estimated.
        distance_before: Distance of the nearest sound of the cache, at the best gain.
        distance_after: Distance of the match.
        distance_encoder: Distance of the encoder's prediction, if one was given.
        target_norm: ‖Φ(x)‖, to compare distances with.
        starts: Starts of the search.
        evaluations: Sounds that were synthesized and analysed, all starts together.
        seconds: Time taken.
        notes: Changes that were made to the recording.
        sample_rate: Sampling rate of the sounds in Hz.
        metric: Metric M at the match, over parameters, conditions that were searched and, last, gain and noise where
            these were estimated.
        theta: All that the synthesizer receives, in physical units, float64, shape (D,).
        target: The recording as it was compared, shape (N,).
        sound: The match at the level of the recording, shape (N,).
        nearest: The nearest sound of the cache at the level of the recording, shape (N,).
        choices: Estimates of the choices, conditions that are choices included.
        conditions: Estimates of the conditions that were not given.
        given: Conditions that were given, as the synthesizer receives them.
        predicted: The sound of the encoder's prediction at the level of the recording, shape (N,); None where there is
            none.
        equalizer: Gains in dB by band, where an equalizer was estimated. The sound of the match has passed
            through it; the nearest sound of the cache has not.
        distance_flat: Distance of the match before the equalizer was estimated; None without one.
        misfit: Squared norm of the whitened residual relative to that of noise alone, before and after the match was
            refined under its noise, see `pnp.matching.likelihood`; None where it was not refined. The refinement lowers
            this number. The distance may rise a little, since it is measured with one draw of noise.
    """

    warnings: tuple[str, ...]
    parameters: tuple[ParameterEstimate, ...]
    gain: float
    noise: float | None
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
    theta: Float[Tensor, " D"] = field(repr=False, compare=False)
    target: Tensor = field(repr=False, compare=False)
    sound: Tensor = field(repr=False, compare=False)
    nearest: Tensor = field(repr=False, compare=False)
    choices: tuple[ChoiceEstimate, ...] = ()
    conditions: tuple[ParameterEstimate, ...] = ()
    given: dict[str, float | int | str] = field(default_factory=dict)
    predicted: Tensor | None = field(default=None, repr=False, compare=False)
    equalizer: dict[str, float] = field(default_factory=dict)
    distance_flat: float | None = None
    misfit: tuple[float, float] | None = None

    @property
    def noise_level(self) -> float | None:
        """Level of the noise floor relative to the match in dB; minus infinity for silence."""
        if self.noise is None:
            return None
        return 20 * math.log10(self.noise) if self.noise else -math.inf

    @property
    def u(self) -> Float[Tensor, " P"]:
        """Estimates of the parameters in units of the cube, float64, shape (P,)."""
        return torch.tensor([p.u for p in self.parameters], dtype=torch.float64)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the sounds for JSON: None stands for infinity."""
        arrays = ("metric", "theta", "target", "sound", "nearest", "predicted")
        # Not asdict of the whole, which would copy the sounds.
        plain = {name: _finite(value) for name, value in self.__dict__.items() if name not in arrays}
        for name in ("parameters", "conditions"):
            plain[name] = [_finite_items(asdict(p)) for p in getattr(self, name)]
        plain["choices"] = [asdict(c) | {"distances": _finite_items(c.distances)} for c in self.choices]
        plain["starts"] = [_finite_items(asdict(start)) for start in self.starts]
        plain["metric"] = self.metric.matrix.tolist()
        return plain

    def save(self, out: str | os.PathLike[str], about: Mapping[str, Any] | None = None) -> dict[str, Path]:
        """Write the match: `match.wav`, `nearest.wav`, `target.wav`, `comparison.png` and, last, `match.json`.

        With an encoder there is `encoder.wav` too. Sounds are the synthesizer's, without the noise floor.

        Args:
            out: Directory, made if need be.
            about: Further entries of the JSON, which come first.

        Returns:
            Path of each file, by its name without ending; the JSON under "json".
        """
        import soundfile

        from pnp.plots.sounds import sound_comparison

        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        paths = {}
        sounds = {"match": self.sound, "nearest": self.nearest, "target": self.target}
        if self.predicted is not None:
            sounds["encoder"] = self.predicted
        for name, sound in sounds.items():
            paths[name] = folder / f"{name}.wav"
            # Floating point, so that no level is too high.
            soundfile.write(paths[name], sound.numpy(), round(self.sample_rate), subtype="FLOAT")
        paths["comparison"] = folder / "comparison.png"
        sound_comparison(
            {"recording": self.target, "nearest sound of the cache": self.nearest, "match": self.sound},
            self.sample_rate,
        ).savefig(paths["comparison"], dpi=120)
        paths["json"] = folder / "match.json"
        write_atomically(
            paths["json"],
            json.dumps({**(about or {}), **self.to_dict()}, indent=2, ensure_ascii=False) + "\n",
        )
        return paths


def _finite(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return None if value == math.inf else value


def _finite_items(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _finite(value) for name, value in values.items()}
