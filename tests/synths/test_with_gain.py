"""The gain as one more parameter."""

import pytest
import torch
from toy import ToyFeatures, ToySynth

from pnp import synths
from pnp.jacobian import value_and_jacobian
from pnp.synths.with_gain import WithGain


@pytest.mark.parametrize("inner", [ToySynth(), synths.make("chirp", n_samples=64)])
def test_its_jacobian_is_that_of_central_differences(inner) -> None:
    synth = WithGain(inner, 0.1, 10.0)
    features = ToyFeatures().double()
    u = synth.space.sample(3, method="uniform") * 0.8
    _, J = value_and_jacobian(synth, features, u)
    for p in range(len(synth.space)):
        step = torch.zeros_like(u)
        step[:, p] = 1e-5
        ends = [features(synth(synth.space.from_unit(u + sign * step))) for sign in (1, -1)]
        torch.testing.assert_close(J[..., p], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-8)


def test_a_synthesizer_with_a_gain_of_its_own_keeps_its_name() -> None:
    twice = WithGain(WithGain(WithGain(ToySynth(), 0.5, 2.0), 0.5, 2.0), 0.5, 2.0)
    assert twice.space.names == ("f", "decay", "gain", "gain_2", "gain_3")
