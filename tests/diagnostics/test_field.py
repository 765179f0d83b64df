"""Change of a metric from sound to sound."""

import math

import pytest
import torch
from curved import half_plane
from torch import Tensor

from pnp import RiemannianMetric, diagnostics


def grid(k: int) -> Tensor:
    axis = torch.linspace(-1, 1, k, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def test_a_constant_field_does_not_change() -> None:
    u = grid(5)
    result = diagnostics.smoothness(RiemannianMetric.from_factor(torch.eye(2).expand(25, 2, 2)), u)
    assert result.change.tolist() == [0.0] * 25
    assert result.strangers == 0
    torch.testing.assert_close(result.distance.min(), torch.tensor(0.5, dtype=torch.float64))


def test_a_scale_that_grows_exponentially_changes_by_the_same_share_everywhere() -> None:
    u = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    metric = RiemannianMetric.from_factor((2.0 * u).exp()[:, None])  # M = exp(4 u), neighbours 0.25 apart
    result = diagnostics.smoothness(metric, u, neighbours=1)
    torch.testing.assert_close(result.change, torch.full((9,), 1 - math.exp(-1), dtype=torch.float64))
    assert result.strangers > result.change[0]


def test_change_falls_with_the_distance_of_the_neighbours() -> None:
    coarse, fine = (diagnostics.smoothness(half_plane(grid(k)), grid(k)) for k in (5, 17))
    assert fine.change.mean() < 0.4 * coarse.change.mean()


def test_changes_are_those_of_neighbours_however_many_are_looked_at(generator) -> None:
    u = torch.rand(40, 2, generator=generator, dtype=torch.float64)
    everything = diagnostics.smoothness(half_plane(u), u)
    torch.testing.assert_close(diagnostics.smoothness(half_plane(u), u, most=7).change, everything.change[:7])


def test_sounds_without_a_metric_are_nobodys_neighbours() -> None:
    u = torch.tensor([[-1.0], [-0.9], [1.0], [0.0]], dtype=torch.float64)
    factor = torch.tensor([1.0, math.nan, 1.0, 1.0])[:, None, None]
    result = diagnostics.smoothness(RiemannianMetric.from_factor(factor), u, neighbours=1)
    torch.testing.assert_close(result.distance, torch.tensor([1, math.nan, 1, 1.0]).double(), equal_nan=True)


def test_one_sound_has_no_neighbours() -> None:
    result = diagnostics.smoothness(half_plane(torch.zeros(1, 2)), torch.zeros(1, 2))
    assert result.change.isnan().all()
    assert math.isnan(result.strangers)
    with pytest.raises(ValueError, match="neighbours must be a whole number of at least 1"):
        diagnostics.smoothness(half_plane(torch.zeros(1, 2)), torch.zeros(1, 2), neighbours=0)
    with pytest.raises(ValueError, match=r"got \(1, 3\)"):
        diagnostics.smoothness(half_plane(torch.zeros(1, 2)), torch.zeros(1, 3))
