"""Synthesizer and feature map by name, and those of a cache, built again from what its header says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from pnp._own_code import build, is_own
from pnp._protocols import SynthesizerModule
from pnp._text import did_you_mean
from pnp.errors import CacheError, OwnCodeError
from pnp.features.compression import Features
from pnp.features.scattering.transform import TimeFrequencyScattering
from pnp.store.reader import MetricCache
from pnp.synths.registry import available, make

__all__ = ["features_of", "make_features", "synthesizer_of"]

_T = TypeVar("_T")


def make_features(name: str, synth: nn.Module, **options: Any) -> nn.Module:
    """Build a feature map of a user's own code.

    Args:
        name: `path/to/file.py:NAME` or `package.module:NAME`, with the name of a function or class that makes it, or of
            the feature map itself. What has an argument `synth` gets the synthesizer.
        synth: Synthesizer whose sounds are analysed.
        **options: Other arguments.

    Returns:
        The feature map. Its attribute `registered_as` has name and options, by which a cache finds it again.

    Raises:
        ValueError: If the name or an option is wrong.
        FileNotFoundError: If there is no such file.
        OwnCodeError: If the code raises an error.
        TypeError: If what was built is no module.
    """
    if not is_own(name):
        raise ValueError(
            f"features are path/to/file.py:NAME or package.module:NAME, got {name!r}; the standard is taken "
            "without --features"
        )
    features = build(name, "features", options, {"synth": synth})
    if not isinstance(features, nn.Module):
        raise TypeError(
            f"features {name!r} must be a torch.nn.Module that maps sounds (B, N) to features (B, C), got "
            f"{type(features).__name__}"
        )
    # Any attribute but a tensor or a module is a plain one, which nn.Module does not declare.
    vars(features)["registered_as"] = {"name": name, **options}
    return features


def synthesizer_of(cache: MetricCache) -> SynthesizerModule:
    """Return the synthesizer that a cache was made with.

    Args:
        cache: Open cache.

    Returns:
        A synthesizer like it.

    Raises:
        CacheError: If the cache names no synthesizer that is known or found.
        OwnCodeError: If a user's own code raises an error.
    """
    described = cache.config["synthesizer"]
    options = dict(described.get("registered_as") or described.get("config") or {})
    name = options.pop("name", None)
    if isinstance(name, str) and (is_own(name) or name in available()):
        return _again(cache, "synth", name, lambda: make(name, **options))
    raise CacheError(
        f"{cache.path} was made with {described.get('class')}, which is none of the known synthesizers, "
        f"{', '.join(available())}{did_you_mean(str(name), available())}; name it on the command line, --synth "
        "path/to/file.py:NAME, or pass synth= in Python"
    )


def features_of(cache: MetricCache, synth: nn.Module | None = None) -> nn.Module:
    """Return the feature map that a cache was made with.

    Args:
        cache: Open cache.
        synth: Its synthesizer, for features that are made for one; by default, the one that the cache names.

    Returns:
        A feature map like it.

    Raises:
        CacheError: If the feature map is none of this package's, and none that is found.
        OwnCodeError: If a user's own code raises an error.
    """
    described = cache.config["features"]
    registered = dict(described.get("registered_as") or {})
    if registered:
        name = str(registered.pop("name"))
        player = synthesizer_of(cache) if synth is None else synth
        return _again(cache, "features", name, lambda: make_features(name, player, **registered))
    options: dict[str, Any] = dict(described.get("config") or {})
    representation = options.pop("representation", None)
    if described.get("class") != "pnp.features.Features" or not isinstance(representation, Mapping):
        raise CacheError(
            f"{cache.path} was made with features {described.get('class')}, which are not this package's; name them on "
            "the command line, --features path/to/file.py:NAME, or pass features= in Python"
        )
    return Features(TimeFrequencyScattering.from_config(representation), **options)


def _again(cache: MetricCache, what: str, name: str, build_it: Callable[[], _T]) -> _T:
    """Build what a cache names; where it is not found any more, say how it was named."""
    try:
        return build_it()
    except OwnCodeError:
        raise
    except (FileNotFoundError, ValueError, TypeError) as error:
        remedy = (
            "run this in the folder where the cache was made, or name it anew: "
            f"--{what} path/to/file.py:NAME, {what}= in Python"
        )
        raise CacheError(
            f"{cache.path} was made with --{what} {name}, but {error}"
            + (f"; {remedy}" if is_own(name) else "")
        ) from error
