"""Gentle equalizer behind a synthesizer, as further parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp._arguments import finite_number
from pnp.synths.extra import ExtraParameter

__all__ = ["WithBand", "with_equalizer"]


def with_equalizer(synth: nn.Module, knots: Sequence[float], most: float) -> nn.Module:
    """Return a synthesizer behind an equalizer; the gain at each knot is one more parameter.

    In decibels, the response is linear between knots along log-frequency, and constant beyond the outer ones. Its phase
    is zero. Each band is a filter of its own, and what rings beyond the ends of the sound is cut after each.

    Args:
        synth: Any synthesizer.
        knots: Frequencies in Hz, ascending.
        most: Largest gain at a knot, a factor; its inverse is the lowest.
    """
    octaves = torch.tensor(knots, dtype=torch.float64).log2()
    bins = torch.fft.rfftfreq(2 * int(synth.n_samples), 1.0 / float(synth.sample_rate), dtype=torch.float64)  # type: ignore[arg-type]
    places = bins.clamp_min(float(knots[0])).clamp_max(float(knots[-1])).log2()
    for k, knot in enumerate(octaves):
        weight = torch.ones_like(places)
        if k > 0:
            weight = torch.minimum(weight, (places - octaves[k - 1]) / (knot - octaves[k - 1]))
        if k + 1 < len(octaves):
            weight = torch.minimum(weight, (octaves[k + 1] - places) / (octaves[k + 1] - knot))
        synth = WithBand(synth, weight.clamp_min(0.0), f"band_{round(float(knots[k]))}_Hz", most)
    return synth


class WithBand(ExtraParameter):
    """Synthesizer with a filter around one frequency, whose gain is the last parameter, before choices and conditions.

    The response is gain to the power of the weight, so that bands in a row add in decibels. The filter has no phase and
    rings to both sides; what rings beyond the ends is cut.

    Args:
        synth: Any synthesizer: a module with `space`, `sample_rate` and `n_samples`.
        weight: Weight of the band at each frequency of a spectrum of twice the length, shape (N + 1,).
        name: Name of the gain.
        most: Largest gain, a factor above 1; its inverse is the lowest.

    Raises:
        ValueError: If the largest gain is not above 1, or there are not N + 1 weights.

    Examples:
        >>> import pnp
        >>> synth = pnp.synths.make("chirp")
        >>> WithBand(synth, torch.ones(synth.n_samples + 1), "band", 4.0).space.names
        ('f_c', 'f_m', 'gamma', 'band')
    """

    weight: Tensor

    def __init__(self, synth: nn.Module, weight: Shaped[Tensor, " F"], name: str, most: float) -> None:
        most = finite_number("the largest gain of a band", most, above=1)
        super().__init__(synth, name, 1.0 / most, most)
        if len(weight) != self.n_samples + 1:
            raise ValueError(f"a band must have {self.n_samples + 1} weights, got {len(weight)}")
        self.register_buffer("weight", weight)

    def forward(self, theta: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch N"]:
        """Synthesize and filter.

        Args:
            theta: Physical parameters, shape (..., D), the gain after the synthesizer's parameters.

        Returns:
            Sounds, shape (..., N).
        """
        inner, gain = self.parts(theta)
        return self._filtered(self.synth(inner), gain ** self.weight.to(theta))

    def outside(self, x: Tensor, dx: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Filtered sounds and tangents, and the tangent along the gain.

        Args:
            x: Sounds of the synthesizer, shape (B, N).
            dx: Their tangents, shape (B, A, N).
            value: Gain, shape (B, 1).

        Returns:
            Sounds, tangents, and the tangent along the gain.
        """
        weight = self.weight.to(x)
        response = value**weight
        own = self._filtered(x, weight * response / value)
        return self._filtered(x, response), self._filtered(dx, response.unsqueeze(1)), own

    def _filtered(self, x: Tensor, response: Tensor) -> Tensor:
        # Twice the length: what rings beyond one end must not come in at the other.
        n = x.shape[-1]
        filtered: Tensor = torch.fft.irfft(torch.fft.rfft(x, 2 * n) * response, 2 * n)[..., :n]
        return filtered
