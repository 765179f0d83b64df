"""The panel: eight synthesizers, four of them not this package's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

import pnp

from .fm import Bell
from .harmonics import HarmonicsAndNoise
from .subtractive import subtractive

__all__ = ["PANEL", "Member"]


@dataclass(frozen=True)
class Member:
    """A synthesizer of the panel.

    Args:
        make: Makes the synthesizer.
        title: Its name in tables.
        differentiable: True where PyTorch differentiates it, so that a loss that listens can be had.
        size: Number of sounds of its cache.
    """

    make: Callable[[], nn.Module]
    title: str
    differentiable: bool = True
    size: int = 512


def _built_in(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: pnp.synths.make(name, **options)


_SHORT = {"sample_rate": 8192.0, "n_samples": 4096}

PANEL: Mapping[str, Member] = {
    # Half a second is an eighth of the published length: modulations and slopes are twice as fast at least.
    "chirp": Member(_built_in("chirp", n_samples=4096, ranges={"f_m": (8, 32), "gamma": (1, 8)}), "chirp"),
    "ripple": Member(_built_in("ripple", n_samples=4096, ranges={"rate": (4, 32)}), "ripple"),
    "drum": Member(_built_in("drum", **_SHORT), "drum"),
    "string": Member(_built_in("string", **_SHORT), "string"),
    "fm": Member(Bell, "two-operator FM"),
    "harmonics": Member(HarmonicsAndNoise, "harmonics and noise"),
    "subtractive": Member(subtractive, "subtractive voice (Faust)", differentiable=False),
}
