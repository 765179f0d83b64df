"""Check of the types of tensors that a user asks for."""

from __future__ import annotations

from typing import Any

import torch

from pnp._arguments import shown

__all__ = ["floating_type"]


def floating_type(name: str, dtype: Any) -> torch.dtype:
    """Return a floating-point type; refuse anything else.

    Args:
        name: Name of the option, for messages.
        dtype: Value that was given.

    Returns:
        The type.

    Raises:
        TypeError: If it is no type of PyTorch.
        ValueError: If it is not a floating-point type.
    """
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"{name} must be a type of PyTorch such as torch.float32, got {shown(dtype)}")
    if not dtype.is_floating_point:
        raise ValueError(f"{name} must be a floating-point type such as torch.float32, got {dtype}")
    return dtype
