"""Plain values that decide what a module or function does: attributes, captured variables, default arguments.

They are described as far as they can be told apart by looking: numbers, text, arrays, and containers of these. What
cannot be told apart (an engine, a file that is read) is not described; before a cache is continued, a sound is computed
again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pnp._naming import class_name

__all__ = ["PLAIN_VALUES", "captured_values", "module_attributes"]

# Fields of a configuration that hold plain values.
PLAIN_VALUES = ("attributes", "captured")

# Named elsewhere in every configuration, or without influence on the output.
_ELSEWHERE = {"space", "sample_rate", "n_samples", "training", "registered_as", "name"}

# Longer descriptions are hashed: a cache keeps all of them in one attribute of its file, which HDF5 bounds.
_LONGEST_VALUE = 400
_LONGEST = 8000
_DEEPEST = 6


class _NotPlain(Exception):  # noqa: N818  (never leaves this module)
    """A value that cannot be described."""


def module_attributes(module: nn.Module) -> dict[str, Any]:
    """Describe the plain values of a module and its parts, but for those that have a `config()`.

    Names that begin with an underscore are left out: by convention they hold what a module keeps for itself, such as
    results of earlier calls.

    Args:
        module: Any module.

    Returns:
        From dotted name to value, for JSON; a hash of it where it is very long.
    """
    found = dict[str, Any]()
    for path, part in _undescribed_parts(module, ""):
        if path:
            found[path] = class_name(type(part))
        for name, value in _own_values(part):
            found[f"{path}.{name}" if path else name] = value
    return found if len(_json(found)) <= _LONGEST else {"sha256": _hash(_json(found).encode())}


def captured_values(function: Callable[..., Any], depth: int = 0) -> dict[str, Any]:
    """Describe the plain values that a function captures, has as defaults or is bound to.

    Args:
        function: Function, method, `functools.partial` or callable object.
        depth: Number of values that this one lies in.

    Returns:
        From name to value, for JSON; empty if there are none.
    """
    if depth > _DEEPEST:  # a function that captures itself
        return {}
    found = dict[str, Any]()
    if isinstance(function, functools.partial):
        values = {**{str(place): value for place, value in enumerate(function.args)}, **function.keywords}
        return captured_values(function.func, depth) | _described(values, depth)
    if isinstance(function, MethodType):
        found |= _described(_public(getattr(function.__self__, "__dict__", {})), depth)
        function = function.__func__
    if not isinstance(function, FunctionType):
        return found | _described(_public(getattr(function, "__dict__", {})), depth)
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    found |= _described(dict(zip(names[len(names) - len(defaults) :], defaults, strict=True)), depth)
    return (
        found | _described(function.__kwdefaults__ or {}, depth) | _described(dict(_cells(function)), depth)
    )


def _undescribed_parts(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield those parts, the module among them, that no `config()` describes."""
    config = getattr(module, "config", None)
    # Options describe what a module made for itself. A part that was handed to it as an option may not be described.
    handed = config() if callable(config) else None
    if handed is None:
        yield path, module
    for name, part in module.named_children():
        if handed is None or name in handed:
            yield from _undescribed_parts(part, f"{path}.{name}" if path else name)


def _own_values(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the values of a module of somebody's own; those of PyTorch's modules change with its versions."""
    kind = type(module)
    if kind.__module__.partition(".")[0] == "torch":
        return
    values = dict[str, Any]()
    for base in reversed(kind.__mro__):
        if base.__module__.partition(".")[0] not in ("torch", "builtins", "abc", "typing"):
            values |= {name: value for name, value in vars(base).items() if not _is_descriptor(value)}
    values |= vars(module)
    yield from _described({k: v for k, v in _public(values).items() if k not in _ELSEWHERE}).items()
    for name, value in captured_values(kind.forward).items():
        yield f"forward.{name}", value


def _is_descriptor(value: Any) -> bool:
    return hasattr(type(value), "__get__") or isinstance(value, type)


def _public(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith("_")}


def _cells(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # a variable that has no value yet
            continue
        if name not in ("self", "__class__"):
            yield name, value


def _described(values: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """Describe those values that are plain. Empty containers are left out: most of them are filled in use."""
    found = dict[str, Any]()
    for name, value in values.items():
        try:
            description = _plain(value, depth)
        except _NotPlain:
            continue
        if description in ([], {}):
            continue
        text = _json(description)
        found[str(name)] = description if len(text) <= _LONGEST_VALUE else {"sha256": _hash(text.encode())}
    return found


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise _NotPlain
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.generic):
        return _plain(value.item(), depth + 1)
    if isinstance(value, (bytes, complex, torch.dtype, torch.device, Path)):
        return {type(value).__name__: str(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(entry, depth + 1) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(entry, depth + 1) for entry in value), key=_json)
    if isinstance(value, Mapping):
        return {str(key): _plain(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy() if value.dtype != torch.bfloat16 else value.float().numpy()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        array = np.ascontiguousarray(value)
        return {"array": [str(array.dtype), list(array.shape)], "sha256": _hash(array.tobytes())}
    if isinstance(value, (FunctionType, MethodType, functools.partial)):
        return {"function": getattr(value, "__qualname__", "partial"), **captured_values(value, depth + 1)}
    raise _NotPlain


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
