"""Distances between true and resynthesized sounds, by three ears."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pnp.features.multiscale import MultiscaleSTFT
from pnp.features.standard import standard_features

__all__ = ["EARS", "JUDGES", "Judges", "LogMel"]

FeatureMap = Callable[[Tensor], Tensor]
Distance = Callable[[Tensor, Tensor], Tensor]

_CHUNK = 16
_FLOOR = 1e-8  # of power: 80 dB below full scale

# Names as in results, and what they are called on the page.
JUDGES = {"jtfs": "JTFS", "multiscale": "multiscale", "logmel": "log-mel"}

# Representations beside the standard one, which averages over the whole sound and has a scale of 1e4: changes of it.
# The last is close to what docs/evidence/listeners.md recommends, 0.19 s at 8192 Hz.
EARS: Mapping[str, Mapping[str, Any]] = {
    "scale 1e3": {"scale": 1e3},
    "scale 1e5": {"scale": 1e5},
    "time kept": {"T": 2048, "scale": 1e5},
}


class LogMel(nn.Module):
    """Log-mel spectrogram in dB: no loss here is made of it.

    Args:
        sample_rate: Sampling rate in Hz.
        n_fft: Length of the window.
        n_bands: Number of bands, triangles on the mel scale of O'Shaughnessy.
    """

    def __init__(self, sample_rate: float, n_fft: int = 512, n_bands: int = 64) -> None:
        super().__init__()
        self.n_fft = n_fft
        top = 2595.0 * math.log10(1.0 + sample_rate / 2 / 700.0)
        edges = 700.0 * (10.0 ** (torch.linspace(0.0, top, n_bands + 2, dtype=torch.float64) / 2595.0) - 1.0)
        frequency = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
        rising = (frequency - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
        falling = (edges[2:, None] - frequency) / (edges[2:] - edges[1:-1])[:, None]
        self.register_buffer("bank", torch.minimum(rising, falling).clamp(min=0.0).float())
        self.register_buffer("window", torch.hann_window(n_fft) / (n_fft / 2))

    def forward(self, x: Tensor) -> Tensor:
        """Levels in dB, shape (B, bands, frames)."""
        spectrum = torch.stft(
            x, self.n_fft, self.n_fft // 4, window=self.get_buffer("window"), return_complex=True
        )
        power = self.get_buffer("bank") @ spectrum.abs().square()
        return 10.0 * torch.log10(power.clamp(min=_FLOOR))


class Judges:
    """Distances from true sounds to others, whose features are computed once.

    JTFS: Euclidean distance of the standard features, which PNP loss is made of. Multiscale: mean absolute difference
    of log-magnitudes, which the multiscale loss is made of. Log-mel: mean absolute difference in dB.

    Args:
        synth: Synthesizer, for rate and length.
        sounds: True sounds, shape (n, N).
        ears: Changes of the standard representation by name, to judge by as well.
    """

    def __init__(
        self, synth: nn.Module, sounds: Tensor, ears: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        rate: Any = synth.sample_rate
        multiscale = MultiscaleSTFT()

        def euclidean(a: Tensor, b: Tensor) -> Tensor:
            return torch.linalg.vector_norm(a - b, dim=-1)

        self._maps: dict[str, tuple[FeatureMap, Distance]] = {
            "jtfs": (standard_features(synth), euclidean),
            **{
                name: (standard_features(synth, **changes), euclidean)
                for name, changes in (ears or {}).items()
            },
            "multiscale": (multiscale, lambda a, b: (a - b).abs().sum(-1)),
            "logmel": (LogMel(rate), lambda a, b: (a - b).abs().mean((-2, -1))),
        }
        self._true = {name: self._features(name, sounds) for name in self._maps}

    def __call__(self, sounds: Tensor) -> dict[str, float]:
        """Mean distances of sounds (n, N) from the true ones, by name."""
        return {
            name: round(float(distance(self._features(name, sounds), self._true[name]).mean()), 6)
            for name, (_, distance) in self._maps.items()
        }

    @torch.no_grad()
    def _features(self, name: str, sounds: Tensor) -> Tensor:
        return torch.cat([self._maps[name][0](some) for some in sounds.split(_CHUNK)])
