"""Synthesizer with some of its parameters held fixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp._protocols import check_synthesizer
from pnp._torch.pushforward import along_axes
from pnp.parameters import ParameterSpace

__all__ = ["Restriction"]


class Restriction(nn.Module):
    """Synthesizer of fewer parameters: the others keep a value.

    Args:
        synth: Any synthesizer: a module with `space`, `sample_rate` and `n_samples`.
        fixed: From parameter name to its value in physical units.

    Attributes:
        space: Space of the remaining parameters, in their order.

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
            if not parameter.low <= value <= parameter.high:
                raise ValueError(
                    f"fixed {name!r} must be between {parameter.low:g} and {parameter.high:g} {parameter.unit}, "
                    f"got {value:g}"
                )
        free = [parameter for parameter in space if parameter.name not in fixed]
        if not free:
            raise ValueError("a synthesizer needs a parameter that is not fixed, got values for all of them")
        self.synth = synth
        self.fixed = dict(fixed)
        self.space = ParameterSpace(free)
        self.sample_rate = synth.sample_rate
        self.n_samples = synth.n_samples
        self._free = [p for p, parameter in enumerate(space) if parameter.name not in fixed]

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
        self, theta: Shaped[Tensor, "B P"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sounds, and their derivatives with respect to the remaining parameters.

        Args:
            theta: Remaining parameters in physical units, shape (B, P).

        Returns:
            Sounds, shape (B, N), and tangents, shape (B, P, N).
        """
        x, dx = along_axes(self.synth, self._complete(theta))
        return x, dx[:, self._free]

    def _complete(self, theta: Tensor) -> Tensor:
        names = iter(theta.unbind(-1))
        columns = [
            torch.full_like(theta[..., 0], self.fixed[p.name]) if p.name in self.fixed else next(names)
            for p in self.synth.space
        ]
        return torch.stack(columns, dim=-1)
