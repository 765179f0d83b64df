"""Synthesizer with some of its parameters held fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from pnp._arguments import finite_number
from pnp._protocols import check_synthesizer
from pnp.jacobian.numerical import Wrapper
from pnp.jacobian.resolve import tangents_and_gaps
from pnp.parameters import ParameterSpace
from pnp.synths.extra import tangents_of_parameters

__all__ = ["Restriction"]


class Restriction(Wrapper, nn.Module):
    """Synthesizer of fewer parameters: the others keep a value.

    Args:
        synth: Any synthesizer: a module with `space`, `sample_rate` and `n_samples`.
        fixed: From the name of a parameter, choice or condition to its value in physical units; of a choice, the
            position of its option.

    Attributes:
        space: Space of the remaining parameters, choices and conditions, in their order.

    Raises:
        ValueError: If a name is unknown, a value is outside its range, or no parameter remains.

    Examples:
        >>> from pnp.synths import make
        >>> Restriction(make("chirp"), {"f_c": 512.0}).space.names
        ('f_m', 'gamma')
    """

    def __init__(self, synth: nn.Module, fixed: Mapping[str, float]) -> None:
        super().__init__()
        synth = check_synthesizer(synth)
        space = synth.space
        for name, value in fixed.items():
            parameter = space[name]
            number = parameter.number(finite_number(f"fixed {name!r}", value))
            if not parameter.low <= number <= parameter.high:
                raise ValueError(
                    f"fixed {name!r} must be between {parameter.low:g} and {parameter.high:g} {parameter.unit}, "
                    f"got {number:g}"
                )
        free = [parameter for parameter in (*space, *space.choices) if parameter.name not in fixed]
        if not free:
            raise ValueError("a synthesizer needs a parameter that is not fixed, got values for all of them")
        self.synth = synth
        # NumPy's numbers as JSON can hold them.
        self.fixed = {
            name: value if isinstance(value, (int, float)) else float(value) for name, value in fixed.items()
        }
        self.space = ParameterSpace(free, [c for c in space.conditions if c.name not in fixed])
        self.forward_mode = getattr(synth, "forward_mode", True)
        self.sample_rate = synth.sample_rate
        self.n_samples = synth.n_samples
        self._free = [space.column(name) for name in self.space.names]

    def config(self) -> dict[str, Any]:
        """Settings, as JSON can hold them."""
        inner: Any = self.synth
        return {"synth": inner.config(), "fixed": self.fixed}

    def forward(self, theta: Shaped[Tensor, "*batch P"]) -> Float[Tensor, "*batch N"]:
        """Synthesize.

        Args:
            theta: Remaining parameters in physical units, shape (..., P).

        Returns:
            Sounds, shape (..., N).
        """
        x: Tensor = self.synth(self._complete(theta))
        return x

    def value_and_tangents(
        self, theta: Shaped[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sounds, and their derivatives with respect to the remaining parameters.

        Args:
            theta: Remaining columns in physical units, shape (B, D).

        Returns:
            Sounds, shape (B, N), and tangents, shape (B, P, N); those of integers are 0.
        """
        return tangents_of_parameters(self.synth, self._complete(theta), self._free[: len(self.space)])

    def tangents_where_they_exist(
        self, theta: Float[Tensor, "B D"], axes: Sequence[int]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B A N"], Bool[Tensor, "B A"]]:
        """Sounds, their derivatives with respect to some remaining parameters, and where there are none.

        Args:
            theta: Remaining columns in physical units, shape (B, D).
            axes: Columns of the parameters, at least one.

        Returns:
            Sounds, shape (B, N); tangents, shape (B, A, N); True, shape (B, A), where there is no derivative.
        """
        return tangents_and_gaps(self.synth, self._complete(theta), [self._free[axis] for axis in axes])

    def _complete(self, theta: Tensor) -> Tensor:
        names = iter(theta.unbind(-1))
        columns = [
            torch.full_like(theta[..., 0], self.fixed[p.name]) if p.name in self.fixed else next(names)
            for p in self.synth.space.columns
        ]
        return torch.stack(columns, dim=-1)
