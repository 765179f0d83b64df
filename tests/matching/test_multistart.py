"""Bounded least squares from several starts."""

import numpy as np
import pytest

from pnp.matching.multistart import refine

START = np.array([[-0.5, 0.5]])


def rosenbrock(u: np.ndarray) -> np.ndarray:
    return np.array([10 * (2 * u[1] - 4 * u[0] ** 2), 1 - 2 * u[0]])


def rosenbrock_jacobian(u: np.ndarray) -> np.ndarray:
    return np.array([[-80 * u[0], 20.0], [-2.0, 0.0]])


def test_a_curved_valley_is_followed_to_its_end() -> None:
    (found,) = refine(rosenbrock, rosenbrock_jacobian, START)
    assert found.u == pytest.approx([0.5, 0.5], abs=1e-6)
    assert found.distances[0] == pytest.approx(np.linalg.norm(rosenbrock(START[0])))
    assert found.distance == found.distances[-1] < 1e-6


@pytest.mark.parametrize("target", [[3.0, 0.2], [-3.0, 0.2], [3.0, -3.0]])
def test_a_solution_outside_the_cube_ends_at_its_nearest_point(target) -> None:
    A = np.diag([1.0, 2.0])
    (found,) = refine(lambda u: A @ (u - target), lambda u: A, START)
    assert found.u == pytest.approx(np.clip(target, -1, 1), abs=1e-3)


def test_the_best_of_several_starts_is_global_where_one_is_not() -> None:
    # Two valleys; the one at -0.7 is deeper.
    def residual(u: np.ndarray) -> np.ndarray:
        return np.array([4 * (u[0] ** 2 - 0.49), 0.2 * (u[0] + 0.7)])

    def jacobian(u: np.ndarray) -> np.ndarray:
        return np.array([[8 * u[0]], [0.2]])

    alone, both = (
        min(refine(residual, jacobian, np.array(s)), key=lambda r: r.distance)
        for s in ([[0.9]], [[0.9], [-0.2]])
    )
    assert alone.u[0] > 0.6
    assert both.u[0] == pytest.approx(-0.7, abs=1e-5)


def test_evaluations_stay_within_their_limit_and_are_counted() -> None:
    calls = []
    found = refine(
        lambda u: (calls.append(1), rosenbrock(u))[1], rosenbrock_jacobian, START, max_evaluations=5
    )
    assert sum(r.evaluations for r in found) == len(calls) == 5
    assert found[0].reason == "stopped at its share of evaluations"


def test_all_end_when_one_has_nothing_left_to_gain() -> None:
    starts = np.array([[0.5, 0.5], [-0.9, 0.9], [0.9, -0.9]])
    found = refine(rosenbrock, rosenbrock_jacobian, starts, negligible=1e-3)
    assert [r.evaluations for r in found[1:]] == [1, 1]
    assert "nothing left" in found[2].reason


def test_no_start_and_a_start_without_a_residual_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one start"):
        refine(rosenbrock, rosenbrock_jacobian, np.empty((0, 2)))
    with pytest.raises(ValueError, match="not finite at the start"):
        refine(lambda u: u * np.nan, rosenbrock_jacobian, START)
