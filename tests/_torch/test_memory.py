"""Bounds on memory."""

import pytest

from pnp._torch.memory import FEATURE_TANGENTS, SOUND_TANGENTS, TangentBounds


@pytest.mark.parametrize(
    ("n", "size", "expected"), [(5, 20, 5), (5, 21, 3), (5, 64, 1), (5, 1000, 1), (0, 0, 0), (3, 0, 3)]
)
def test_tangents_go_at_once_or_in_groups_of_one_at_least(n: int, size: int, expected: int) -> None:
    assert TangentBounds(at_once=100, in_groups=64).tangents_at_a_time(n, size) == expected


def test_a_group_is_no_larger_than_what_goes_at_once() -> None:
    for bounds in (SOUND_TANGENTS, FEATURE_TANGENTS):
        assert bounds.in_groups <= bounds.at_once
