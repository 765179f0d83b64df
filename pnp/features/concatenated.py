"""Features of several maps, one after another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp._torch.pushforward import derivative_along

__all__ = ["Concatenated"]


class Concatenated(nn.Module):
    """Features of several maps, each flattened, one after another.

    Args:
        maps: Feature maps, from sounds (B, N) to features (B, ...).

    Examples:
        >>> Concatenated([nn.Identity(), nn.AvgPool1d(2)])(torch.ones(3, 8)).shape
        torch.Size([3, 12])
    """

    # Each map has its own way to its tangents.
    forward_mode = False

    def __init__(self, maps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.maps = nn.ModuleList(maps)

    def forward(self, x: Shaped[Tensor, "B N"]) -> Float[Tensor, "B C"]:
        """Features of sounds.

        Args:
            x: Sounds, shape (B, N).

        Returns:
            Features, shape (B, C).
        """
        return torch.cat([part(x).flatten(1) for part in self.maps], dim=-1)

    @torch.no_grad()
    def value_and_tangents(
        self, x: Shaped[Tensor, "B N"], dx: Shaped[Tensor, "B P N"]
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B P C"]]:
        """Features and their directional derivatives.

        Args:
            x: Sounds, shape (B, N).
            dx: Tangents of the sounds, shape (B, P, N).

        Returns:
            Features, shape (B, C), and their tangents, shape (B, P, C).
        """
        values, tangents = zip(*(derivative_along(part, x, dx) for part in self.maps), strict=True)
        return (
            torch.cat([value.flatten(1) for value in values], dim=-1),
            torch.cat([tangent.flatten(2) for tangent in tangents], dim=-1),
        )
