"""Scenes: a synthesizer of two parameters, and the target that its landscapes are drawn around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pnp.synths.registry import make
from pnp.synths.restriction import Restriction

__all__ = ["SCENES", "Scene"]


@dataclass(frozen=True)
class Scene:
    """A synthesizer of two parameters and a target.

    Args:
        name: Registered synthesizer.
        target: Physical parameters of the target.
        options: Options of the synthesizer.
        fixed: Parameters that are held fixed, in physical units.
    """

    name: str
    target: tuple[float, float]
    options: Mapping[str, Any]
    fixed: Mapping[str, float]

    def synth(self, shift: float = 0.0, **options: Any) -> Any:
        """Make the synthesizer, its sounds delayed by `shift` samples."""
        made: Any = make(self.name, shift=shift, **{**self.options, **options})
        return Restriction(made, self.fixed) if self.fixed else made


# Source: Vahidi et al., "Mesostructures" (2023): chirplets of f_c = 512 Hz around 8.49 Hz and 1.49 octaves per second.
# The ripple's target is the geometric centre of two octaves of density and two of rate: beyond one cycle per octave or
# over more octaves the scattering of a coarse grid no longer varies smoothly from point to point.
SCENES: dict[str, Scene] = {
    "chirp": Scene("chirp", (8.49, 1.49), {}, {"f_c": 512.0}),
    "ripple": Scene("ripple", (0.5, 8.0), {"ranges": {"density": [0.25, 1.0], "rate": [4.0, 16.0]}}, {}),
}
