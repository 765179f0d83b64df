"""Checks of the tensors that a metric is made from."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["as_float64", "rows_in_words", "square"]


def as_float64(name: str, tensor: Tensor, shape: str) -> Tensor:
    """Return a matrix, or a batch of matrices, in float64; refuse anything else.

    Args:
        name: Name in messages.
        tensor: Tensor to check.
        shape: Shape that was expected, for a message.

    Returns:
        The tensor in float64.

    Raises:
        TypeError: If it is not a real floating-point tensor.
        ValueError: If it has fewer than two axes, or empty matrices.
    """
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        got = str(tensor.dtype) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be a real floating-point tensor; got {got}.")
    if tensor.ndim < 2 or 0 in tensor.shape[-2:]:
        raise ValueError(f"{name} must have shape {shape} with no empty matrix; got {tuple(tensor.shape)}.")
    return tensor.to(torch.float64)


def square(name: str, tensor: Tensor) -> Tensor:
    """Return square matrices in float64; refuse anything else, as `as_float64` does."""
    tensor = as_float64(name, tensor, "(..., P, P)")
    if tensor.shape[-1] != tensor.shape[-2]:
        raise ValueError(f"{name} must have shape (..., P, P); got {tuple(tensor.shape)}.")
    return tensor


def rows_in_words(bad: Tensor, most: int = 8) -> str:
    """Return in words where a mask over the batch is true.

    Examples:
        >>> rows_in_words(torch.tensor([True, False, True]))
        'in rows 0, 2'
    """
    if bad.ndim == 0:
        return "in the only matrix"
    indices = [row[0] if bad.ndim == 1 else tuple(row) for row in bad.nonzero().tolist()]
    rest = f" and {len(indices) - most} more" if len(indices) > most else ""
    return f"in row{'s' if len(indices) > 1 else ''} {', '.join(map(str, indices[:most]))}{rest}"
