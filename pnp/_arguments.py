"""Arguments that a user gives: one sentence names the option, what it must be, and what was given."""

from __future__ import annotations

import inspect
import math
import numbers
import os
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pnp._text import did_you_mean

__all__ = [
    "check_cache",
    "check_keywords",
    "file_path",
    "finite_number",
    "finite_numbers",
    "shown",
    "truth",
    "whole_number",
    "whole_numbers",
]


def finite_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """Return a finite number in a range as Python has it; those of NumPy are taken.

    Args:
        name: Name of the option, for messages.
        value: Value that was given.
        least: Smallest value allowed.
        above: Number that the value must exceed.
        most: Largest value allowed.
        below: Number that the value must stay below.

    Returns:
        The number.

    Raises:
        TypeError: If it is no number: a text, a truth value, None, a list, a tensor.
        ValueError: If it is NaN, infinite or out of the range.

    Examples:
        >>> finite_number("reach", 3, above=0)
        3.0
        >>> finite_number("reach", "3", above=0)
        Traceback (most recent call last):
        TypeError: reach must be a finite number above 0, got '3'
    """
    problem = f"{name} must be {_expected('a finite number', least, above, most, below)}, got {shown(value)}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(problem)
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(problem) from None
    if not math.isfinite(number) or not _inside(number, least, above, most, below):
        raise ValueError(problem)
    return number


def whole_number(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number in a range as Python has it; those of NumPy are taken.

    Args:
        name: Name of the option, for messages.
        value: Value that was given.
        least: Smallest value allowed.
        most: Largest value allowed.

    Returns:
        The number.

    Raises:
        TypeError: If it is no whole number: a text, a truth value, None, 2.0.
        ValueError: If it is out of the range.

    Examples:
        >>> whole_number("jobs", 2, least=1)
        2
        >>> whole_number("jobs", 1.5, least=1)
        Traceback (most recent call last):
        TypeError: jobs must be a whole number of at least 1, got 1.5
    """
    problem = f"{name} must be {_expected('a whole number', least, None, most, None)}, got {shown(value)}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(problem)
    if not _inside(int(value), least, None, most, None):
        raise ValueError(problem)
    return int(value)


def finite_numbers(name: str, values: Any, *, count: int | None = None, **limits: float) -> list[float]:
    """Return several finite numbers, at least one.

    Args:
        name: Name of the option, for messages.
        values: Values that were given.
        count: Number of numbers that is wanted; None for any.
        **limits: Range of each, as for `finite_number`.

    Returns:
        The numbers.

    Raises:
        TypeError: If it is no sequence of numbers.
        ValueError: If there are none or too many, or a number is out of the range.
    """
    wanted = "several numbers" if count is None else f"{count} numbers"
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be {wanted}, got {shown(values)}")
    found = [finite_number(f"each of {name}", value, **limits) for value in values]
    if not found or (count is not None and len(found) != count):
        raise ValueError(f"{name} must be {wanted}, got {shown(found)}")
    return found


def whole_numbers(name: str, values: Any, *, least: int) -> tuple[int, ...]:
    """Return several whole numbers, at least one.

    Args:
        name: Name of the option, for messages.
        values: Values that were given.
        least: Smallest value allowed of each.

    Returns:
        The numbers.

    Raises:
        TypeError: If it is no sequence of whole numbers.
        ValueError: If it is empty, or a number is too small.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be several whole numbers, got {shown(values)}")
    found = tuple(whole_number(f"each of {name}", value, least=least) for value in values)
    if not found:
        raise ValueError(f"{name} must be one whole number or more, got none")
    return found


def truth(name: str, value: Any) -> bool:
    """Return a truth value; that of NumPy is taken, and a text such as "no" is not.

    Args:
        name: Name of the option, for messages.
        value: Value that was given.

    Returns:
        True or False.

    Raises:
        TypeError: If it is something else.
    """
    # NumPy need not be loaded to know its truth value.
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {shown(value)}")


def check_cache(cache: object) -> None:
    """Refuse the path of a cache where an open cache is expected.

    Args:
        cache: Candidate.

    Raises:
        TypeError: If it is a path, or lacks the metrics of a cache.
    """
    if isinstance(cache, (str, os.PathLike)):
        raise TypeError(
            f"expected an open cache, got the path {os.fspath(cache)!r}; pass pnp.MetricCache({os.fspath(cache)!r})"
        )
    if not hasattr(cache, "metrics"):
        raise TypeError(f"expected an open cache, a pnp.MetricCache, got {type(cache).__name__}")


def file_path(name: str, value: Any) -> Path:
    """Return a path of a file or folder.

    Args:
        name: Name of the option, for messages.
        value: Value that was given.

    Returns:
        The path.

    Raises:
        TypeError: If it is no path.
        ValueError: If it is empty or has a null character.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name} must be a path, got {shown(value)}")
    if not os.fspath(value) or "\0" in os.fspath(value):
        raise ValueError(f"{name} must be a path, got {shown(os.fspath(value))}")
    return Path(value)


def check_keywords(
    label: str, options: Mapping[str, Any], *functions: Callable[..., Any], without: Collection[str] = ()
) -> None:
    """Refuse keywords that no function takes, and suggest what was meant.

    Args:
        label: Name of the function that was called, for messages.
        options: Options that were given by keyword.
        *functions: Functions or classes that take them.
        without: Names that the function that was called gives them itself.

    Raises:
        TypeError: If one is not known.
    """
    known = [name for function in functions for name in inspect.signature(function).parameters]
    known = [name for name in known if name not in {"self", "options", *without}]
    for name in options:
        if name not in known:
            raise TypeError(f"{label} has no option {name!r}{did_you_mean(name, known)}")


def shown(value: Any) -> str:
    """Return a value as a message shows it: short, and plain where it is a number of NumPy."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        plain = isinstance(value, (str, bool, type(None), list, tuple, dict))
        return reprlib.repr(value) if plain else f"an object of type {type(value).__name__}"
    if isinstance(value, numbers.Integral) and abs(int(value)) >= 10**30:
        return f"a number of {int(int(value).bit_length() * math.log10(2)) + 1} digits"
    return str(value)


def _inside(
    value: float, least: float | None, above: float | None, most: float | None, below: float | None
) -> bool:
    return (
        (least is None or value >= least)
        and (above is None or value > above)
        and (most is None or value <= most)
        and (below is None or value < below)
    )


def _expected(
    what: str, least: float | None, above: float | None, most: float | None, below: float | None
) -> str:
    """Return the range in words."""
    if least is not None and most is not None:
        return f"{what} from {_short(least)} to {_short(most)}"
    low = f"above {_short(above)}" if above is not None else ""
    low = f"of at least {_short(least)}" if least is not None else low
    high = f"below {_short(below)}" if below is not None else ""
    high = f"at most {_short(most)}" if most is not None else high
    return " ".join((what, " and ".join(part for part in (low, high) if part))).strip()


def _short(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) and abs(limit) < 10**12 else f"{limit:g}"
