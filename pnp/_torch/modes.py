"""Independence of the modes of PyTorch that a caller is in: inference mode and autocast.

A tensor that is made in inference mode can never be part of a training step, and autocast computes products in half
precision. What is kept from call to call, and what is meant to be computed in single precision, goes through here:

- `ordinary`: tensors made inside can be kept;
- `kept`: one tensor that is handed in can be kept;
- `KeepingModule`: modules all of whose buffers can be kept;
- `full_precision`: products inside are computed in the precision of their operands;
- `at_least_single`: operands in half precision are raised to single.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["KeepingModule", "at_least_single", "full_precision", "kept", "ordinary"]

# Devices on which autocast works in every version of PyTorch that is supported. Others ignore it or refuse its name.
_AUTOCAST = ("cpu", "cuda")


@contextmanager
def ordinary() -> Iterator[None]:
    """Make ordinary tensors inside, even where the caller is in inference mode.

    It also serves as a decorator, of whatever computes a tensor on first use and keeps it: `@ordinary()`. Gradients are
    recorded inside as they are outside.

    Examples:
        >>> with torch.inference_mode(), ordinary():
        ...     torch.ones(2).is_inference(), torch.is_grad_enabled()
        (False, False)
    """
    if not torch.is_inference_mode_enabled():
        yield
        return
    # Leaving inference mode alone would switch gradients on.
    with torch.inference_mode(False), torch.no_grad():
        yield


def kept(tensor: Tensor) -> Tensor:
    """Return a tensor that can be kept: the one given, or a copy where it was made in inference mode.

    Args:
        tensor: Any tensor.

    Returns:
        An ordinary tensor of equal values.
    """
    if not tensor.is_inference():
        return tensor
    with ordinary():
        return tensor.clone()


class KeepingModule(nn.Module):
    """Module whose buffers can be part of a training step, even where it was built in inference mode."""

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Register a buffer, as `torch.nn.Module` does."""
        super().register_buffer(name, None if tensor is None else kept(tensor), persistent)


def full_precision(like: Tensor) -> AbstractContextManager[Any]:
    """Switch autocast off inside, on the device of a tensor.

    Args:
        like: Any tensor.

    Returns:
        Context in which products are computed in the type of their operands.
    """
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if kind in _AUTOCAST else nullcontext()


def at_least_single(tensor: Tensor) -> Tensor:
    """Return a tensor in single precision where it is in half; in double precision it stays.

    Args:
        tensor: Floating-point tensor.

    Returns:
        The tensor in float32 or float64.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
