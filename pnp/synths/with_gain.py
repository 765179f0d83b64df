"""Output level of a synthesizer as one more parameter."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp._protocols import check_synthesizer
from pnp._torch.pushforward import along_axes
from pnp.parameters import Parameter, ParameterSpace

__all__ = ["WithGain"]


class WithGain(nn.Module):
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

    Example:
        >>> import pnp
        >>> WithGain(pnp.synths.make("chirp"), 0.1, 10.0).space.names
        ('f_c', 'f_m', 'gamma', 'gain')
    """

    def __init__(self, synth: nn.Module, low: float, high: float) -> None:
        super().__init__()
        synth = check_synthesizer(synth)
        self.synth = synth
        space, gain = synth.space, Parameter(_free_name(synth.space), low, high, "log")
        self.space = ParameterSpace([*space, gain, *space.choices], conditions=space.conditions)
        self.forward_mode = getattr(synth, "forward_mode", True)
        self.sample_rate = synth.sample_rate
        self.n_samples = synth.n_samples

    def forward(self, theta: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch N"]:
        """Synthesize and amplify.

        Args:
            theta: Physical parameters, shape (..., D), the gain after the synthesizer's parameters.

        Returns:
            Sounds, shape (..., N).
        """
        inner, gain = self._parts(theta)
        sounds: Tensor = self.synth(inner) * gain
        return sounds

    def value_and_tangents(
        self, theta: Shaped[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sounds and their derivatives with respect to each physical parameter.

        Args:
            theta: Physical parameters, shape (B, D), the gain after the synthesizer's parameters.

        Returns:
            Sounds, shape (B, N), and tangents, shape (B, P, N); the last one is the sound before the amplifier. Those
            of integers are 0.
        """
        inner, gain = self._parts(theta)
        smooth = [p for p, parameter in enumerate(self.synth.space) if parameter.kind == "continuous"]
        if not smooth:
            x = self.synth(inner)
            dx = x.new_zeros(len(x), len(self.synth.space), x.shape[-1])
        else:
            x, dx = along_axes(self.synth, inner, smooth)
        if 0 < len(smooth) < len(self.synth.space):
            every = x.new_zeros(len(x), len(self.synth.space), x.shape[-1])
            every[:, smooth] = dx
            dx = every
        return gain * x, torch.cat([gain.unsqueeze(1) * dx, x.unsqueeze(1)], dim=1)

    def _parts(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Split θ into what the synthesizer receives and the gain."""
        place = len(self.synth.space)
        return torch.cat([theta[..., :place], theta[..., place + 1 :]], dim=-1), theta[..., place : place + 1]


def _free_name(space: ParameterSpace) -> str:
    """Return a name for the gain that no parameter has."""
    taken = space.column_names
    return next(
        name for name in ("gain", *(f"gain_{i}" for i in range(2, len(taken) + 3))) if name not in taken
    )
