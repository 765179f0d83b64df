"""The panel: eight synthesizers, four of them not this package's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

import pnp
from pnp.bench.voice import HarmonicsAndNoise

from .amsynth import amsynth
from .fm import Bell
from .subtractive import subtractive

__all__ = ["PANEL", "Member"]


@dataclass(frozen=True)
class Member:
    """A synthesizer of the panel.

    Args:
        make: Makes the synthesizer.
        title: Its name in tables.
        differentiable: True where PyTorch differentiates it. If not, a loss that listens cannot be had, and its metric
            is made of differences of features.
        size: Number of sounds of its cache.
        ears: True where its encoders are judged by the representations of `judges.EARS` as well.
    """

    make: Callable[[], nn.Module]
    title: str
    differentiable: bool = True
    size: int = 512
    ears: bool = False


def _built_in(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: pnp.synths.make(name, **options)


_SHORT = {"sample_rate": 8192.0, "n_samples": 4096}


def harmonics() -> nn.Module:
    """Sixteen harmonics beside noise: thirty parameters."""
    return HarmonicsAndNoise(harmonics=16, **_SHORT)


PANEL: Mapping[str, Member] = {
    # Half a second is an eighth of the published length: modulations and slopes are twice as fast at least.
    "chirp": Member(
        _built_in("chirp", n_samples=4096, ranges={"f_m": (8, 32), "gamma": (1, 8)}), "chirp", ears=True
    ),
    "ripple": Member(_built_in("ripple", n_samples=4096, ranges={"rate": (4, 32)}), "ripple"),
    "drum": Member(_built_in("drum", **_SHORT), "drum", ears=True),
    "string": Member(_built_in("string", **_SHORT), "string"),
    "fm": Member(Bell, "two-operator FM"),
    "harmonics": Member(harmonics, "harmonics and noise", size=256),
    "subtractive": Member(subtractive, "subtractive voice (Faust)", differentiable=False, size=256),
    "amsynth": Member(amsynth, "amsynth (plug-in)", differentiable=False, size=256),
}
