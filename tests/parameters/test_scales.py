"""Scales: inverse, monotone, differentiable, and right at their ends."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pnp.parameters import Parameter, ParameterSpace

EVERY = ParameterSpace(
    [
        Parameter("linear", -3.0, 2.0),
        Parameter("log", 20.0, 20000.0, "log"),
        Parameter("attack", 0.0, 2.0, "log", offset=0.01),
        Parameter("negative", -1.0, 5.0, "log", offset=1.5),
        Parameter("power", 0.0, 2.0, "power", exponent=3.0),
        Parameter("root", 1.0, 4.0, "power", exponent=0.5),
    ]
)


@settings(deadline=None)
@given(st.floats(-1.0, 1.0))
def test_there_and_back(x):
    u = torch.full((6,), x, dtype=torch.float64)
    # A root amplifies rounding at its end: (1e-16)^(1/3).
    torch.testing.assert_close(EVERY.to_unit(EVERY.from_unit(u)), u, rtol=0, atol=1e-5)
    theta = EVERY.from_unit(u)
    torch.testing.assert_close(EVERY.from_unit(EVERY.to_unit(theta)), theta, rtol=1e-9, atol=1e-12)


def test_values_are_those_of_the_definitions():
    u = torch.linspace(-1, 1, 41, dtype=torch.float64)
    t = (u + 1) / 2
    theta = EVERY.from_unit(u[:, None].expand(-1, 6))
    expected = [
        -3 + 5 * t,
        20 * 1000**t,
        0.01 * 201.0**t - 0.01,
        0.5 * 13.0**t - 1.5,
        2 * t**3,
        1 + 3 * t**0.5,
    ]
    torch.testing.assert_close(theta, torch.stack(expected, -1), rtol=1e-13, atol=1e-13)
    assert (theta.diff(dim=0) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ends_pass_the_checks_after_a_round_trip(dtype):
    for end in (-1.0, 1.0):
        u = torch.full((6,), end, dtype=dtype)
        theta = EVERY.from_unit(u)
        EVERY.check_physical(theta)
        EVERY.check_unit(EVERY.to_unit(theta))


def test_derivatives_agree_with_central_differences_in_both_modes():
    u = torch.linspace(-0.95, 0.95, 23, dtype=torch.float64)[:, None].repeat(1, 6)
    h = 1e-6
    expected = (EVERY.from_unit(u + h) - EVERY.from_unit(u - h)) / (2 * h)
    slope = torch.func.jvp(EVERY.from_unit, (u,), (torch.ones_like(u),))[1]
    torch.testing.assert_close(slope, expected, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(EVERY.slope(u), slope, rtol=1e-13, atol=0)
    torch.testing.assert_close(EVERY.slope(u.float()), slope.float(), rtol=1e-5, atol=0)
    theta = EVERY.from_unit(u).requires_grad_()
    EVERY.to_unit(theta).sum().backward()
    torch.testing.assert_close(theta.grad, 1 / slope, rtol=1e-9, atol=0)


def test_derivatives_are_finite_at_the_lower_end():
    u = torch.full((6,), -1.0, dtype=torch.float64, requires_grad=True)
    EVERY.from_unit(u).sum().backward()
    assert torch.isfinite(u.grad[:5]).all()
    assert u.grad[4] == 0  # a cube is flat there
    torch.testing.assert_close(EVERY.slope(u.detach())[:5], u.grad[:5], rtol=1e-13, atol=0)
    assert EVERY.slope(u.detach())[5] == 0  # infinite, and nothing finite would be right
