"""Modules as a run needs them: on its device and in evaluation mode, and afterwards as they were."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from pnp._torch.tensors import tensors_of
from pnp.errors import PnpError

__all__ = ["placed"]

_Module = TypeVar("_Module", bound=nn.Module)


@contextmanager
def placed(module: _Module, label: str, device: str) -> Iterator[_Module]:
    """Lend a module on a device and in evaluation mode.

    It is copied only where it must be moved: engines, locks and modules with parametrized weights cannot be copied.

    Args:
        module: Module of a user.
        label: Name of its role in messages.
        device: Device to compute on.

    Yields:
        The module itself, or its copy on the device.

    Raises:
        PnpError: If it must be moved and cannot be copied.
    """
    wanted = torch.device(device)
    if any(not _is_on(tensor, wanted) for tensor in tensors_of(module)):
        try:
            moved = copy.deepcopy(module)
        except (TypeError, RuntimeError) as error:
            raise PnpError(
                f"{label} {type(module).__name__!r} must be moved to {device} and cannot be copied ({error}); move it "
                "there yourself, or use device='cpu'"
            ) from error
        yield moved.to(wanted).eval()
        return
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield module
    finally:
        for part, training in modes:
            part.training = training


def _is_on(tensor: torch.Tensor, device: torch.device) -> bool:
    return tensor.device.type == device.type and device.index in (None, tensor.device.index)
