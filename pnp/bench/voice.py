"""Voice of harmonics and noise: many parameters, from plain operations of PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pnp._arguments import whole_number
from pnp.parameters import Parameter, ParameterSpace
from pnp.synths import BlackBox, Synthesizer

__all__ = ["HarmonicsAndNoise", "black_box"]

_BANDS = 8
_LOWEST_BAND = 80.0


class HarmonicsAndNoise(Synthesizer):
    """Harmonics of one pitch with levels of their own, vibrato, and eight bands of one fixed draw of noise.

    It has fourteen parameters beside the levels of its harmonics, 32 in all by default.

    Args:
        harmonics: Number of harmonics.
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N.
        normalization: "none", "peak" or "energy".
        ranges: From parameter name to (low, high), in place of the defaults.

    Source:
        Serra, Smith, "Spectral Modeling Synthesis", Computer Music Journal 14 (1990); as a network's decoder: Engel,
        Hantrakul, Gu, Roberts, "DDSP", ICLR 2020.
    """

    name = "harmonics and noise"
    noise: Tensor

    def __init__(
        self,
        harmonics: int = 18,
        sample_rate: float = 44100.0,
        n_samples: int = 44100,
        normalization: str = "none",
        ranges: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self.harmonics = whole_number("harmonics", harmonics, least=1)
        super().__init__(
            ParameterSpace(_parameters(self.harmonics)),
            sample_rate=sample_rate,
            n_samples=n_samples,
            normalization=normalization,
            ranges=ranges,
        )
        self.register_buffer("noise", _bands_of_noise(self.n_samples, self.sample_rate), persistent=False)

    def synthesize(self, theta: Tensor) -> Tensor:
        """Sum of harmonics and bands, shape (..., N)."""
        f0, attack, decay, rate, depth = theta[..., :5].double().unsqueeze(-2).unbind(-1)
        levels, bands, noise_decay = theta[..., 5:].double().split((self.harmonics, _BANDS, 1), -1)
        t = torch.arange(self.n_samples, dtype=torch.float64, device=theta.device) / self.sample_rate
        # The integral of f0 (1 + depth sin 2π rate t).
        turn = f0 * (2.0 * math.pi * t + depth / rate * (1.0 - torch.cos(2.0 * math.pi * rate * t)))
        order = torch.arange(1, self.harmonics + 1, dtype=torch.float64, device=theta.device)
        tones = torch.sin(order[:, None] * turn.unsqueeze(-2))
        tone = (_amplitude(levels)[..., None] * tones).sum(-2) / math.sqrt(self.harmonics)
        breath = _amplitude(bands) @ self.noise.double()
        rise = 1.0 - torch.exp(-t / attack)
        return (rise * (torch.exp(-t / decay) * tone + torch.exp(-t / noise_decay) * breath)).to(theta.dtype)


def black_box(**options: Any) -> BlackBox:
    """Make the same voice as a function from numbers to samples, of which nothing else is known.

    Args:
        **options: Options of `HarmonicsAndNoise`.

    Returns:
        Synthesizer whose derivatives are differences of its sounds.
    """
    voice = HarmonicsAndNoise(**options)

    def harmonics_and_noise(**parameters: float) -> np.ndarray:
        theta = torch.tensor([[parameters[name] for name in voice.space.names]], dtype=torch.float64)
        with torch.no_grad():
            samples: np.ndarray = voice(theta)[0].numpy()
        return samples

    return BlackBox(harmonics_and_noise, voice.space, voice.sample_rate, voice.n_samples)


def _parameters(harmonics: int) -> list[Parameter]:
    return [
        Parameter("f0", 100.0, 250.0, "log", "Hz"),
        Parameter("attack", 0.003, 0.1, "log", "s"),
        Parameter("decay", 0.1, 1.0, "log", "s"),
        Parameter("vibrato_rate", 3.0, 9.0, "log", "Hz"),
        Parameter("vibrato_depth", 0.001, 0.03, "log"),
        *(Parameter(f"harmonic_{k + 1}", -40.0, 0.0, unit="dB") for k in range(harmonics)),
        *(Parameter(f"noise_{k + 1}", -60.0, -20.0, unit="dB") for k in range(_BANDS)),
        Parameter("noise_decay", 0.03, 1.0, "log", "s"),
    ]


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
    even: Tensor = bands / bands.std(-1, keepdim=True)
    return even.float()
