"""Standard configurations: settings of the transform, and a real sound with its tangents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pnp import synths
from pnp.bench.record import JsonRecord
from pnp.features.scattering import TimeFrequencyScattering
from pnp.synths.base import Synthesizer


@dataclass(frozen=True)
class Configuration(JsonRecord):
    """A scattering transform and the synthesizer whose sounds it takes.

    Attributes:
        name: Name in tables.
        synth: Name of the synthesizer, as `pnp.synths.make` takes it.
        settings: Options of `TimeFrequencyScattering` but `shape` and `normalization`.
        synth_options: Options of the synthesizer.
    """

    name: str
    synth: str
    settings: Mapping[str, Any]
    synth_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_peer(self) -> bool:
        """True where Kymatio has the same transform: it reflects sounds at their ends."""
        return bool(self.settings.get("pad_mode", "reflect") == "reflect")

    def synthesizer(self) -> Synthesizer:
        """The synthesizer.

        Raises:
            TypeError: If it is not one of this package.
        """
        synth = synths.make(self.synth, **self.synth_options)
        if not isinstance(synth, Synthesizer):
            raise TypeError(
                f"a benchmark needs a synthesizer with tangents, got {type(synth).__name__} {self.synth!r}"
            )
        return synth

    def transform(self, normalization: str = "mean") -> TimeFrequencyScattering:
        """The scattering transform."""
        n_samples = self.synthesizer().n_samples
        return TimeFrequencyScattering(shape=n_samples, normalization=normalization, **self.settings)

    def zero_padded(self, **changes: Any) -> TimeFrequencyScattering:
        """The transform of this package alone: with zeros beyond the ends of a sound, and other changes.

        Args:
            **changes: Options of the transform that differ, such as `precision`.
        """
        n_samples = self.synthesizer().n_samples
        return TimeFrequencyScattering(shape=n_samples, **{**self.settings, "pad_mode": "zero", **changes})

    def sounds(self, count: int = 1, seed: int = 0) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Synthesized sounds and their tangents with respect to scaled parameters, in float64."""
        synth = self.synthesizer()
        return scaled_tangents(synth, synth.space.sample(count, "uniform", seed))

    def noise(self, n_tangents: int, seed: int = 0) -> tuple[Float[Tensor, "1 N"], Float[Tensor, "1 P N"]]:
        """White noise and tangents of white noise, in float64."""
        generator = torch.Generator().manual_seed(seed)
        n_samples = self.synthesizer().n_samples
        both = torch.randn(1, 1 + n_tangents, n_samples, generator=generator, dtype=torch.float64)
        return both[:, 0], both[:, 1:]


def scaled_tangents(
    synth: Synthesizer, u: Float[Tensor, "B P"]
) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
    """Sounds at scaled parameters, and their tangents with respect to these."""
    theta, slope = synth.space.from_unit(u), synth.space.slope(u)
    x, tangents = synth.value_and_tangents(theta)
    return x, tangents * slope.unsqueeze(-1)


_VOICE = {"J": 12, "Q": (12, 1), "J_fr": 4, "T": "global", "F": 2, "pad_mode": "zero"}

# The drum as in Han, Lostanlen and Lagrange (2024), the chirp as in Vahidi et al. (2023), and its local variant. What
# users bring has more parameters and a length that is no power of two, and may be a black box.
STANDARD = {
    "A": Configuration("A", "drum", {"J": 13, "Q": (12, 1), "J_fr": 5, "Q_fr": 1, "T": "global", "F": 2}),
    "B": Configuration(
        "B", "chirp", {"J": 12, "Q": (8, 2), "J_fr": 5, "Q_fr": 2, "T": "global", "F": "global"}
    ),
    "C": Configuration("C", "chirp", {"J": 12, "Q": (8, 2), "J_fr": 3, "Q_fr": 2, "T": 4096, "F": 8}),
    "D": Configuration("D", "pnp.bench.voice:HarmonicsAndNoise", _VOICE),
    "E": Configuration("E", "pnp.bench.voice:black_box", _VOICE),
}
