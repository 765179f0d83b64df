"""One more parameter around a synthesizer: what an amplifier and a noise floor share."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp._naming import free_name
from pnp._protocols import check_synthesizer
from pnp._torch.pushforward import along_axes
from pnp.parameters import Parameter, ParameterSpace

__all__ = ["ExtraParameter"]


class ExtraParameter(nn.Module):
    """Synthesizer with one more parameter, on a log scale: the last one, before choices and conditions.

    Args:
        synth: Any synthesizer: a module with `space`, `sample_rate` and `n_samples`.
        name: Name of the parameter or, where it is taken, the beginning of its name.
        low: Lowest value.
        high: Highest value.

    Raises:
        ValueError: If the values are not 0 < low < high.
    """

    def __init__(self, synth: nn.Module, name: str, low: float, high: float) -> None:
        super().__init__()
        synth = check_synthesizer(synth)
        self.synth = synth
        space = synth.space
        extra = Parameter(free_name(name, space.column_names), low, high, "log")
        self.space = ParameterSpace([*space, extra, *space.choices], conditions=space.conditions)
        self.forward_mode = getattr(synth, "forward_mode", True)
        self.sample_rate = synth.sample_rate
        self.n_samples = synth.n_samples

    def parts(self, theta: Shaped[Tensor, "*batch D"]) -> tuple[Tensor, Tensor]:
        """Split θ into what the synthesizer receives and the extra parameter.

        Args:
            theta: Physical parameters, shape (..., D).

        Returns:
            Shapes (..., D − 1) and (..., 1).
        """
        place = len(self.synth.space)
        return torch.cat([theta[..., :place], theta[..., place + 1 :]], dim=-1), theta[..., place : place + 1]

    def inner_tangents(
        self, inner: Shaped[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sounds of the synthesizer and their derivatives; those of integers are 0.

        Args:
            inner: Physical parameters as the synthesizer receives them, shape (B, D).

        Returns:
            Sounds, shape (B, N), and tangents, shape (B, P, N).
        """
        space = self.synth.space
        smooth = [p for p, parameter in enumerate(space) if parameter.kind == "continuous"]
        if not smooth:
            x: Tensor = self.synth(inner)
            return x, x.new_zeros(len(x), len(space), x.shape[-1])
        x, dx = along_axes(self.synth, inner, smooth)
        if len(smooth) == len(space):
            return x, dx
        every = x.new_zeros(len(x), len(space), x.shape[-1])
        every[:, smooth] = dx
        return x, every
