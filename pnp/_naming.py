"""Names: those by which caches know classes, and those that are still free."""

from __future__ import annotations

from collections.abc import Collection

from pnp._own_code import module_name

# Classes that the first version named by their files, which the fingerprints of its caches contain.
_FIRST_NAMES = {
    "pnp.features.MultiscaleSTFT": "pnp.multiscale.MultiscaleSTFT",
    "pnp.features.MultiscaleSpectrogram": "pnp.spectrogram.MultiscaleSpectrogram",
    "pnp.features.TimeFrequencyScattering": "pnp.scattering.transform.TimeFrequencyScattering",
    "pnp.synths.BlackBox": "pnp.synths.black_box.BlackBox",
    "pnp.synths.Chirp": "pnp.synths.chirp.Chirp",
    "pnp.synths.Drum": "pnp.synths.drum.Drum",
    "pnp.synths.Restriction": "pnp.synths.restriction.Restriction",
    "pnp.synths.Ripple": "pnp.synths.ripple.Ripple",
    "pnp.synths.String": "pnp.synths.string.String",
    "pnp.synths.WithGain": "pnp.gain.WithGain",
}


def class_name(kind: type) -> str:
    """Name by which caches know a class: it stays the same when the package is rearranged.

    A class of this package is named by its public package and not by the file that it is in: the fingerprint of a
    cache is a hash of such names.

    Args:
        kind: Any class.

    Returns:
        Dotted name.

    Examples:
        >>> from pnp.features import Features
        >>> class_name(Features)
        'pnp.features.Features'
    """
    name = f"{kind.__module__}.{kind.__qualname__}"
    if not kind.__module__.startswith("pnp."):
        return f"{module_name(kind.__module__)}.{kind.__qualname__}"
    package = ".".join(kind.__module__.split(".")[:2])
    name = f"{package}.{kind.__qualname__}"
    return _FIRST_NAMES.get(name, name)


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name, or the first of name_2, name_3, ... that is not taken."""
    names = (name, *(f"{name}_{i}" for i in range(2, len(taken) + 3)))
    return next(candidate for candidate in names if candidate not in taken)
