"""Forward mode without PyTorch's compiler, which it loads for nothing, with time and memory of every process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

__all__ = ["without_compiler"]

# Where `torch._disable_dynamo` keeps what it calls in place of a function.
_MARK = "__dynamo_disable"


@contextmanager
def without_compiler() -> Iterator[None]:
    """Keep forward mode from loading `torch._dynamo` inside, as long as nothing else has loaded it.

    Forward mode asks reference functions, written in Python, for the shape of a constant's tangent. They are marked to
    be left alone by the compiler, and PyTorch loads the compiler, with SymPy and Triton, to tell it so. Inside, the
    marked functions are called as they are. Where a version of PyTorch has none, nothing changes.
    """
    if "torch._dynamo" in sys.modules:
        yield
        return
    marked = [function for function in _left_alone() if not hasattr(function, _MARK)]
    for function in marked:
        setattr(function, _MARK, function)
    try:
        yield
    finally:
        for function in marked:
            if getattr(function, _MARK, None) is function:
                delattr(function, _MARK)


@cache
def _left_alone() -> list[Callable[..., Any]]:
    """Reference functions that are kept from the compiler."""
    found = dict[int, Callable[..., Any]]()
    for function in vars(getattr(torch, "_refs", torch)).values():
        while function is not None:
            code = getattr(function, "__code__", None)
            if code is not None and code.co_filename.endswith("_compile.py") and "fn" in code.co_freevars:
                inner = function.__closure__[code.co_freevars.index("fn")].cell_contents
                found[id(inner)] = inner
            function = getattr(function, "__wrapped__", None)
    return list(found.values())
