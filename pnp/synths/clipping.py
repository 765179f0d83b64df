"""Detection of sounds that were cut off at full scale."""

from __future__ import annotations

from torch import Tensor

__all__ = ["is_clipped"]

# In 16 bits the largest positive sample is one step short of 1.
_FULL_SCALE = 1.0 - 2.0**-15

# Equal samples in a row that are no crest any more.
_FLAT = 3


def is_clipped(x: Tensor) -> bool:
    """Tell if a sound stays flat at full scale, or beyond, for three samples or more.

    Its derivatives are zero there, whatever the parameters do. A floating-point sound that exceeds full scale and stays
    smooth is not clipped.

    Args:
        x: Samples, shape (N,).

    Returns:
        True if it is clipped.

    Example:
        >>> import torch
        >>> wave = 1.5 * torch.sin(torch.arange(100.0) / 5)
        >>> is_clipped(wave), is_clipped(wave.clamp(-1, 1))
        (False, True)
    """
    if x.shape[-1] < _FLAT:
        return False
    runs = x.unfold(-1, _FLAT, 1)
    flat = (runs == runs[..., :1]).all(-1) & (runs[..., 0].abs() >= _FULL_SCALE)
    return bool(flat.any())
