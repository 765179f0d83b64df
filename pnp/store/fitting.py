"""Check that a synthesizer is the one that a cache was made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pnp._protocols import SynthesizerLike

if TYPE_CHECKING:
    from pnp._protocols import CacheLike

__all__ = ["check_fits"]


def check_fits(cache: CacheLike, synth: SynthesizerLike) -> None:
    """Check that a cache and a synthesizer mean the same parameters.

    Args:
        cache: Metric cache.
        synth: Synthesizer.

    Raises:
        ValueError: If their parameter spaces differ; says where.
    """
    if synth.space != cache.space:
        raise ValueError(
            "Synthesizer and cache have different parameter spaces: "
            f"{type(synth).__name__} has {synth.space}; {cache.path} has {cache.space}."
        )
