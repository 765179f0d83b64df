"""Groups of parameters that sound alike."""

import torch

from pnp import diagnostics


def test_within_a_group_every_two_sound_alike_and_groups_are_together_in_the_order(generator) -> None:
    directions = torch.randn(4, 12, generator=generator, dtype=torch.float64).repeat(5, 1)
    directions += 0.35 * torch.randn(20, 12, generator=generator, dtype=torch.float64)
    directions /= directions.norm(dim=1, keepdim=True)
    cosines = (directions @ directions.T).abs()
    found = diagnostics.clusters(cosines)
    assert sorted(found.order) == list(range(20))
    assert found.groups
    for group in found.groups:
        assert min(cosines[i, j] for i in group for j in group) >= 0.7
        places = [found.order.index(p) for p in group]
        assert places == list(range(places[0], places[0] + len(group)))


def test_one_parameter_and_parameters_that_differ_make_no_group() -> None:
    assert diagnostics.clusters(torch.ones(1, 1)).groups == ()
    assert diagnostics.clusters(torch.eye(4)).groups == ()
    assert diagnostics.clusters(torch.ones(3, 3)).groups != ()
