"""Representation that suits a synthesizer."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from pnp.features.compression import Features
from pnp.features.scattering.transform import TimeFrequencyScattering

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
