"""Distances between true and resynthesized sounds, by three ears."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pnp.features.multiscale import MultiscaleSTFT
from pnp.features.standard import standard_features

__all__ = ["JUDGES", "LogMel", "judges_of"]

_CHUNK = 16
_FLOOR = 1e-8  # of power: 80 dB below full scale

# Names as in results, and what they are called on the page.
JUDGES = {"jtfs": "JTFS", "multiscale": "multiscale", "logmel": "log-mel"}


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


def judges_of(synth: nn.Module) -> Mapping[str, Callable[[Tensor, Tensor], Tensor]]:
    """Distances from sounds (B, N) and sounds (B, N) to (B,), by name.

    JTFS: Euclidean distance of the standard features, which PNP loss is made of. Multiscale: mean absolute difference of
    log-magnitudes, what the multiscale loss is made of. Log-mel: mean absolute difference in dB.

    Args:
        synth: Synthesizer, for rate and length.
    """
    features, multiscale = standard_features(synth), MultiscaleSTFT()
    mel = LogMel(float(synth.sample_rate))  # type: ignore[arg-type]

    def chunked(distance: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        def function(x: Tensor, y: Tensor) -> Tensor:
            pairs = zip(x.split(_CHUNK), y.split(_CHUNK), strict=True)
            with torch.no_grad():
                return torch.cat([distance(a, b) for a, b in pairs])

        return function

    return {
        "jtfs": chunked(lambda x, y: torch.linalg.vector_norm(features(x) - features(y), dim=-1)),
        "multiscale": chunked(lambda x, y: (multiscale(x) - multiscale(y)).abs().sum(-1)),
        "logmel": chunked(lambda x, y: (mel(x) - mel(y)).abs().mean((-2, -1))),
    }
