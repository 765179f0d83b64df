"""Franke and Little's weights, and how many points they blend."""

import pytest
import torch

from pnp.metric.blending import count_neighbours, franke_little


def test_weights_sum_to_one_fall_with_distance_and_vanish_at_the_radius():
    distance = (
        torch.rand(50, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).sort(-1).values
    )
    weights = franke_little(distance)
    torch.testing.assert_close(weights.sum(-1), torch.ones(50, dtype=torch.float64))
    assert (weights.diff(dim=-1) <= 0).all()
    distance[:, -2] = distance[:, -1]
    assert (franke_little(distance)[:, -1] == 0).all()


def test_a_point_has_all_the_weight_at_itself_and_equal_distances_count_alike():
    assert franke_little(torch.tensor([[0.0, 1.0, 2.0]])).tolist() == [[1.0, 0.0]]
    assert franke_little(torch.tensor([[2.0, 2.0, 2.0]])).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize(
    ("n_parameters", "n_points", "expected"), [(2, 200, 6), (78, 48, 47), (1, 2, 1), (3, 1, 0)]
)
def test_the_default_surrounds_a_point_or_takes_all_there_are(n_parameters, n_points, expected):
    assert count_neighbours(None, n_parameters, n_points) == expected


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (0, "neighbours must be a whole number of at least 1, got 0"),
        (-1, "neighbours must be a whole number of at least 1, got -1"),
        (10, "neighbours must be fewer than the 10 points, got 10"),
    ],
)
def test_other_than_whole_numbers_of_points_at_hand_are_refused(wanted, message):
    with pytest.raises(ValueError, match=message):
        count_neighbours(wanted, 2, 10)
