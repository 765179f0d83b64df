"""Bounded least squares from several starts."""

import numpy as np
import pytest

from pnp.errors import SynthesisError
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


def test_no_end_is_worse_than_its_start_where_the_start_is_at_a_steep_bound() -> None:
    # SciPy begins 1e-10 inside of the bound, where this residual is a tenth larger.
    (found,) = refine(
        lambda u: 1.0 + 1e9 * (1.0 - u), lambda u: np.array([[-1e9]]), np.array([[1.0]]), max_evaluations=3
    )
    assert found.distance <= found.distances[0] == 1.0
    assert found.u == pytest.approx([1.0], abs=1e-12)


def test_nothing_is_computed_twice_at_one_point_from_round_to_round() -> None:
    residuals, jacobians = [], []

    def residual(u: np.ndarray) -> np.ndarray:
        residuals.append(tuple(u))
        return rosenbrock(u)

    def jacobian(u: np.ndarray) -> np.ndarray:
        jacobians.append(tuple(u))
        return rosenbrock_jacobian(u)

    refine(residual, jacobian, np.array([[-0.5, 0.5], [-0.6, 0.4]]), max_evaluations=40)
    assert len(residuals) > 12
    assert len(set(residuals)) == len(residuals)
    assert len(set(jacobians)) == len(jacobians)


def test_all_end_when_one_has_nothing_left_to_gain() -> None:
    starts = np.array([[0.5, 0.5], [-0.9, 0.9], [0.9, -0.9]])
    found = refine(rosenbrock, rosenbrock_jacobian, starts, negligible=1e-3)
    assert [r.evaluations for r in found[1:]] == [1, 1]
    assert "nothing left" in found[2].reason


def test_nothing_to_begin_with_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one start"):
        refine(rosenbrock, rosenbrock_jacobian, np.empty((0, 2)))
    with pytest.raises(ValueError, match="at least one evaluation a start, got 0"):
        refine(rosenbrock, rosenbrock_jacobian, START, max_evaluations=0)
    with pytest.raises(SynthesisError, match="not finite at any of the 1 starts"):
        refine(lambda u: u * np.nan, rosenbrock_jacobian, START)


def test_one_evaluation_is_that_of_the_start() -> None:
    (found,) = refine(rosenbrock, rosenbrock_jacobian, START, max_evaluations=1)
    assert found.evaluations == 1
    assert found.u == pytest.approx(START[0])
    assert found.reason == "stopped at its share of evaluations"


def walled(u: np.ndarray) -> np.ndarray:
    """A residual that does not exist beyond a wall."""
    return rosenbrock(u) if u[0] < 0.3 else np.full(2, np.nan)


def test_a_start_where_the_residual_does_not_exist_takes_no_other_along() -> None:
    bad, good = refine(walled, rosenbrock_jacobian, np.array([[0.9, 0.5], [-0.5, 0.5]]), max_evaluations=200)
    assert bad.distance == bad.distances[0] == np.inf
    assert bad.evaluations == 1
    assert bad.reason == "the synthesizer fails at the start"
    # The valley leads through the wall: the search stops at it.
    assert good.u[0] == pytest.approx(0.3, abs=0.02)
    assert np.isfinite(good.distance)


def test_a_point_without_a_derivative_ends_its_start_alone_and_keeps_the_best_point() -> None:
    def jacobian(u: np.ndarray) -> np.ndarray:
        return rosenbrock_jacobian(u) if u[0] < 0.0 else np.full((2, 2), np.nan)

    (found,) = refine(rosenbrock, jacobian, START, max_evaluations=200)
    assert found.reason == "came to a point without a derivative"
    assert found.distance == pytest.approx(np.linalg.norm(rosenbrock(found.u)))
    assert found.distance < found.distances[0]
    ended, other = refine(rosenbrock, jacobian, np.array([[0.2, 0.5], [-0.5, 0.5]]), max_evaluations=200)
    assert ended.reason == "came to a point without a derivative"
    assert other.evaluations > ended.evaluations == 1


def test_a_search_along_a_bound_ends_with_its_evaluations() -> None:
    # SciPy leaves a point 5e-10 inside of a bound where it is. Taken for one that is moved, the last evaluation was
    # asked for again and again, without end.
    (found,) = refine(
        lambda u: rosenbrock(u[:2]),
        lambda u: np.hstack([rosenbrock_jacobian(u[:2]), np.zeros((2, 1))]),
        np.array([[-0.5, 0.5, -1.0 + 5e-10]]),
        max_evaluations=8,
    )
    assert found.evaluations == 8
    assert found.distance < found.distances[0]
