"""Bounds on memory: how much is computed at a time, and when freed memory goes back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

__all__ = ["FEATURE_TANGENTS", "NUMBERS_AT_ONCE", "SOUND_TANGENTS", "TangentBounds", "give_back"]

# Numbers of an input, such as samples of sounds, that are computed at a time: a few megabytes, and a few hundred times
# as much on their way through a feature map.
NUMBERS_AT_ONCE = 1 << 20


class TangentBounds(NamedTuple):
    """Bounds on the samples of tangents that are computed at a time.

    Args:
        at_once: Most samples that go without groups.
        in_groups: Samples of a group, where there are more. Fewer than at once: each group repeats the computation of
            the sound itself, so that a few samples too many are no reason for a second group.
    """

    at_once: int
    in_groups: int

    def tangents_at_a_time(self, n: int, size: int) -> int:
        """Return the number of tangents of a group.

        Args:
            n: Number of tangents.
            size: Samples of each.
        """
        return n if n * size <= self.at_once else max(1, self.in_groups // max(1, size))


# Tangents that a synthesizer makes take many times their memory on the way.
SOUND_TANGENTS = TangentBounds(at_once=1 << 20, in_groups=1 << 17)

# On the way through features each sample takes a few hundred bytes, more than in a synthesizer.
FEATURE_TANGENTS = TangentBounds(at_once=330_000, in_groups=200_000)


def give_back() -> None:
    """Return freed memory to the operating system, where the C library is known to keep it (glibc).

    The stages of a computation leave holes of different sizes. Without this, the memory of a process is nearly the sum
    of its stages, and not the largest of them. It takes a few milliseconds: call it between stages, not inside.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], Any] | None:
    try:
        trim: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return None
    return trim
