"""Reasons to doubt a match, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pnp._text import percent
from pnp.matching.multistart import Refinement
from pnp.matching.result import ParameterEstimate

__all__ = ["doubts"]

# A residual of this part of the recording's features is a difference that one hears.
_LARGE = 0.1


def doubts(
    ends: Sequence[Refinement],
    best: Refinement,
    others: Sequence[Refinement],
    estimates: Sequence[ParameterEstimate],
    *,
    target_norm: float,
    nearest: float,
    usual: float | None,
    unheard: Sequence[str] | None,
    onsets: tuple[int, int] = (1, 1),
) -> tuple[str, ...]:
    """Return reasons to doubt a match, the gravest first.

    Args:
        ends: Ends of all starts.
        best: The best of them.
        others: Those with other parameters and a distance that is not much larger.
        estimates: Parameters of the match.
        target_norm: Norm of the target's features.
        nearest: Distance of the nearest sound of the cache.
        usual: Distance within which sounds of the cache have a neighbour, relative to their norms; None where there are
            too few.
        unheard: Continuous parameters of which a change is not heard; None where the synthesizer has no derivative at
            the match.
        onsets: Number of onsets of the recording, and of the synthesizer's sounds at most.

    Returns:
        Sentences; none for a match that is beyond doubt.
    """
    found = []
    if onsets[0] > onsets[1]:
        found.append(
            f"The recording has {onsets[0]} onsets, and sounds of the synthesizer {onsets[1]} at most; cut it to "
            "one sound."
        )
    share = best.distance / target_norm if target_norm else 0.0
    away = percent(share, significant=2)
    strange = share > _LARGE and usual is not None and nearest > usual * target_norm
    if strange:
        found.append(
            f"The synthesizer most likely cannot make this sound: the match is {away} of the recording's features "
            "away, and no sound of the cache is as near as sounds of the cache are to each other."
        )
    if others:
        found.append(
            f"The starts disagree: {len(others)} of {len(ends)} ended at other parameters, at less than twice the "
            "distance. The match may be a local minimum; the uncertainty includes these ends. More starts may help."
        )
    if share > _LARGE and not strange:
        found.append(
            f"The distance of the match is large: {away} of the recording's features. Either the synthesizer cannot "
            "make this sound, or the search missed it; the uncertainty covers neither."
        )
    ended = [p.name for p in estimates if p.at_bound]
    if ended:
        verb, end = ("lies at an end", "its range") if len(ended) == 1 else ("lie at an end", "their ranges")
        found.append(
            f"{_listed(ended)} {verb} of {end}: the best match may be beyond, where the cache has no sounds."
        )
    if unheard:
        found.append(f"The sound does not tell {_listed(unheard)}: a change there is not heard.")
    if unheard is None:
        found.append("The synthesizer has no derivative at the match: the uncertainty is not known.")
    failed = sum(not math.isfinite(end.distance) for end in ends)
    if failed:
        found.append(f"The synthesizer failed at {failed} of {len(ends)} starts.")
    return tuple(found)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
