"""Check of a device before anything is put on it."""

from __future__ import annotations

import torch


def usable_device(device: str | torch.device) -> torch.device:
    """A device on which tensors can be made.

    Args:
        device: The device, or its name.

    Returns:
        The device.

    Raises:
        ValueError: If PyTorch does not know it, or cannot use it here.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    # A missing backend raises an AssertionError, a RuntimeError or a NotImplementedError, as its authors saw fit.
    except Exception as error:
        reason = str(error).splitlines()[0].split(". ")[0].rstrip(".")
        there = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
        raise ValueError(
            f"The device must be one that PyTorch can use here, {' or '.join(there)}; got {str(device)!r} ({reason})."
        ) from error
    return found
