"""Averaging that the options `T` and `F` ask for."""

from __future__ import annotations

from numbers import Integral
from typing import Literal

from pnp._arguments import finite_number, shown

__all__ = ["Averaging", "Support", "parse_support", "plain_support"]

Support = float | int | str | None
Averaging = Literal["global", "local", "none"]


def plain_support(name: str, value: Support) -> Support:
    """Return what the options `T` and `F` take, as Python has it: 0 or a number from 1, a word, or None.

    Args:
        name: Name of the option, for messages.
        value: Value that was given.

    Raises:
        ValueError: If it is another word, no number, or a number below 1 that is not 0.
    """
    expected = f"{name} must be 'global', None, 0 or a number >= 1, got {shown(value)}."
    if value is None or value == "global":
        return value
    try:
        number = finite_number(name, value, least=0)
    except (TypeError, ValueError):
        raise ValueError(expected) from None
    if 0 < number < 1:
        raise ValueError(expected)
    given: object = value
    return int(number) if isinstance(given, Integral) else number


def parse_support(value: Support, J: int, limit: int, name: str) -> tuple[float, Averaging]:
    """Support of a low-pass filter and the kind of averaging that `T` or `F` asks for.

    Args:
        value: "global", None (meaning 2**J), 0 (no averaging) or a number of samples from 1, as `plain_support`
            returns it.
        J: Base-2 logarithm of the maximal scale.
        limit: Largest support allowed.
        name: Name of the argument, for error messages.

    Returns:
        The support, and "global", "local" or "none".

    Raises:
        ValueError: If it is longer than the limit.
    """
    if isinstance(value, str):
        return float(2**J), "global"
    if value is None:
        return float(2**J), "local"
    if value == 0:
        return float(2**J), "none"
    if value > limit:
        raise ValueError(
            f"{name} cannot exceed the length of its axis, {limit}, got {value!r}; did you mean {name}='global'?"
        )
    return float(value), "local"
