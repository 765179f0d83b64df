"""Noise floor of a recording as one more parameter of a synthesizer."""

from __future__ import annotations

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp.synths.extra import ExtraParameter

__all__ = ["WithNoise"]


class WithNoise(ExtraParameter):
    """Synthesizer under noise, whose level is the last parameter, before choices and conditions.

    It is named "noise" or, where that name is taken, "noise_2". The noise is one draw, the same for every sound: that
    keeps the sum differentiable. Features that are averages over time hardly depend on the draw.

    Args:
        synth: Any synthesizer: a module with `space`, `sample_rate` and `n_samples`.
        noise: The draw, shape (N,).
        low: Lowest factor of the draw.
        high: Highest factor.

    Raises:
        ValueError: If the factors are not 0 < low < high, or the draw has another length.

    Examples:
        >>> import torch
        >>> import pnp
        >>> synth = pnp.synths.make("chirp")
        >>> WithNoise(synth, torch.randn(synth.n_samples), 1e-4, 1.0).space.names
        ('f_c', 'f_m', 'gamma', 'noise')
    """

    noise: Tensor

    def __init__(self, synth: nn.Module, noise: Shaped[Tensor, " N"], low: float, high: float) -> None:
        super().__init__(synth, "noise", low, high)
        if tuple(noise.shape) != (self.n_samples,):
            raise ValueError(f"noise must have shape ({self.n_samples},), got {tuple(noise.shape)}")
        self.register_buffer("noise", noise)

    def forward(self, theta: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch N"]:
        """Synthesize and add the noise.

        Args:
            theta: Physical parameters, shape (..., D), the factor of the noise after the synthesizer's parameters.

        Returns:
            Sounds, shape (..., N).
        """
        inner, factor = self.parts(theta)
        sounds: Tensor = self.synth(inner) + factor * self.noise.to(theta)
        return sounds

    def outside(self, x: Tensor, dx: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sounds under noise and their tangents; the tangent along the factor is the draw.

        Args:
            x: Sounds of the synthesizer, shape (B, N).
            dx: Their tangents, shape (B, A, N).
            value: Factor of the noise, shape (B, 1).

        Returns:
            Sounds, tangents, and the tangent along the factor.
        """
        noise = self.noise.to(x)
        return x + value * noise, dx, noise.expand(len(x), -1)
