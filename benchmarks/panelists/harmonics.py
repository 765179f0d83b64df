"""Harmonics of one pitch beside noise in bands: thirty parameters."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

import pnp

from .voice import Voice

__all__ = ["HarmonicsAndNoise"]

_HARMONICS, _BANDS = 16, 8
_LOWEST_BAND = 80.0


class HarmonicsAndNoise(Voice):
    """Sixteen harmonics with levels of their own, vibrato, and eight bands of one fixed draw of noise.

    Source:
        Serra, Smith, "Spectral Modeling Synthesis", Computer Music Journal 14 (1990); as a network's decoder: Engel,
        Hantrakul, Gu, Roberts, "DDSP", ICLR 2020.
    """

    name = "harmonics and noise"
    noise: Tensor

    parameters = (
        pnp.Parameter("f0", 100.0, 250.0, "log", "Hz"),
        pnp.Parameter("attack", 0.003, 0.1, "log", "s"),
        pnp.Parameter("decay", 0.1, 1.0, "log", "s"),
        pnp.Parameter("vibrato_rate", 3.0, 9.0, "log", "Hz"),
        pnp.Parameter("vibrato_depth", 0.001, 0.03, "log"),
        *(pnp.Parameter(f"harmonic_{k + 1}", -40.0, 0.0, unit="dB") for k in range(_HARMONICS)),
        *(pnp.Parameter(f"noise_{k + 1}", -60.0, -20.0, unit="dB") for k in range(_BANDS)),
        pnp.Parameter("noise_decay", 0.03, 1.0, "log", "s"),
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register_buffer("noise", _bands_of_noise(self.n_samples, self.sample_rate), persistent=False)

    def synthesize(self, theta: Tensor) -> Tensor:
        """Sum of harmonics and bands, shape (..., N)."""
        f0, attack, decay, rate, depth = theta[..., :5].double().unsqueeze(-2).unbind(-1)
        harmonics, bands, noise_decay = theta[..., 5:].double().split((_HARMONICS, _BANDS, 1), -1)
        t = torch.arange(self.n_samples, dtype=torch.float64, device=theta.device) / self.sample_rate
        # The integral of f0 (1 + depth sin 2π rate t).
        turn = f0 * (2.0 * math.pi * t + depth / rate * (1.0 - torch.cos(2.0 * math.pi * rate * t)))
        order = torch.arange(1, _HARMONICS + 1, dtype=torch.float64, device=theta.device)
        tones = torch.sin(order[:, None] * turn.unsqueeze(-2))
        tone = (_amplitude(harmonics)[..., None] * tones).sum(-2)
        breath = _amplitude(bands) @ self.noise.double()
        rise = 1.0 - torch.exp(-t / attack)
        return (rise * (torch.exp(-t / decay) * tone / 4 + torch.exp(-t / noise_decay) * breath)).to(
            theta.dtype
        )


def _amplitude(level: Tensor) -> Tensor:
    return 10.0 ** (level / 20.0)


def _bands_of_noise(n_samples: int, sample_rate: float) -> Tensor:
    """One draw of white noise in bands even in log-frequency, of unit variance each, shape (bands, N)."""
    white = torch.randn(n_samples, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    frequency = torch.arange(n_samples // 2 + 1, dtype=torch.float64) * sample_rate / n_samples
    width = math.log2(sample_rate / 2 / _LOWEST_BAND) / _BANDS
    band = (torch.log2(frequency.clamp(min=1e-3) / _LOWEST_BAND) / width).floor()
    masks = torch.stack([band == k for k in range(_BANDS)])
    bands = torch.fft.irfft(torch.fft.rfft(white) * masks, n=n_samples)
    return (bands / bands.std(-1, keepdim=True)).float()
