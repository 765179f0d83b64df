"""Synthesizer whose sounds are faded or cut as a recording was."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from pnp._protocols import check_synthesizer
from pnp.jacobian.numerical import Wrapper
from pnp.jacobian.resolve import tangents_and_gaps
from pnp.synths.extra import tangents_of_parameters

__all__ = ["WithWindow"]


class WithWindow(Wrapper, nn.Module):
    """Synthesizer whose sounds are multiplied by a window.

    A recording that was cut while it rang is compared with sounds that are cut there, too.

    Args:
        synth: Any synthesizer: a module with `space`, `sample_rate` and `n_samples`.
        window: Factors, shape (N,).

    Raises:
        ValueError: If the window has another length than the sounds.

    Examples:
        >>> import torch
        >>> import pnp
        >>> synth = pnp.synths.make("chirp")
        >>> window = torch.ones(synth.n_samples)
        >>> window[100:] = 0.0
        >>> theta = synth.space.from_unit(torch.zeros(1, 3))
        >>> int(WithWindow(synth, window)(theta).nonzero().max()) < 100
        True
    """

    window: Tensor

    def __init__(self, synth: nn.Module, window: Shaped[Tensor, " N"]) -> None:
        super().__init__()
        synth = check_synthesizer(synth)
        self.synth, self.space = synth, synth.space
        self.forward_mode = getattr(synth, "forward_mode", True)
        self.sample_rate, self.n_samples = synth.sample_rate, synth.n_samples
        if tuple(window.shape) != (self.n_samples,):
            raise ValueError(f"a window must have shape ({self.n_samples},), got {tuple(window.shape)}")
        self.register_buffer("window", window)

    def forward(self, theta: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch N"]:
        """Synthesize and multiply by the window.

        Args:
            theta: Physical parameters, shape (..., D).

        Returns:
            Sounds, shape (..., N).
        """
        x: Tensor = self.synth(theta)
        return x * self.window.to(x)

    def value_and_tangents(
        self, theta: Shaped[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sounds and their derivatives with respect to each physical parameter.

        Args:
            theta: Physical parameters, shape (B, D).

        Returns:
            Sounds, shape (B, N), and tangents, shape (B, P, N); those of integers are 0.
        """
        x, dx = tangents_of_parameters(self.synth, theta)
        window = self.window.to(x)
        return x * window, dx * window

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
        x, dx, missing = tangents_and_gaps(self.synth, theta, list(axes))
        window = self.window.to(x)
        return x * window, dx * window, missing
