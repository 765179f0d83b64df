"""Representation that suits a synthesizer: one standard for all, and the published ones by name."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from pnp._arguments import check_keywords, finite_number, whole_number
from pnp._text import did_you_mean
from pnp.features.compression import Features
from pnp.features.scattering.transform import TimeFrequencyScattering

__all__ = ["PRESETS", "scattering_settings", "standard_features"]

# Longest scale of the standard, in seconds: slow enough for a modulation of 4 Hz.
_LONGEST = 0.5

# Settings beside J, and the scale of the compression. docs/evidence/listeners.md says how they were chosen: of what
# agrees with listeners, the part that is averaged over time and does not change when a sound is delayed.
_STANDARD: dict[str, Any] = {
    "Q": (8, 1),
    "J_fr": 5,
    "Q_fr": 1,
    "T": "global",
    "F": 8,
    "pad_mode": "zero",
    "first_order": "average",
}
_STANDARD_SCALE = 1e4

# Published settings, with the scale that went with them.
_PUBLISHED: dict[str, dict[str, Any]] = {
    # Vahidi, Han, Wang, Lagrange, Fazekas, Lostanlen, "Mesostructures", JAES 2023: chirps of 4 s at 8192 Hz.
    "mesostructures": {
        "J": 12,
        "Q": (8, 2),
        "J_fr": 5,
        "Q_fr": 2,
        "T": "global",
        "F": "global",
        "pad_mode": "reflect",
    },
    # Han, Lostanlen, Lagrange, "Perceptual-neural-physical sound matching", ICASSP 2023: drums of 3 s at 22 050 Hz;
    # padded with zeros here, so that an attack is not reflected into the past.
    "pnp": {
        "J": 13,
        "Q": (12, 1),
        "J_fr": 5,
        "Q_fr": 1,
        "T": "global",
        "F": 2,
        "pad_mode": "zero",
        "sampling": "critical",
    },
}
_PUBLISHED_SCALE = 1e3

# What agrees best with listeners (docs/evidence/listeners.md): averages over 0.19 s instead of the whole sound. J is
# half of that support, as it was measured.
_HEARD_SUPPORT = 2**13 / 44100
_HEARD_SCALE = 1e5

# What is not to be changed of the compression.
_REPRESENTATION = ("representation", "compression")

PRESETS = ("standard", "listeners", *_PUBLISHED)
_SCALES = {"standard": _STANDARD_SCALE, "listeners": _HEARD_SCALE} | dict.fromkeys(
    _PUBLISHED, _PUBLISHED_SCALE
)


def scattering_settings(n_samples: int, sample_rate: float, preset: str = "standard") -> dict[str, Any]:
    """Return settings of the scattering transform for sounds of some length and rate.

    Args:
        n_samples: Length of the sounds in samples.
        sample_rate: Sampling rate in Hz.
        preset: "standard"; "listeners", which agrees best with their ratings; or published settings by name,
            "mesostructures" or "pnp".

    Returns:
        Options of `TimeFrequencyScattering`, but for `shape`. The scale 2**J of the standard is half a second; no
        preset has a scale above an eighth of the sound.

    Raises:
        ValueError: If the preset is unknown.

    Examples:
        >>> scattering_settings(32768, 8192)["J"], scattering_settings(4096, 8192)["J"]
        (12, 9)
        >>> scattering_settings(65536, 22050, "pnp")["Q"]
        (12, 1)
    """
    if preset not in PRESETS:
        raise ValueError(
            f"preset must be one of {', '.join(map(repr, PRESETS))}, got {preset!r}{did_you_mean(preset, PRESETS)}"
        )
    n_samples = whole_number("n_samples", n_samples, least=2)
    sample_rate = finite_number("sample_rate", sample_rate, above=0)
    longest = max(1, int(math.log2(n_samples)) - 3)
    if preset in _PUBLISHED:
        settings = dict(_PUBLISHED[preset])
        return settings | {"J": min(settings["J"], longest)}
    # The support of averages in octaves of a sample, where they are not over the whole sound.
    support = round(math.log2(_HEARD_SUPPORT * sample_rate)) if preset == "listeners" else None
    octaves = round(math.log2(_LONGEST * sample_rate)) if support is None else support - 1
    J = max(1, min(octaves, longest))
    # Along log-frequency, no support is longer than half of the wavelets of a short sound.
    J_fr = max(1, min(_STANDARD["J_fr"], int(math.log2(_STANDARD["Q"][0] * J)) - 1))
    settings = _STANDARD | {"J": J, "J_fr": J_fr, "F": min(_STANDARD["F"], 2**J_fr)}
    return (
        settings
        if support is None
        else settings | {"T": 2 ** max(J, min(support, int(math.log2(n_samples))))}
    )


def standard_features(synth: nn.Module, preset: str = "standard", **changes: Any) -> Features:
    """Return the compressed scattering transform that suits a synthesizer.

    The standard is the same for every synthesizer. It pads by zeros, so that features do not change when a sound is
    delayed, and averages over an octave of log-frequency, so that pitch is heard.

    Args:
        synth: Synthesizer.
        preset: "standard"; "listeners", which agrees best with their ratings, has more features, and is moved more by
            noise; or published settings by name: "mesostructures" (Vahidi et
            al. 2023) or "pnp" (Han et al. 2023).
        **changes: Options of `TimeFrequencyScattering` to change; and `scale`, that of the compression.

    Returns:
        Feature map for its sounds.

    Raises:
        TypeError: If `synth` is not a synthesizer.
        ValueError: If the preset is unknown or an option is out of range.
    """
    n_samples: Any = getattr(synth, "n_samples", None)
    sample_rate: Any = getattr(synth, "sample_rate", None)
    if n_samples is None or sample_rate is None:
        raise TypeError(
            f"a synthesizer has n_samples and sample_rate; {type(synth).__name__} lacks one of them"
        )
    check_keywords(
        "standard_features", changes, TimeFrequencyScattering, Features, without=("shape", *_REPRESENTATION)
    )
    scale = changes.pop("scale", _SCALES.get(preset))
    settings = scattering_settings(n_samples, sample_rate, preset)
    return Features(TimeFrequencyScattering(shape=n_samples, **(settings | changes)), scale=scale)
