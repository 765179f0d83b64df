"""Detection of sounds that were cut off at full scale."""

from __future__ import annotations

import numpy as np

__all__ = ["is_clipped"]

# In 16 bits the largest positive sample is one step short of 1.
_FULL_SCALE = 1.0 - 2.0**-15

# Equal samples in a row that are no crest any more.
_FLAT = 3


def is_clipped(x: np.ndarray) -> bool:
    """Tell if samples stay flat at full scale for three samples or more.

    Its derivatives are zero there, whatever the parameters do. The question makes sense for integers, and for samples
    that were read from a file. Floating-point samples in memory have no full scale: a square wave of amplitude 1 is
    right as it is.

    Args:
        x: Samples, shape (N,): integers, whose type has a full scale, or samples of a file, with full scale 1.

    Returns:
        True if they are clipped.

    Examples:
        >>> wave = np.round(40000 * np.sin(np.arange(100) / 5))
        >>> is_clipped(wave.clip(-32768, 32767).astype(np.int16)), is_clipped((wave / 2).astype(np.int16))
        (True, False)
    """
    if len(x) < _FLAT:
        return False
    if np.issubdtype(x.dtype, np.integer):
        limits = np.iinfo(x.dtype)
        full = (x == limits.max) | (x == limits.min)
    else:
        full = np.abs(x) >= _FULL_SCALE
    runs = np.lib.stride_tricks.sliding_window_view(x, _FLAT)
    flat = (runs == runs[:, :1]).all(-1) & full[: len(runs)]
    return bool(flat.any())
