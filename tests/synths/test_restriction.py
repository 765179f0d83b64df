"""Restriction: parameters, choices and conditions that keep a value."""

import pytest
import torch
from discrete import Organ, Spectrum

from pnp.jacobian import value_and_jacobian
from pnp.synths.restriction import Restriction


def test_choices_and_conditions_can_be_fixed() -> None:
    whole = Organ()
    part = Restriction(whole, {"wave": 1, "note": 52})
    assert part.space.column_names == ("decay", "voices", "velocity")
    assert [c.name for c in part.space.conditions] == ["velocity"]
    theta = torch.tensor([[5.0, 2, 0.6]], dtype=torch.float64)
    everything = torch.tensor([[5.0, 2, 1, 52, 0.6]], dtype=torch.float64)
    assert torch.equal(part(theta), whole(everything))
    J = value_and_jacobian(part, Spectrum(), part.space.to_unit(theta))[1]
    torch.testing.assert_close(J, value_and_jacobian(whole, Spectrum(), whole.space.to_unit(everything))[1])
    with pytest.raises(ValueError, match="fixed 'note' must be between 40 and 60"):
        Restriction(whole, {"note": 80})
