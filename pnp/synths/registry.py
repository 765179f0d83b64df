"""Synthesizers by name, those of installed packages included."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from torch import nn

from pnp._own_code import build, is_own
from pnp._protocols import SynthesizerModule, check_synthesizer
from pnp._text import did_you_mean

__all__ = ["available", "make", "register"]

ENTRY_POINT_GROUP = "pnp.synths"

Factory = Callable[..., nn.Module]

_factories: dict[str, Factory] = {}


def register(name: str, factory: Factory) -> None:
    """Add a synthesizer to this process's registry.

    A package makes its synthesizer known to every process by an entry point instead:

        [project.entry-points."pnp.synths"]
        bell = "my_package.bell:Bell"

    Args:
        name: Name for `make` and `pnp precompute --synth`.
        factory: Class or function whose keyword options build the synthesizer.

    Raises:
        ValueError: If the name is taken by another factory.
    """
    if _factories.get(name, factory) is not factory:
        raise ValueError(f"a synthesizer named {name!r} is registered already; choose another name")
    _factories[name] = factory


def available() -> list[str]:
    """Names that `make` accepts: registered in this process or announced by an installed package."""
    return sorted(set(_factories) | set(_announced()))


def make(name: str, **options: Any) -> SynthesizerModule:
    """Build a synthesizer by name.

    Args:
        name: One of `available()`; or a synthesizer of your own code, `path/to/file.py:NAME` or `package.module:NAME`,
            with the name of a function or class that makes it, or of the synthesizer itself.
        **options: Constructor options of that synthesizer, as returned by its `config()`.

    Returns:
        A module with `space`, `sample_rate` and `n_samples`. One whose own `config()` does not give this name
        has an attribute `registered_as` with name and options, by which a cache finds it again.

    Raises:
        ValueError: If the name or an option is unknown.
        FileNotFoundError: If there is no such file.
        OwnCodeError: If your own code raises an error.
        TypeError: If what was built is not a synthesizer.

    Examples:
        >>> import pnp
        >>> pnp.synths.make("chirp").n_samples
        32768
    """
    if is_own(name):
        synth = check_synthesizer(build(name, "synthesizer", options), f"synthesizer {name!r}")
        vars(synth)["registered_as"] = {"name": name, **options}
        return synth
    names = available()
    if name not in names:
        raise ValueError(
            f"unknown synthesizer {name!r}, expected one of {', '.join(names)}{did_you_mean(name, names)}"
        )
    factory = _factories[name] if name in _factories else _announced()[name].load()
    signature = inspect.signature(factory).parameters.values()
    if not any(option.kind is inspect.Parameter.VAR_KEYWORD for option in signature):
        allowed = [option.name for option in signature]
        for option in options:
            if option not in allowed:
                raise ValueError(
                    f"unknown option {option!r} of synthesizer {name!r}, expected one of "
                    f"{', '.join(allowed)}{did_you_mean(option, allowed)}"
                )
    synth = check_synthesizer(factory(**options), f"synthesizer {name!r}")
    if _own_name(synth) != name:
        # Any attribute but a tensor or a module is a plain one, which nn.Module does not declare.
        vars(synth)["registered_as"] = {"name": name, **options}
    return synth


def _own_name(synth: nn.Module) -> str | None:
    config = getattr(synth, "config", None)
    name: str | None = config().get("name") if callable(config) else None
    return name


def _announced() -> dict[str, Any]:  # entry points, of the standard library or of its backport
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
