"""Reasons to doubt a match, from its numbers alone."""

import math

import numpy as np
import pytest

from pnp.matching.doubts import doubts
from pnp.matching.multistart import Refinement
from pnp.matching.result import ParameterEstimate


def end(distance: float) -> Refinement:
    return Refinement(np.zeros(2), distance, (distance,), 1, "gradient vanished")


def estimate(name: str, u: float = 0.0, deviation: float = 0.01) -> ParameterEstimate:
    return ParameterEstimate(name, 1.0, "Hz", 0.9, 1.1, u, deviation, abs(u) == 1.0)


def found(distance: float = 0.01, estimates=(), **changes) -> tuple[str, ...]:
    best = end(distance)
    options = {
        "target_norm": 1.0,
        "nearest": 0.3,
        "usual": 0.4,
        "unheard": [],
        "others": [],
    } | changes
    others, ends = options.pop("others"), options.pop("ends", [best])
    return doubts(ends, best, others, estimates, **options)


def test_a_near_match_is_beyond_doubt() -> None:
    assert found(estimates=[estimate("f")]) == ()


@pytest.mark.parametrize(
    ("options", "beginning"),
    [
        ({"onsets": (3, 1)}, "The recording has 3 onsets, and sounds of the synthesizer 1 at most"),
        (
            {"distance": 0.3, "nearest": 0.5},
            "The synthesizer most likely cannot make this sound: the match is 30 %",
        ),
        ({"others": [end(0.015)]}, "The starts disagree: 1 of 1 ended at other parameters"),
        ({"distance": 0.3}, "The distance of the match is large: 30 % of the recording's features"),
        ({"distance": 0.3, "nearest": 0.5, "usual": None}, "The distance of the match is large"),
        ({"estimates": [estimate("f", 1.0)]}, "f lies at an end of its range"),
        ({"estimates": [estimate("f", 1.0), estimate("q", -1.0)]}, "f and q lie at an end of their ranges"),
        ({"unheard": ["p"]}, "The sound does not tell p"),
        ({"unheard": None}, "The synthesizer has no derivative at the match"),
        ({"ends": [end(0.01), end(math.inf)]}, "The synthesizer failed at 1 of 2 starts."),
    ],
)
def test_each_reason_is_a_sentence(options: dict, beginning: str) -> None:
    (sentence,) = found(**options)
    assert sentence.startswith(beginning)


def test_the_gravest_reason_comes_first() -> None:
    sentences = found(0.3, [estimate("f", 1.0)], nearest=0.5, others=[end(0.31)], onsets=(2, 1))
    beginnings = ("The recording has", "The synthesizer most likely", "The starts disagree", "f lies")
    assert all(s.startswith(b) for s, b in zip(sentences, beginnings, strict=True))
