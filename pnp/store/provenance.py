"""Configuration that determines the numbers of a cache, as canonical JSON, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from pnp._naming import class_name
from pnp._version import __version__
from pnp.store.plain_values import PLAIN_VALUES, module_attributes

__all__ = ["canonical_json", "describe", "differences", "fingerprint", "library_versions"]

_LIBRARIES = ("torch", "numpy", "scipy", "kymatio", "h5py", "joblib")


def canonical_json(config: Mapping[str, Any]) -> str:
    """JSON text that is equal for equal configurations: sorted keys, no spaces, no NaN.

    Raises:
        TypeError: If a value cannot be written as JSON.
    """
    return json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(config: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()


def describe(module: nn.Module) -> dict[str, Any]:
    """Describe a synthesizer or feature map by what determines its output.

    The description is the module's own `config()` where it has one; its class is always named, and the name
    under which it is registered, where that is not part of `config()`. Weights are
    not part of a constructor's options, so a module with parameters, or with a part that holds tensors and has
    no `config()`, is also described by a hash of its state. Modules without `config()` are described by their plain
    attributes, and by the values that their `forward` captures or has as defaults.

    Args:
        module: Any module.

    Returns:
        JSON-able dictionary.

    Raises:
        TypeError: If `config()` returns something that JSON cannot hold.
    """
    kind = type(module)
    description: dict[str, Any] = {"class": class_name(kind)}
    config = getattr(module, "config", None)
    if callable(config):
        description["config"] = _as_json(config(), f"{kind.__qualname__}.config() must return")
    registered = getattr(module, "registered_as", None)
    if registered is not None:
        description["registered_as"] = _as_json(registered, f"options of {registered['name']!r} must be")
    # Not `module.parameters()`, which a synthesizer may have replaced by a list of its own.
    if not _speaks_for_itself(module) or any(True for _ in nn.Module.parameters(module)):
        description["state_sha256"] = _state_hash(module)
    attributes = module_attributes(module)
    if attributes:
        description["attributes"] = attributes
    return description


def _as_json(value: Any, demand: str) -> Any:
    """Pass a value through JSON, so that tuples compare equal with lists that are read from a file."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except RecursionError as error:
        raise TypeError(f"{demand} what JSON can hold, got values that are nested too deep") from error
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{demand} what JSON can hold (numbers, strings, lists, dictionaries), got {value!r}: {error}"
        ) from error


def _speaks_for_itself(module: nn.Module) -> bool:
    """Tell if the module and all its parts that hold tensors have a `config()`."""
    parts = [part for part in module.children() if part.state_dict()]
    return callable(getattr(module, "config", None)) and all(_speaks_for_itself(part) for part in parts)


def _state_hash(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            digest.update(f"{name}={tensor!r}".encode())
            continue
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the fields in which two configurations differ, one sentence each, e.g. "seed: the file has 0, asked 1".

    Attributes and captured values are compared where both configurations have them: earlier versions of this package
    did not describe them, and those of other libraries come and go with their versions.
    """
    found = []
    for key in sorted({*stored, *asked}):
        have, want = stored.get(key), asked.get(key)
        if key in PLAIN_VALUES:
            have, want = _shared(have, want), _shared(want, have)
        if isinstance(have, Mapping) and isinstance(want, Mapping):
            found += differences(have, want, f"{prefix}{key}.")
        elif have != want:
            found.append(f"{prefix}{key}: the file has {_brief(have)}, asked {_brief(want)}")
    return found


def _shared(values: Any, other: Any) -> dict[str, Any]:
    """Return those entries that the other has as well."""
    if not (isinstance(values, Mapping) and isinstance(other, Mapping)):
        return {}
    return {key: value for key, value in values.items() if key in other}


def _brief(value: Any, limit: int = 120) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def library_versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that the numbers pass through."""
    versions = {"python": platform.python_version(), "pnp": __version__}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
