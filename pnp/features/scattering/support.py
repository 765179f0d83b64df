"""Averaging that the options `T` and `F` ask for."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["Averaging", "Support", "parse_support"]

Support = float | int | str | None
Averaging = Literal["global", "local", "none"]


def parse_support(value: Support, J: int, limit: int, name: str) -> tuple[float, Averaging]:
    """Support of a low-pass filter and the kind of averaging that `T` or `F` asks for.

    Args:
        value: "global", None (meaning 2**J), 0 (no averaging) or a number of samples in [1, limit].
        J: Base-2 logarithm of the maximal scale.
        limit: Largest support allowed.
        name: Name of the argument, for error messages.

    Returns:
        The support, and "global", "local" or "none".

    Raises:
        ValueError: For any other value.
    """
    if isinstance(value, str):
        if value != "global":
            raise ValueError(f"{name} must be 'global', None, 0 or a number >= 1, got {value!r}.")
        return float(2**J), "global"
    if value is None:
        return float(2**J), "local"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} must be 'global', None, 0 or a number >= 1, got {value!r}.")
    if value == 0:
        return float(2**J), "none"
    if value < 1:
        raise ValueError(f"{name} must be 'global', None, 0 or a number >= 1, got {value!r}.")
    if value > limit:
        raise ValueError(
            f"{name} cannot exceed the length of its axis, {limit}, got {value!r}; did you mean {name}='global'?"
        )
    return float(value), "local"
