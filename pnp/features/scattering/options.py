"""Options of the scattering transform that are words, and depend on each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pnp.features.scattering.support import Support

__all__ = ["Options"]

# Named in a configuration only where they differ from what earlier versions did: caches know each other by it.
_EARLIER = {"first_order": "joint", "padding": "power of two", "precision": "exact", "sampling": "critical"}


@dataclass(frozen=True)
class Options:
    """Words that say how a transform pads, samples and normalizes; `TimeFrequencyScattering` explains them."""

    format: str
    normalization: str
    pad_mode: str
    first_order: str
    padding: str
    precision: str
    sampling: str

    @classmethod
    def checked(
        cls,
        T: Support,
        format: str,
        normalization: str,
        pad_mode: str | None,
        first_order: str,
        padding: str | None,
        precision: str,
        sampling: str | None,
    ) -> Options:
        """Fill in defaults, and refuse what does not go together.

        Args:
            T: Temporal averaging.
            format: "time" or "joint".
            normalization: "mean" or "kymatio".
            pad_mode: "zero", "reflect", or None for what goes with the normalization.
            first_order: "joint" or "average".
            padding: "power of two", "short", or None for what goes with the precision.
            precision: "exact" or "fast".
            sampling: "critical", "fine", or None for "fine" where nothing else depends on a delay.

        Returns:
            The options, none of them None.

        Raises:
            ValueError: If a word is unknown or does not go with another one.
        """
        _choice("format", format, ("time", "joint"))
        _choice("normalization", normalization, ("mean", "kymatio"))
        if pad_mode is None:
            pad_mode = "reflect" if normalization == "kymatio" else "zero"
        _choice("pad_mode", pad_mode, ("reflect", "zero"))
        _choice("precision", precision, ("exact", "fast"))
        if precision == "fast" and (normalization != "mean" or pad_mode != "zero" or T == 0):
            raise ValueError(
                "precision='fast' needs normalization='mean', pad_mode='zero' and an average over time, "
                f"got normalization={normalization!r}, pad_mode={pad_mode!r} and T={T!r}."
            )
        if padding is None:
            padding = "short" if precision == "fast" else "power of two"
        _choice("padding", padding, ("power of two", "short"))
        if padding == "short" and (normalization, pad_mode) != ("mean", "zero"):
            raise ValueError(
                "padding='short' needs normalization='mean' and pad_mode='zero', "
                f"got normalization={normalization!r} and pad_mode={pad_mode!r}."
            )
        can_be_fine = (T, normalization, precision) == ("global", "mean", "exact")
        if sampling is None:
            sampling = "fine" if can_be_fine and pad_mode == "zero" else "critical"
        _choice("sampling", sampling, ("critical", "fine"))
        if sampling == "fine" and not can_be_fine:
            raise ValueError(
                "sampling='fine' needs T='global', normalization='mean' and precision='exact', "
                f"got T={T!r}, normalization={normalization!r} and precision={precision!r}."
            )
        _choice("first_order", first_order, ("joint", "average"))
        if format == "joint" and first_order == "average":
            raise ValueError(
                'first_order="average" has a row for each first-order wavelet, which the grid of format="joint" has '
                'not; choose format="time".'
            )
        return cls(format, normalization, pad_mode, first_order, padding, precision, sampling)

    def config(self) -> dict[str, Any]:
        """Options as caches record them."""
        return {name: word for name, word in asdict(self).items() if _EARLIER.get(name) != word}


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.")
