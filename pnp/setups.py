"""Which representation goes with which synthesizer, and both again from a cache."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from pnp import synths
from pnp.errors import CacheError
from pnp.features import Features
from pnp.scattering import TimeFrequencyScattering
from pnp.store import MetricCache

# Sources: chirp and ripple, Vahidi et al., "Mesostructures", JAES 2023; drum and string, Han et al., ICASSP
# 2023. A drum's attack must not be reflected into the past, so its signal is padded with zeros.
_SCATTERING: dict[str, dict[str, Any]] = {
    "chirp": {"J": 12, "Q": (8, 2), "J_fr": 5, "Q_fr": 2, "T": "global", "F": "global"},
    "ripple": {"J": 12, "Q": (8, 2), "J_fr": 5, "Q_fr": 2, "T": "global", "F": "global"},
    "drum": {"J": 13, "Q": (12, 1), "J_fr": 5, "Q_fr": 1, "T": "global", "F": 2, "pad_mode": "zero"},
    "string": {"J": 13, "Q": (12, 1), "J_fr": 5, "Q_fr": 1, "T": "global", "F": 2, "pad_mode": "zero"},
}


def scattering_settings(name: str, n_samples: int) -> dict[str, Any]:
    """Settings of the scattering transform that suit a synthesizer.

    Args:
        name: Synthesizer. One that is not known gets the chirp's settings.
        n_samples: Length of its sounds in samples.

    Returns:
        Options of `TimeFrequencyScattering`, but for `shape`. The scale 2**J is at most an eighth of the
        sound.

    Example:
        >>> scattering_settings("chirp", 32768)["J"], scattering_settings("chirp", 4096)["J"]
        (12, 9)
    """
    settings = dict(_SCATTERING.get(name, _SCATTERING["chirp"]))
    settings["J"] = max(1, min(settings["J"], int(math.log2(n_samples)) - 3))
    return settings


def standard_features(synth: nn.Module, **changes: Any) -> Features:
    """Compressed scattering transform that suits a synthesizer.

    Args:
        synth: Synthesizer.
        **changes: Options of `TimeFrequencyScattering` to change.

    Returns:
        Feature map for its sounds.

    Raises:
        ValueError: If an option is out of range.
    """
    n_samples: Any = synth.n_samples
    settings = scattering_settings(getattr(synth, "name", ""), n_samples)
    return Features(TimeFrequencyScattering(shape=n_samples, **(settings | changes)))


def synthesizer_of(cache: MetricCache) -> nn.Module:
    """The synthesizer that a cache was made with.

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
    if name not in synths.available():
        raise CacheError(
            f"{cache.path} was made with {described.get('class')}, which is none of the known synthesizers, "
            f"{', '.join(synths.available())}; register it, or use the package from Python."
        )
    return synths.make(name, **options)


def features_of(cache: MetricCache) -> Features:
    """The feature map that a cache was made with.

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
