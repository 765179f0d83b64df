"""One more parameter around a synthesizer: what an amplifier and a noise floor share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from pnp._naming import free_name
from pnp._protocols import check_synthesizer
from pnp._torch.pushforward import along_axes
from pnp.jacobian.numerical import Wrapper
from pnp.jacobian.resolve import tangents_and_gaps
from pnp.parameters import Parameter, ParameterSpace

__all__ = ["ExtraParameter", "tangents_of_parameters"]


class ExtraParameter(Wrapper, nn.Module):
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

    def outside(self, x: Tensor, dx: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sounds with the extra parameter, and their tangents.

        Args:
            x: Sounds of the synthesizer, shape (B, N).
            dx: Their tangents along some parameters of the synthesizer, shape (B, A, N).
            value: Extra parameter, shape (B, 1).

        Returns:
            Sounds, shape (B, N); their tangents along the same parameters, shape (B, A, N), and along the extra one,
            shape (B, N).
        """
        raise NotImplementedError

    def value_and_tangents(
        self, theta: Shaped[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sounds and their derivatives with respect to each physical parameter.

        Args:
            theta: Physical parameters, shape (B, D), the extra one after the synthesizer's parameters.

        Returns:
            Sounds, shape (B, N), and tangents, shape (B, P, N), the last one along the extra parameter; those of
            integers are 0.
        """
        inner, value = self.parts(theta)
        x, dx, own = self.outside(*tangents_of_parameters(self.synth, inner), value)
        return x, torch.cat([dx, own.unsqueeze(1)], dim=1)

    def tangents_where_they_exist(
        self, theta: Float[Tensor, "B D"], axes: Sequence[int]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B A N"], Bool[Tensor, "B A"]]:
        """Sounds, their derivatives with respect to some physical parameters, and where there are none.

        Args:
            theta: Physical parameters, shape (B, D).
            axes: Columns of the parameters, in ascending order.

        Returns:
            Sounds, shape (B, N); tangents, shape (B, A, N); True, shape (B, A), where there is no derivative.
        """
        place = len(self.synth.space)
        inner, value = self.parts(theta)
        x, dx, missing = tangents_and_gaps(self.synth, inner, [axis for axis in axes if axis != place])
        x, dx, own = self.outside(x, dx, value)
        if place not in axes:
            return x, dx, missing
        return x, torch.cat([dx, own.unsqueeze(1)], 1), torch.cat([missing, missing.new_zeros(len(x), 1)], 1)


def tangents_of_parameters(
    synth: nn.Module, theta: Shaped[Tensor, "B D"], columns: Sequence[int] | None = None
) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
    """Sounds of a synthesizer and their derivatives along parameters; those of integers are 0.

    Args:
        synth: Any synthesizer.
        theta: Physical parameters as the synthesizer receives them, shape (B, D).
        columns: Columns of the parameters, P of them; None for all.

    Returns:
        Sounds, shape (B, N), and tangents, shape (B, P, N).
    """
    synth = check_synthesizer(synth)
    chosen = range(len(synth.space)) if columns is None else columns
    smooth = [place for place, p in enumerate(chosen) if not synth.space.columns[p].is_whole]
    if not smooth:
        x: Tensor = synth(theta)
        return x, x.new_zeros(len(x), len(chosen), x.shape[-1])
    x, dx = along_axes(synth, theta, [chosen[place] for place in smooth])
    if len(smooth) == len(chosen):
        return x, dx
    every = x.new_zeros(len(x), len(chosen), x.shape[-1])
    every[:, smooth] = dx
    return x, every
