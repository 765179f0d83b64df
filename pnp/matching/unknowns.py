"""Synthesizer of what a match does not know: conditions that are not given count among the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from pnp._protocols import check_synthesizer
from pnp._torch.pushforward import along_axes
from pnp.jacobian.numerical import Wrapper
from pnp.jacobian.resolve import tangents_and_gaps
from pnp.parameters import ParameterSpace

__all__ = ["Unknowns"]

# Step of a condition, as a part of its range, where the synthesizer differentiates its parameters alone.
_STEP = 1e-4


class Unknowns(Wrapper, nn.Module):
    """Synthesizer whose parameters and choices are all that has to be found; it has no conditions.

    Args:
        synth: Any synthesizer: a module with `space`, `sample_rate` and `n_samples`.
        known: From the name of each condition that is known to its number in physical units.

    Attributes:
        space: Parameters, then unknown conditions, then choices.
    """

    def __init__(self, synth: nn.Module, known: Mapping[str, float]) -> None:
        super().__init__()
        synth = check_synthesizer(synth)
        space = synth.space
        self.synth, self.known = synth, dict(known)
        self.forward_mode = getattr(synth, "forward_mode", True)
        unknown = [condition for condition in space.conditions if condition.name not in known]
        # A space puts choices last by itself.
        self.space = ParameterSpace([*space, *unknown, *space.choices])
        self.sample_rate, self.n_samples = synth.sample_rate, synth.n_samples

    def forward(self, theta: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch N"]:
        """Synthesize.

        Args:
            theta: Unknowns in physical units, shape (..., D).

        Returns:
            Sounds, shape (..., N).
        """
        x: Tensor = self.synth(self.complete(theta))
        return x

    def complete(self, theta: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch D2"]:
        """Return all columns that the synthesizer receives, in its order.

        Args:
            theta: Unknowns in physical units, shape (..., D).
        """
        names = self.space.column_names
        columns = [
            torch.full_like(theta[..., 0], self.known[name])
            if name in self.known
            else theta[..., names.index(name)]
            for name in self.synth.space.column_names
        ]
        return torch.stack(columns, dim=-1)

    def value_and_tangents(
        self, theta: Shaped[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sounds, and their derivatives with respect to parameters and unknown conditions.

        Args:
            theta: Unknowns in physical units, shape (B, D).

        Returns:
            Sounds, shape (B, N), and tangents, shape (B, P, N); those of integers are 0.
        """
        inner, space = self.complete(theta), self.synth.space
        smooth = {p.name: space.column(p.name) for p in self.space if p.kind == "continuous"}
        # A synthesizer with a way of its own differentiates its parameters, and no conditions.
        own = getattr(self.synth, "value_and_tangents", None) is not None
        exact = [name for name in smooth if name in space.names or not own]
        dx: dict[str, Tensor] = {}
        if exact:
            x, tangents = along_axes(self.synth, inner, [smooth[name] for name in exact])
            dx = dict(zip(exact, tangents.unbind(1), strict=True))
        else:
            x = self.synth(inner)
        for name, column in smooth.items():
            if name not in dx:
                dx[name] = self._difference(inner, column)
        return x, torch.stack([dx.get(p.name, torch.zeros_like(x)) for p in self.space], dim=1)

    def tangents_where_they_exist(
        self, theta: Float[Tensor, "B D"], axes: Sequence[int]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B A N"], Bool[Tensor, "B A"]]:
        """Sounds, their derivatives with respect to some unknowns, and where there are none.

        Args:
            theta: Unknowns in physical units, shape (B, D).
            axes: Columns of parameters and unknown conditions.

        Returns:
            Sounds, shape (B, N); tangents, shape (B, A, N); True, shape (B, A), where there is no derivative.
        """
        inner, space = self.complete(theta), self.synth.space
        columns = [space.column(self.space.names[axis]) for axis in axes]
        own = [column for column in columns if column < len(space)]
        x, dx, gaps = tangents_and_gaps(self.synth, inner, own)
        tangents = dict(zip(own, dx.unbind(1), strict=True))
        missing = dict(zip(own, gaps.unbind(1), strict=True))
        for column in columns:
            if column not in tangents:
                tangents[column] = self._difference(inner, column)
                missing[column] = torch.zeros(len(x), dtype=torch.bool)
        return (
            x,
            torch.stack([tangents[c] for c in columns], 1),
            torch.stack([missing[c] for c in columns], 1),
        )

    def _difference(self, inner: Tensor, column: int) -> Tensor:
        parameter = self.synth.space.columns[column]
        step = _STEP * (parameter.high - parameter.low)
        ends = []
        for sign in (-1.0, 1.0):
            moved = inner.clone()
            moved[:, column] = (moved[:, column] + sign * step).clamp(parameter.low, parameter.high)
            ends.append(moved)
        low, high = ends
        difference: Tensor = (self.synth(high) - self.synth(low)) / (high - low)[:, column, None]
        return difference
