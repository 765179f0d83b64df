"""Loops compiled by Numba, where it is installed. Set PNP_NO_NUMBA=1 to do without them."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable
from functools import cache
from typing import Any

# Not "nnan" and "ninf": a NaN has to come out where one went in.
_FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}


@cache
def available() -> bool:
    """Return True where loops can be compiled.

    Imports Numba, which takes half a second: ask on first use, not on import.
    """
    if os.environ.get("PNP_NO_NUMBA"):
        return False
    try:
        importlib.import_module("numba")
    except ImportError:  # not installed, or for another NumPy or Python
        return False
    return True


def compiled(function: Callable[..., Any], signature: Any = None) -> Callable[..., Any]:
    """Compile a function, at once where its signature is given, or else when called. Machine code is kept on disk.

    Checkers of annotations may have wrapped it on import, and Numba wants it bare.
    """
    import numba

    function = inspect.unwrap(function)
    options: dict[str, Any] = {"nogil": True, "fastmath": _FASTMATH, "error_model": "numpy"}
    try:
        result = numba.njit(signature, cache=True, **options)(function)
    except RuntimeError:  # neither the package nor the user's cache directory can be written to
        result = numba.njit(signature, **options)(function)
    return result  # type: ignore[no-any-return]
