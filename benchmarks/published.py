"""Published settings for the synthesizers that they were published for, which the recorded figures belong to."""

from typing import Any

import pnp

PRESETS = {"chirp": "mesostructures", "ripple": "mesostructures", "drum": "pnp", "string": "pnp"}


def published_features(synth: Any, **changes: Any) -> pnp.Features:
    """Return the published feature map of a built-in synthesizer.

    Args:
        synth: Built-in synthesizer.
        **changes: Options of `pnp.standard_features` to change.

    Returns:
        Feature map for its sounds.
    """
    return pnp.standard_features(synth, PRESETS[synth.name], **changes)
