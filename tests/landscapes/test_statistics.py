"""Numbers of a landscape, where they are known in closed form."""

import pytest
import torch

from pnp import Parameter, ParameterSpace, RiemannianMetric
from pnp.landscapes.statistics import agreement_radius, agreement_with_neighbours, measure
from pnp.landscapes.surface import Landscape, grid

SPACE = ParameterSpace([Parameter("a", 1.0, 4.0, "log"), Parameter("b", 0.0, 2.0)])


def bowl(target, centre, weights=(1.0, 1.0)):
    """Paraboloid around `centre`, while the target is somewhere."""
    points = grid(SPACE, 9)
    target, centre, weights = (torch.tensor(v, dtype=torch.float64) for v in (target, centre, weights))
    difference = points - centre
    loss = 0.5 * (weights * difference.square()).sum(-1)
    return Landscape(SPACE, target, points, loss, weights * difference)


def test_a_round_bowl_points_to_its_target_from_everywhere() -> None:
    found = measure(bowl((0.1, 0.0), (0.1, 0.0)), torch.tensor([[0.2, 0.2], [0.5, 0.0]]))
    assert found.minimum == pytest.approx((2.0, 1.0))
    assert found.offset == pytest.approx((-0.4, 0.0))
    assert found.minimum_at_target
    assert found.downhill == 1.0
    assert found.each == (1.0, 1.0)
    assert found.cosine == pytest.approx(1.0)
    assert found.reached == 0.5


def test_a_bowl_elsewhere_does_not() -> None:
    found = measure(bowl((0.75, 0.75), (-0.75, -0.75)), torch.zeros(1, 2))
    assert not found.minimum_at_target
    assert found.offset == pytest.approx((-6.0, -6.0))
    assert found.downhill < 0.5
    # Between the two slopes lead away: they fall towards the target on 2 grid lines of 8.
    assert found.each == pytest.approx((2 / 8, 2 / 8))
    assert found.reached == 0.0


def test_sensitivity_is_the_ratio_of_slopes_and_relief_that_of_ranges() -> None:
    found = measure(bowl((0.0, 0.0), (0.0, 0.0), weights=(0.2, 1.0)), torch.zeros(1, 2))
    assert found.sensitivity == pytest.approx(0.2)
    assert found.relief == pytest.approx(0.2)


def test_the_radius_of_agreement_ends_where_the_loss_departs_by_a_tenth() -> None:
    metric = RiemannianMetric.from_matrix(torch.eye(2, dtype=torch.float64))
    r = torch.linspace(0.01, 0.5, 50, dtype=torch.float64)
    du = torch.stack([r, torch.zeros_like(r)], dim=-1)[None].repeat(2, 1, 1)
    # The form is off by r / (1 + r): a tenth at r = 1/9; the second ray is off from the start.
    loss = torch.stack([0.5 * r.square() * (1 + r), r.square()])
    assert agreement_radius(metric, du, loss).tolist() == pytest.approx([0.11, 0.0])


@pytest.mark.parametrize("cells", [1, 3])
def test_the_form_of_a_linear_map_agrees_with_every_neighbour_and_that_of_half_the_slope_with_none(
    cells,
) -> None:
    points = grid(SPACE, 9)
    A = torch.tensor([[3.0, 0.0], [1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)
    found = agreement_with_neighbours(points @ A.T, A.expand(9, 9, 3, 2), cells)
    assert found.distance == pytest.approx(cells / 4)
    assert found.median_ratio == pytest.approx(1.0)
    assert (found.within_10_percent, found.within_factor_2) == (1.0, 1.0)
    half = agreement_with_neighbours(points @ A.T, 0.5 * A.expand(9, 9, 3, 2), cells)
    assert half.median_ratio == pytest.approx(0.25)
    assert (half.within_10_percent, half.within_factor_2) == (0.0, 0.0)
