"""Search by differences over long steps."""

import numpy as np
import pytest

from pnp.matching.long_steps import approach
from pnp.matching.multistart import refine

# Waves of 0.03, far finer than a network errs, on a bowl: their derivative is five times the bowl's.
WAVES, HEIGHT = 200.0, 0.025
A = np.array([[1.0, 0.3], [0.0, 0.8], [0.5, -0.5]])
TRUE = np.array([0.4, -0.3])


def wavy(u: np.ndarray) -> np.ndarray:
    return A @ (u - TRUE + HEIGHT * np.sin(WAVES * (u - TRUE)))


def wavy_jacobian(u: np.ndarray) -> np.ndarray:
    return A * (1 + HEIGHT * WAVES * np.cos(WAVES * (u - TRUE)))


def test_waves_that_stop_a_descent_do_not_stop_long_steps() -> None:
    start = np.array([[-0.7, 0.8]])
    (near,) = approach(wavy, start, free=[0, 1])
    (stuck,) = refine(wavy, wavy_jacobian, start, max_evaluations=60)
    (found,) = refine(wavy, wavy_jacobian, near.u[None], max_evaluations=60)
    assert np.abs(stuck.u - TRUE).max() > 0.1
    assert np.abs(near.u - TRUE).max() < 0.03
    assert found.distance <= near.distance < stuck.distance
    assert near.distances[0] == pytest.approx(np.linalg.norm(wavy(start[0])))
    assert near.distance == near.distances[-1] == pytest.approx(np.linalg.norm(wavy(near.u)))


def test_columns_that_are_not_continuous_stay_and_the_cube_is_not_left() -> None:
    seen = []

    def residual(u: np.ndarray) -> np.ndarray:
        seen.append(u.copy())
        return np.array([u[0] - 3.0, 0.5 * u[2] - 2.0])

    (end,) = approach(residual, np.array([[0.9, 0.25, -0.99]]), free=[0, 2])
    assert end.u.tolist() == [1.0, 0.25, 1.0]
    assert end.evaluations == len(seen)
    assert np.abs(seen).max() <= 1.0
    assert {u[1] for u in seen} == {0.25}


def test_a_start_without_a_sound_is_given_up() -> None:
    (end,) = approach(lambda u: np.full(2, np.nan), np.zeros((1, 1)), free=[0])
    assert np.isinf(end.distance)
    assert end.u.tolist() == [0.0]
