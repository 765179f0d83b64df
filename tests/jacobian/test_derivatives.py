"""Kinds of derivatives and steps, as users ask for them, and differences over a long step."""

import numpy as np
import pytest
import torch
from discrete import Organ, Spectrum
from torch import nn
from toy import ToyFeatures, ToySynth

from pnp import Parameter, ParameterSpace, value_and_jacobian
from pnp.jacobian import DEFAULT_STEP, Derivatives

SPACE = ParameterSpace([Parameter("f0", 100.0, 400.0, "log"), Parameter("decay", 0.1, 1.0)])


@pytest.mark.parametrize(
    ("kind", "step", "expected"),
    [
        ("auto", None, Derivatives("auto", {})),
        ("forward", None, Derivatives("forward", {})),
        ("difference", None, Derivatives("difference", {"f0": DEFAULT_STEP, "decay": DEFAULT_STEP})),
        ("difference", {"decay": 0.3}, Derivatives("difference", {"f0": DEFAULT_STEP, "decay": 0.3})),
        ("auto", 0.3, Derivatives("difference", {"f0": 0.3, "decay": 0.3})),
        ("auto", {"decay": np.float32(0.5)}, Derivatives("auto", {"decay": 0.5})),
    ],
)
def test_steps_of_each_kind(kind, step, expected):
    asked = Derivatives.of(SPACE, kind, step)
    assert asked == expected
    assert Derivatives.from_config({"derivatives": asked.to_dict()}) == asked


@pytest.mark.parametrize(
    ("kind", "step", "error", "message"),
    [
        ("backward", None, ValueError, "must be one of 'auto', 'forward', 'difference', got 'backward'"),
        ("forward", 0.1, ValueError, "take no step"),
        ("auto", {"f": 0.1}, ValueError, "did you mean 'f0'"),
        ("auto", 0.0, ValueError, "above 0 and at most 2"),
        ("auto", {"f0": float("nan")}, ValueError, "above 0 and at most 2"),
        ("auto", "0.1", TypeError, "must be a finite number above 0 and at most 2, got '0.1'"),
    ],
)
def test_what_contradicts_itself_is_refused(kind, step, error, message):
    with pytest.raises(error, match=message):
        Derivatives.of(SPACE, kind, step)


def test_whole_numbers_take_no_step():
    with pytest.raises(ValueError, match=r"'voices', a whole number"):
        Derivatives.of(Organ().space, "difference", {"voices": 0.1})


@pytest.mark.parametrize("step", [0.1, 0.3])
def test_a_long_step_is_the_difference_between_two_sounds_and_is_clipped_at_the_faces(step):
    synth, features = ToySynth(), ToyFeatures()
    u = torch.tensor([[0.2, -0.4], [0.95, -1.0]], dtype=torch.float64)
    S, J = value_and_jacobian(synth, features, u, step=step)

    def hear(*point):
        return features(synth(synth.space.from_unit(torch.tensor(point, dtype=torch.float64))))

    torch.testing.assert_close(S[0], hear(0.2, -0.4))
    torch.testing.assert_close(J[0, :, 0], (hear(0.2 + step, -0.4) - hear(0.2 - step, -0.4)) / (2 * step))
    # Above 0.95 there is 0.05 left, below -1 nothing.
    torch.testing.assert_close(J[1, :, 0], (hear(1.0, -1.0) - hear(0.95 - step, -1.0)) / (0.05 + step))
    torch.testing.assert_close(J[1, :, 1], (hear(0.95, -1.0 + step) - hear(0.95, -1.0)) / step)


def test_a_short_step_is_the_derivative_and_others_stay_exact():
    synth, features, u = ToySynth(), ToyFeatures(), 0.8 * ToySynth().space.sample(3)
    _, exact = value_and_jacobian(synth, features, u)
    error, error_of_half = (
        (value_and_jacobian(synth, features, u, step=step)[1] - exact).norm() for step in (1e-3, 5e-4)
    )
    _, mixed = value_and_jacobian(synth, features, u, step={"decay": 0.3})
    # Central differences are of second order.
    assert error < 0.05 * exact.norm()
    assert 3.9 < error / error_of_half < 4.1
    assert torch.equal(mixed[..., 0], exact[..., 0])
    assert not torch.allclose(mixed[..., 1], exact[..., 1], rtol=0.01)


def test_differences_serve_what_has_no_derivative():
    class Opaque(nn.Module):
        space, sample_rate, n_samples = ToySynth().space, 1000.0, 64

        def forward(self, theta):
            return torch.from_numpy(ToySynth()(theta.double()).numpy()).to(theta)

    class Deaf(ToyFeatures):
        def forward(self, x):
            return torch.from_numpy(super().forward(x).detach().numpy())

    u = ToySynth().space.sample(4)
    _, J = value_and_jacobian(Opaque(), Deaf(), u, derivatives="difference")
    _, expected = value_and_jacobian(ToySynth(), ToyFeatures(), u, step=DEFAULT_STEP)
    torch.testing.assert_close(J, expected)


def test_integers_keep_their_difference_to_the_next_one():
    u = Organ().space.sample(3)
    _, exact = value_and_jacobian(Organ(), Spectrum(), u)
    _, J = value_and_jacobian(Organ(), Spectrum(), u, derivatives="difference")
    whole = [parameter.is_whole for parameter in Organ().space]
    assert any(whole)
    assert torch.equal(J[..., whole], exact[..., whole])
    smooth = [not value for value in whole]
    assert not torch.allclose(J[..., smooth], exact[..., smooth], rtol=1e-3)


def test_no_sound_has_no_differences():
    S, J = value_and_jacobian(ToySynth(), ToyFeatures(), torch.zeros(0, 2), step=0.1)
    assert S.shape == (0, 7)
    assert J.shape == (0, 7, 2)
