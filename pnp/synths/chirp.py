"""Arpeggio of chirplets: amplitude and frequency modulated at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import finite_number
from pnp.parameters import Parameter, ParameterSpace
from pnp.synths.base import Synthesizer

__all__ = ["Chirp"]

# Standard deviation of the window, in seconds per octave of bandwidth at a rate of one octave per second.
_RELATIVE_WIDTH = 0.1


class Chirp(Synthesizer):
    r"""Exponential chirp with sinusoidal amplitude modulation, under a Gaussian window.

    $$x(t) = \gamma\, w(t) \sin(2\pi f_m t) \sin\!\Big(2\pi f_c \frac{2^{\gamma t} - 1}{\gamma \ln 2}\Big),
    \qquad w(t) = \exp\!\Big(-\frac{t^2}{2\sigma^2}\Big), \quad \sigma = 0.1\,\frac{b}{\gamma}$$

    It crosses f_c at t = 0 and rises by γ octaves per second; the modulation makes 2 f_m events a second. The
    window is such that every chirp covers the same bandwidth, b octaves in ten standard deviations.

    Phases are evaluated in float64 and only the sound is rounded: thousands of radians in float32 would leave
    three digits.

    Args:
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N; t = 0 falls on sample N/2.
        bandwidth: b, in octaves.
        shift: Delay in samples, whole or fractional: t becomes t - shift / sample_rate in the formula above.
            A whole shift moves every sample by that many places, bit for bit.
        normalization: "none", "peak" or "energy".
        ranges: From parameter name to (low, high), in place of f_c 512-1024 Hz, f_m 4-16 Hz and
            gamma 0.5-4 octaves per second.

    Raises:
        ValueError: If an option is out of its range.

    Source:
        Vahidi, Han, Wang, Lagrange, Fazekas, Lostanlen, "Mesostructures: Beyond Spectrogram Loss in
        Differentiable Time-Frequency Analysis", J. Audio Eng. Soc. 71 (2023).

    Examples:
        >>> synth = Chirp()
        >>> synth(torch.tensor([[700.0, 8.0, 1.0], [600.0, 5.0, 2.0]])).shape
        torch.Size([2, 32768])
    """

    name = "chirp"

    def __init__(
        self,
        sample_rate: float = 8192.0,
        n_samples: int = 32768,
        bandwidth: float = 2.0,
        shift: float = 0.0,
        normalization: str = "none",
        ranges: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        space = ParameterSpace(
            [
                Parameter("f_c", 512.0, 1024.0, "log", "Hz"),
                Parameter("f_m", 4.0, 16.0, "log", "Hz"),
                Parameter("gamma", 0.5, 4.0, "log", "octave/s"),
            ]
        )
        super().__init__(
            space, sample_rate=sample_rate, n_samples=n_samples, normalization=normalization, ranges=ranges
        )
        self.bandwidth = finite_number("bandwidth", bandwidth, above=0)
        self.shift = finite_number("shift", shift)

    def synthesize(self, theta: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch N"]:
        """Sound before normalization.

        Args:
            theta: f_c in Hz, f_m in Hz and gamma in octaves per second, shape (..., 3).

        Returns:
            Sounds, shape (..., N).
        """
        f_c, f_m, gamma = theta.double().unsqueeze(-2).unbind(-1)
        # Numbered from the middle, so that the axis is exact: no spacing is accumulated or stretched.
        n = torch.arange(self.n_samples, dtype=torch.float64, device=theta.device)
        t = (n - self.n_samples / 2 - self.shift) / self.sample_rate
        rate = math.log(2.0) * gamma
        scaled = t * (gamma / (_RELATIVE_WIDTH * self.bandwidth))
        envelope = gamma * torch.exp(-0.5 * scaled.square()) * torch.sin(2.0 * math.pi * f_m * t)
        carrier = torch.sin(2.0 * math.pi * f_c / rate * torch.expm1(rate * t))
        return (envelope * carrier).to(theta.dtype)
