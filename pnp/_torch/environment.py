"""Faults of the machine, as opposed to faults of a computation: the same call may succeed elsewhere or later."""

from __future__ import annotations

import torch

__all__ = ["environment_fault"]

_TYPES = (MemoryError, OSError, torch.OutOfMemoryError)
# PyTorch raises a plain RuntimeError where memory is short on the CPU, and where threads meet in forward mode.
_TEXTS = (
    "can't allocate memory",
    "not enough memory",
    "Trying to set a forward gradient",
    "Nested forward mode AD is not supported",
    "Trying to exit a forward AD level",
    "Trying to create a dual Tensor for forward AD but no level",
    "can't start new thread",
)


def environment_fault(error: BaseException | None) -> BaseException | None:
    """Return the fault of the machine that caused an error, or None.

    Args:
        error: Error, with its chain of causes.

    Returns:
        The first error of the chain that concerns memory, files, processes or threads.
    """
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, _TYPES) or any(text in str(error) for text in _TEXTS):
            return error
        # Not its context: an error that was dealt with says nothing about the next one.
        error = error.__cause__
    return None
