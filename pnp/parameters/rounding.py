"""Values as a synthesizer receives them: integers and positions of options are whole, whatever rounding left of them."""

from __future__ import annotations

import torch
from torch import Tensor

from pnp.parameters.space import ParameterSpace

__all__ = ["rounded"]


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
