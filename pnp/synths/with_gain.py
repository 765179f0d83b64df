"""Output level of a synthesizer as one more parameter."""

from __future__ import annotations

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp.synths.extra import ExtraParameter

__all__ = ["WithGain"]


class WithGain(ExtraParameter):
    """Synthesizer followed by an amplifier, whose gain is the last parameter, before choices and conditions.

    It is named "gain" or, where that name is taken, "gain_2".

    The level at which a sound was recorded says nothing about the synthesizer's parameters. With the gain among
    the unknowns it is estimated with them, and what is learned of them is what does not depend on it.

    Args:
        synth: Any synthesizer: a module with `space`, `sample_rate` and `n_samples`.
        low: Lowest gain, a factor.
        high: Highest gain.

    Raises:
        ValueError: If the gains are not 0 < low < high.

    Examples:
        >>> import pnp
        >>> WithGain(pnp.synths.make("chirp"), 0.1, 10.0).space.names
        ('f_c', 'f_m', 'gamma', 'gain')
    """

    def __init__(self, synth: nn.Module, low: float, high: float) -> None:
        super().__init__(synth, "gain", low, high)

    def forward(self, theta: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch N"]:
        """Synthesize and amplify.

        Args:
            theta: Physical parameters, shape (..., D), the gain after the synthesizer's parameters.

        Returns:
            Sounds, shape (..., N).
        """
        inner, gain = self.parts(theta)
        sounds: Tensor = self.synth(inner) * gain
        return sounds

    def outside(self, x: Tensor, dx: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Amplified sounds and tangents; the tangent along the gain is the sound before the amplifier.

        Args:
            x: Sounds of the synthesizer, shape (B, N).
            dx: Their tangents, shape (B, A, N).
            value: Gain, shape (B, 1).

        Returns:
            Sounds, tangents, and the tangent along the gain.
        """
        return value * x, value.unsqueeze(1) * dx, x
