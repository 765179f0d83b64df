"""Spectrotemporal ripple: a sinusoidal spectral envelope that drifts along log-frequency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import finite_number, whole_number
from pnp.parameters import Parameter, ParameterSpace
from pnp.synths.base import Synthesizer
from pnp.synths.modal import modal_sum

__all__ = ["Ripple"]

# Phases that advance by the golden ratio of a turn spread evenly for any number of tones: like random phases
# they keep the tones from peaking together, and they need no seed.
_GOLDEN_TURN = 2.0 * math.pi * (math.sqrt(5.0) - 1.0) / 2.0


class Ripple(Synthesizer):
    r"""Sum of K log-spaced tones under an envelope that is a sinusoid in time and in log-frequency.

    $$x(t) = \frac{1}{\sqrt K} \sum_{k=0}^{K-1} \Big(1 + m \sin 2\pi\big(w t \mp \Omega\, \xi_k\big)\Big)
    \sin(2\pi f_0 2^{\xi_k} t + \varphi_k)$$

    with ξ_k in octaves above the lowest tone, the density Ω in cycles per octave and the drift rate w in
    cycles per second: crests travel at w/Ω octaves per second, upwards with the minus sign. The phases φ_k
    are fixed.

    Since the sine of the sum splits, only three fixed-frequency sums are needed for a sound, whatever its θ.

    Args:
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N.
        lowest: Frequency f_0 of the lowest tone in Hz.
        octaves: Range of the tones.
        tones_per_octave: Tones in each octave.
        depth: Modulation depth m, between 0 and 1.
        direction: "up" or "down".
        shift: Delay in samples, whole or fractional: t becomes t - shift / sample_rate in the formula above.
        normalization: "none", "peak" or "energy".
        ranges: From parameter name to (low, high), in place of density 0.25-4 cycles/octave, rate 2-32 Hz.

    Raises:
        ValueError: If an option is out of its range.

    Source:
        Chi, Gao, Guyton, Ru, Shamma, "Spectro-temporal modulation transfer functions and speech
        intelligibility", J. Acoust. Soc. Am. 106 (1999). As a synthesizer for scattering: Vahidi et al.,
        "Mesostructures", J. Audio Eng. Soc. 71 (2023).

    Examples:
        >>> Ripple()(torch.tensor([1.0, 8.0])).shape
        torch.Size([32768])
    """

    name = "ripple"

    def __init__(
        self,
        sample_rate: float = 8192.0,
        n_samples: int = 32768,
        lowest: float = 200.0,
        octaves: float = 4.0,
        tones_per_octave: int = 24,
        depth: float = 0.9,
        direction: str = "up",
        shift: float = 0.0,
        normalization: str = "none",
        ranges: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        space = ParameterSpace(
            [
                Parameter("density", 0.25, 4.0, "log", "cycle/octave"),
                Parameter("rate", 2.0, 32.0, "log", "Hz"),
            ]
        )
        super().__init__(
            space, sample_rate=sample_rate, n_samples=n_samples, normalization=normalization, ranges=ranges
        )
        if direction not in ("up", "down"):
            raise ValueError(f"unknown direction {direction!r}, expected 'up' or 'down'")
        self.lowest = finite_number("lowest", lowest, above=0)
        self.octaves = finite_number("octaves", octaves, above=0)
        self.tones_per_octave = whole_number("tones_per_octave", tones_per_octave, least=1)
        self.depth = finite_number("depth", depth, above=0, most=1)
        self.direction = direction
        self.shift = finite_number("shift", shift)
        # In octaves, so that no number of them overflows.
        if math.log2(self.lowest) + self.octaves > math.log2(self.sample_rate / 2.0):
            raise ValueError(
                f"the highest tone, {self.octaves:g} octaves above {self.lowest:g} Hz, lies above the Nyquist "
                f"frequency {self.sample_rate / 2.0:g} Hz; lower `lowest` or `octaves`"
            )

    def synthesize(self, theta: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch N"]:
        """Sound before normalization.

        Args:
            theta: Density in cycles per octave and drift rate in Hz, shape (..., 2).

        Returns:
            Sounds, shape (..., N).
        """
        density, rate = theta.double().unsqueeze(-2).unbind(-1)
        n_tones = max(1, round(self.octaves * self.tones_per_octave))
        k = torch.arange(n_tones, dtype=torch.float64, device=theta.device)
        xi = k / self.tones_per_octave
        turns = 2.0 * math.pi * density * xi * (-1.0 if self.direction == "up" else 1.0)
        # The envelope's factor of each tone, split: 1, then those of sin(2π w t) and cos(2π w t).
        gains = [torch.ones_like(turns), self.depth * turns.cos(), self.depth * turns.sin()]
        scale = torch.stack(gains, dim=-2) / math.sqrt(n_tones)
        delay = self.shift / self.sample_rate
        tones = 2.0 * math.pi * self.lowest * torch.exp2(xi)
        omega = tones.expand_as(turns)
        phase = _GOLDEN_TURN * k - tones * delay
        steady, in_phase, in_quadrature = modal_sum(
            scale * phase.cos(),
            scale * phase.sin(),
            torch.zeros_like(omega),
            omega,
            self.n_samples,
            self.sample_rate,
            theta.dtype,
        ).unbind(-2)
        t = torch.arange(self.n_samples, dtype=torch.float64, device=theta.device) / self.sample_rate - delay
        drift = 2.0 * math.pi * rate * t
        return steady + drift.sin().to(theta.dtype) * in_phase + drift.cos().to(theta.dtype) * in_quadrature
