"""Gradient descent: downhill only, inside the cube, from the loss alone."""

import torch

from pnp.landscapes.descent import descend


def bowl(u, rows):
    weight = torch.tensor([1.0, 8.0], dtype=u.dtype)
    return 0.5 * (weight * (u - 0.3).square()).sum(-1), weight * (u - 0.3)


def test_a_bowl_is_descended_from_anywhere_and_no_accepted_step_goes_up(generator) -> None:
    start = 2 * torch.rand(9, 2, generator=generator, dtype=torch.float64) - 1
    result = descend(bowl, start, steps=100)
    assert ((result.end - 0.3).abs() < 0.01).all()
    assert (result.loss.diff(dim=0) <= 0).all()


def test_a_minimum_outside_ends_on_the_face_of_the_cube() -> None:
    def slope(u, rows):
        return u.sum(-1), torch.ones_like(u)

    assert (descend(slope, torch.zeros(1, 2)).end == -1).all()


def test_it_stays_in_the_basin_of_its_loss_wherever_the_truth_is() -> None:
    """Two basins: which one is the true one can make no difference."""

    def two(u, rows):
        return (u.square() - 0.25).square().sum(-1), 4 * u * (u.square() - 0.25)

    start = torch.tensor([[0.8], [-0.8]], dtype=torch.float64)
    torch.testing.assert_close(
        descend(two, start).end, torch.tensor([[0.5], [-0.5]], dtype=torch.float64), atol=0.01, rtol=0
    )


def test_descents_that_have_ended_are_not_evaluated_again() -> None:
    asked = []

    def watched(u, rows):
        asked.append(rows.tolist())
        return bowl(u, rows)

    descend(watched, torch.tensor([[0.3, 0.3], [-1.0, 1.0]], dtype=torch.float64))
    assert asked[0] == [0, 1]
    assert all(rows == [1] for rows in asked[1:])
