"""Base class of the synthesizers of this package."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp._arguments import finite_number, shown, whole_number
from pnp._torch.concrete import is_concrete
from pnp._torch.memory import SOUND_TANGENTS
from pnp._torch.pushforward import pushforward
from pnp.parameters import ParameterSpace
from pnp.parameters.checks import check_whole
from pnp.synths.normalization import check_normalization, normalize, normalize_with_tangents

__all__ = ["Synthesizer"]


class Synthesizer(nn.Module, ABC):
    """Map from physical parameters to sound, differentiable and batched.

    A subclass passes its space and timing to `__init__`, implements `synthesize` with PyTorch operations,
    and stores each of its constructor options under the option's name, which is where `config` finds them.
    Subclassing is a convenience: any `nn.Module` with `space`, `sample_rate` and `n_samples` that maps
    (..., P) to (..., N) works wherever this package asks for a synthesizer.

    Args:
        space: Parameters, with their default ranges.
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N of a sound.
        normalization: "none", "peak" (max |x| = 1) or "energy" (sum of x² = 1).
        ranges: From parameter name to (low, high) in physical units, in place of the defaults.

    Attributes:
        space: `ParameterSpace` of the P parameters.
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N.

    Raises:
        ValueError: If an option is out of its range.
    """

    name: ClassVar[str]

    def __init__(
        self,
        space: ParameterSpace,
        *,
        sample_rate: float,
        n_samples: int,
        normalization: str = "none",
        ranges: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.sample_rate = finite_number("sample_rate", sample_rate, above=0)
        self.n_samples = whole_number("n_samples", n_samples, least=1)
        check_normalization(normalization)
        if not isinstance(space, ParameterSpace):
            raise TypeError(f"space must be a pnp.ParameterSpace, got {shown(space)}")
        self.space = space if ranges is None else space.replace(ranges)
        # As plain numbers, which JSON can hold.
        self.ranges = (
            None
            if ranges is None
            else {name: [self.space[name].low, self.space[name].high] for name in ranges}
        )
        self.normalization = normalization

    @abstractmethod
    def synthesize(self, theta: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch N"]:
        """Sound before normalization, in the dtype and on the device of `theta`, which has been checked.

        Args:
            theta: Physical parameters, shape (..., P), float32 or float64.

        Returns:
            Sounds, shape (..., N).
        """

    def synthesize_with_tangents(
        self, theta: Float[Tensor, "B P"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sound before normalization and its tangents, by forward-mode differentiation of `synthesize`.

        Override it where the tangents are known more cheaply.

        Args:
            theta: Physical parameters, shape (B, P), float32 or float64.

        Returns:
            Sounds, shape (B, N), and tangents, shape (B, P, N).
        """
        basis = torch.eye(theta.shape[-1], dtype=theta.dtype, device=theta.device)
        group = SOUND_TANGENTS.tangents_at_a_time(len(basis), len(theta) * self.n_samples)
        return pushforward(self.synthesize, theta, basis.expand(len(theta), -1, -1), group)

    def forward(self, theta: Shaped[Tensor, "*batch P"]) -> Float[Tensor, "*batch N"]:
        """Synthesize.

        Args:
            theta: Physical parameters, shape (..., P), float32 or float64.

        Returns:
            Sounds, shape (..., N), in the dtype and on the device of `theta`.

        Raises:
            ValueError: If the trailing axis is not P long, or a parameter is not finite or outside its range, or not
                whole where it must be.
            TypeError: If `theta` is not a float32 or float64 tensor.
        """
        self._check(theta)
        return normalize(self.synthesize(theta), self.normalization)

    def value_and_tangents(
        self, theta: Shaped[Tensor, "B P"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sounds and their derivatives with respect to each physical parameter.

        Args:
            theta: Physical parameters, shape (B, P), float32 or float64.

        Returns:
            Sounds x of shape (B, N) and tangents ∂x/∂θ_p of shape (B, P, N), per physical unit of θ_p.

        Raises:
            ValueError: If the shape is not (B, P), or a parameter is not finite or outside its range.
            TypeError: If `theta` is not a float32 or float64 tensor.
        """
        self._check(theta)
        if theta.ndim != 2:
            raise ValueError(
                f"theta must have shape (B, {len(self.space.columns)}), got {tuple(theta.shape)}"
            )
        return normalize_with_tangents(*self.synthesize_with_tangents(theta), self.normalization)

    def config(self) -> dict[str, Any]:
        """Name and constructor options for JSON: `make(**synth.config())` is the same synthesizer."""
        options = inspect.signature(type(self).__init__).parameters
        return {"name": self.name} | {option: getattr(self, option) for option in options if option != "self"}

    def extra_repr(self) -> str:
        """Timing and parameters, for `print(synth)`."""
        parameters = ", ".join(str(parameter) for parameter in self.space.columns)
        return f"{self.n_samples} samples at {self.sample_rate:g} Hz; {parameters}"

    def _check(self, theta: Tensor) -> None:
        self.space.check_physical(theta)
        columns = self.space.column_names
        if theta.shape[-1] != len(columns):
            raise ValueError(
                f"theta must have shape (..., {len(columns)}), one column for each of {', '.join(columns)}, got "
                f"{tuple(theta.shape)}"
            )
        if theta.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"theta must be float32 or float64 to hold a pitch, got {theta.dtype}")
        if is_concrete(theta):
            check_whole(theta, self.space.columns)
