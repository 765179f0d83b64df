"""Row numbers, as callers of a cache give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pnp._arguments import shown, whole_number

Rows = int | slice | Sequence[int] | Tensor | np.ndarray


def is_index(rows: Any) -> bool:
    """Return True for a single row number."""
    if isinstance(rows, (Tensor, np.ndarray)):
        return rows.ndim == 0 and rows.dtype not in (torch.bool, np.bool_)
    return isinstance(rows, (int, np.integer)) and not isinstance(rows, bool)


def row_numbers(rows: Any, n: int) -> Tensor:
    """Return row numbers of a cache, counted from its start.

    Args:
        rows: A row number, or a slice or sequence of them, still to be checked. Negative numbers count
            from the end.
        n: Number of rows of the cache.

    Returns:
        Numbers from 0 to n - 1, (k,), in the order given.

    Raises:
        TypeError: If they are not whole numbers.
        IndexError: If one is out of range.
    """
    if isinstance(rows, slice):
        return torch.arange(n)[rows]
    wanted = _whole_numbers([int(rows)] if is_index(rows) else rows)
    outside = wanted[(wanted < -n) | (wanted >= n)]
    if len(outside):
        raise IndexError(f"row {int(outside[0])} is out of range for a cache of {n} rows")
    return wanted.long() % n


def _whole_numbers(rows: Any) -> Tensor:
    """Return row numbers as a tensor; refuse anything else."""
    found: Tensor | None = None
    if isinstance(rows, (Tensor, np.ndarray)):
        # An empty list says nothing about the type of its elements.
        found = torch.as_tensor(rows) if 0 not in rows.shape else torch.empty(0, dtype=torch.long)
    elif isinstance(rows, Sequence) and not isinstance(rows, (str, bytes)):
        found = torch.tensor([whole_number("each of rows", row) for row in rows], dtype=torch.long)
    if found is None or found.ndim != 1 or found.is_floating_point() or found.dtype == torch.bool:
        raise TypeError(f"rows must be an integer, a slice or a sequence of integers, got {shown(rows)}")
    return found
