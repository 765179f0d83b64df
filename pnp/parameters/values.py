"""Values as a synthesizer receives them: whole numbers are whole, and options have their names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pnp.parameters.space import ParameterSpace

__all__ = ["described_values", "named_values", "rounded"]


def rounded(space: ParameterSpace, theta: Tensor) -> Tensor:
    """Round the columns of integers and choices.

    Args:
        space: Parameters, choices and conditions.
        theta: Physical values, shape (..., D), or (..., P).

    Returns:
        Values of the same shape; other columns are unchanged.
    """
    columns = space.columns[: theta.shape[-1]]
    if not any(parameter.is_whole for parameter in columns):
        return theta
    whole = torch.tensor([parameter.is_whole for parameter in columns], device=theta.device)
    return torch.where(whole, theta.round(), theta)


def named_values(space: ParameterSpace, row: Sequence[float]) -> dict[str, float | int | str]:
    """Return the values of one sound as a program receives them.

    Args:
        space: Parameters, choices and conditions.
        row: Physical values, D of them.

    Returns:
        From name to float, int or name of an option.
    """
    return {column.name: column.value(number) for column, number in zip(space.columns, row, strict=True)}


def described_values(space: ParameterSpace, row: Sequence[float]) -> str:
    """Return the values of one sound as text, for messages."""
    named = named_values(space, row).items()
    return ", ".join(f"{name} = {value if isinstance(value, str) else f'{value:g}'}" for name, value in named)
