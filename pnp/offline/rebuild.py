"""Synthesizer and feature map of a cache, built again from what its header says."""

from __future__ import annotations

from pnp._protocols import SynthesizerModule
from pnp.errors import CacheError
from pnp.features.compression import Features
from pnp.features.scattering.transform import TimeFrequencyScattering
from pnp.store.reader import MetricCache
from pnp.synths.registry import available, make

__all__ = ["features_of", "synthesizer_of"]


def synthesizer_of(cache: MetricCache) -> SynthesizerModule:
    """Return the synthesizer that a cache was made with.

    Args:
        cache: Open cache.

    Returns:
        A synthesizer like it.

    Raises:
        CacheError: If the cache names no registered synthesizer.
    """
    described = cache.config["synthesizer"]
    options = dict(described.get("registered_as") or described.get("config") or {})
    name = options.pop("name", None)
    if name not in available():
        raise CacheError(
            f"{cache.path} was made with {described.get('class')}, which is none of the known synthesizers, "
            f"{', '.join(available())}; register it, or use the package from Python."
        )
    return make(name, **options)


def features_of(cache: MetricCache) -> Features:
    """Return the feature map that a cache was made with.

    Args:
        cache: Open cache.

    Returns:
        A feature map like it.

    Raises:
        CacheError: If the feature map is none of this package's.
    """
    described = cache.config["features"]
    options = dict(described.get("config") or {})
    representation = options.pop("representation", None)
    if described.get("class") != "pnp.features.Features" or not isinstance(representation, dict):
        raise CacheError(
            f"{cache.path} was made with features {described.get('class')}, which are not this package's; "
            "build them yourself and use the package from Python."
        )
    return Features(TimeFrequencyScattering(**representation), **options)
