"""Other draws of a random synthesizer at the same parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from pnp.parameters import ParameterSpace

__all__ = ["check_seeds", "with_draw"]

# Distance between the seeds of two draws: coprime to the number of seeds, so that none comes twice.
_STRIDE = 7919


def check_seeds(space: ParameterSpace, seeds: int) -> None:
    """Check that a metric can be averaged over several draws.

    Args:
        space: Parameters and conditions.
        seeds: Number of draws.

    Raises:
        ValueError: If the number is out of range, or there is no seed.
    """
    number = _seed_column(space)
    if seeds < 1 or (number is not None and seeds > space.columns[number].high):
        raise ValueError(f"seeds must be a number of draws from 1 to 65,535, got {seeds}")
    if seeds > 1 and number is None:
        raise ValueError(
            f"seeds={seeds} averages over draws of a random synthesizer, and this one has no seed; give its space "
            "conditions=[Parameter('seed', kind='seed')]"
        )


def with_draw(space: ParameterSpace, u: Tensor, draw: int) -> Tensor:
    """Return the same sounds with another seed.

    Args:
        space: Parameters and conditions, with a seed.
        u: Scaled parameters with all columns, shape (B, D).
        draw: Number of the draw; 0 is the sound's own.

    Returns:
        Scaled parameters, shape (B, D).
    """
    column = _seed_column(space)
    if draw == 0 or column is None:
        return u
    n = space.columns[column].high + 1
    theta = space.from_unit(u.double())
    theta[:, column] = torch.remainder(theta[:, column].round() + draw * _STRIDE, n)
    moved = u.clone()
    moved[:, column] = space.to_unit(theta)[:, column].to(u)
    return moved


def _seed_column(space: ParameterSpace) -> int | None:
    return next((place for place, column in enumerate(space.columns) if column.kind == "seed"), None)
