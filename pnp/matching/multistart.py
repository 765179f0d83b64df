"""Bounded nonlinear least squares from several starts, the worse of which are given up on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from pnp._progress import Bar
from pnp.errors import SynthesisError

__all__ = ["Refinement", "norm", "refine"]

# A start has to show within so many evaluations that it is among the better half; each round has twice as many.
_FIRST_ROUND = 6
# SciPy moves a start inwards if it is nearer to a bound than this.
_BOUNDARY = 1e-10
_REASONS = {
    0: "stopped at its share of evaluations",
    1: "gradient vanished",
    2: "distance no longer falls",
    3: "steps became negligible",
    4: "distance and steps became negligible",
}


@dataclass(frozen=True)
class Refinement:
    """Outcome of one start.

    Attributes:
        u: Point reached, in the cube, shape (P,).
        distance: Norm of the residual there; infinite if the residual is not finite at the start.
        distances: Norms of the residual at the start and after each round.
        evaluations: Number of residuals computed.
        reason: Reason for its end.
    """

    u: Float[np.ndarray, " P"]
    distance: float
    distances: tuple[float, ...]
    evaluations: int
    reason: str


def refine(
    residual: Callable[[np.ndarray], np.ndarray],
    jacobian: Callable[[np.ndarray], np.ndarray],
    starts: Shaped[np.ndarray, "n P"],
    *,
    free: Sequence[int] | None = None,
    moves: Callable[[np.ndarray], Sequence[np.ndarray]] | None = None,
    max_evaluations: int = 60,
    negligible: float = 0.0,
    progress: bool = False,
) -> list[Refinement]:
    """Minimize ‖r(u)‖ over the cube [-1, 1]^P from several starts.

    Each start is refined by the Levenberg-Marquardt method in its bounded, trust-region form, SciPy's
    `least_squares(method="trf")`: the ratio of actual to predicted reduction sets the radius, which is to the
    damping what a constraint is to its multiplier, and bounds enter by scaling steps towards them. After a round
    of evaluations the worse half of the starts that still move is given up, and the next round is twice as
    long. Nothing is asked but residuals and Jacobians.

    Where some columns are whole numbers, they are searched by exchange: at the beginning of each round, and wherever
    the continuous columns have come to rest, all `moves` from the point are tried, and the best one is taken if it is
    better.

    A point at which the residual is not finite is a bad point: a step to it is shortened, and a start at it is given
    up. So is a start that comes to a point at which the Jacobian is not finite; the best point on its way counts.

    Args:
        residual: From a point, shape (P,), to the residual r, shape (C,).
        jacobian: From a point to ∂r/∂u along the free columns, shape (C, F).
        starts: Points in the cube.
        free: Columns that are continuous, F of them; None for all.
        moves: From a point to points that differ in the other columns; None where there are no others.
        max_evaluations: Most residuals to compute from one start, that at the start included.
        negligible: Distance at which there is nothing left to gain, and all starts end.
        progress: Show a progress bar.

    Returns:
        One refinement a start, in their order.

    Raises:
        SynthesisError: If the residual is finite at none of the starts.
        ValueError: If there is no start, or no evaluation allowed.

    Source:
        Branch, Coleman, Li, "A subspace, interior, and conjugate gradient method for large-scale bound-constrained
        minimization problems", SIAM J. Sci. Comput. 21 (1999); Jamieson, Talwalkar, "Non-stochastic best arm
        identification", AISTATS 2016, for giving up the worse half.

    Examples:
        >>> target = np.array([0.5, -2.0])
        >>> (found,) = refine(lambda u: u - target, lambda u: np.eye(2), np.zeros((1, 2)))
        >>> found.u.round(3)
        array([ 0.5, -1. ])
    """
    if not len(starts):
        raise ValueError("least squares need at least one start, got none")
    if max_evaluations < 1:
        raise ValueError(f"least squares need at least one evaluation a start, got {max_evaluations}")
    columns = list(range(starts.shape[1])) if free is None else list(free)
    task = _Task(residual, jacobian, columns, moves or (lambda _: []), max_evaluations)
    runs = [_Run(start, task) for start in starts]
    if not any(math.isfinite(run.distance) for run in runs):
        raise SynthesisError(
            f"the residual is not finite at any of the {len(runs)} starts: no sound to compare with"
        )
    length = _FIRST_ROUND + len(task.moves(runs[0].u))
    with Bar(desc="refining", unit="evaluation", disable=not progress, leave=False) as bar:
        while alive := [run for run in runs if run.alive]:
            for run in alive:
                bar.update(run.search(None if len(alive) == 1 else length))
                bar.set_postfix(distance=f"{min(r.distance for r in runs):.4g}")
                if run.distance <= negligible:
                    _give_up([r for r in runs if r.alive], "another start had nothing left to gain")
                    return [r.result() for r in runs]
            moving = sorted((run for run in alive if run.alive), key=lambda run: run.distance)
            _give_up(moving[-(-len(moving) // 2) :], "given up for better ones")
            length *= 2
    return [run.result() for run in runs]


class _BadPoint(Exception):  # noqa: N818
    """A point from which the search cannot go on."""


@dataclass(frozen=True)
class _Task:
    """Search that all starts share."""

    residual: Callable[[np.ndarray], np.ndarray]
    jacobian: Callable[[np.ndarray], np.ndarray]
    free: list[int]
    moves: Callable[[np.ndarray], Sequence[np.ndarray]]
    most: int


class _Run:
    """A start under way."""

    def __init__(self, start: np.ndarray, task: _Task) -> None:
        self._task = task
        self.u = np.asarray(start, np.float64)
        # What is known at the point reached, so that a round begins without computing it again.
        self._residual = task.residual(self.u)
        self._derivative: tuple[np.ndarray, np.ndarray] | None = None
        self.distance = norm(self._residual)
        self.distances = [self.distance]
        self.evaluations = 1
        self.alive = math.isfinite(self.distance) and self._left > 0
        self.reason = _REASONS[0] if math.isfinite(self.distance) else "the synthesizer fails at the start"

    @property
    def _left(self) -> int:
        return self._task.most - self.evaluations

    def search(self, length: int | None) -> int:
        """Go on for some evaluations, or to the end; return their number."""
        before = self.evaluations
        end = self._task.most if length is None else min(before + length, self._task.most)
        at_rest = False
        while self.evaluations < end:
            exchanged = self._exchange(end - self.evaluations)
            if at_rest and not exchanged:
                self.alive = False
                break
            if self.evaluations >= end or not self.alive:
                break
            at_rest = self._descend(end - self.evaluations)
            if not self.alive or (at_rest and not self._task.moves(self.u)):
                self.alive = False
                break
        self.distances.append(self.distance)
        if self._left <= 0:
            self.alive = False
        return self.evaluations - before

    def _exchange(self, share: int) -> bool:
        """Take the best of the moves, if it is better; return true where it is."""
        before = self.distance
        for point in self._task.moves(self.u)[:share]:
            self.evaluations += 1
            self._keep_better(point, self._task.residual(point))
        return self.distance < before

    def _keep_better(self, u: np.ndarray, residual: np.ndarray) -> None:
        distance = norm(residual)
        if distance < self.distance:
            self.u, self.distance, self._residual = u, distance, residual

    def _descend(self, share: int) -> bool:
        """Refine the continuous columns for some evaluations; return true where they have come to rest."""
        from scipy.optimize import least_squares

        free = self._task.free
        if not free:
            self.reason = "no other value is better"
            return True
        first, known, counted = self.u, self._residual, 0

        def point(part: np.ndarray) -> np.ndarray:
            u = first.copy()
            u[free] = part
            return u

        def residual(part: np.ndarray) -> np.ndarray:
            nonlocal counted
            u = point(part)
            if np.array_equal(u, first):
                return known
            counted += 1
            value = self._task.residual(u)
            if counted == 1 and not inside and not np.isfinite(value).all():
                raise _BadPoint
            self._keep_better(u, value)
            return value

        def jacobian(part: np.ndarray) -> np.ndarray:
            u = point(part)
            if self._derivative is None or not np.array_equal(self._derivative[0], u):
                self._derivative = u, self._task.jacobian(u)
            J = self._derivative[1]
            if not np.isfinite(J).all():
                raise _BadPoint
            return J

        # SciPy moves a start at the boundary inwards, where the residual is not known yet.
        inside = bool((np.abs(first[free]) <= 1.0 - _BOUNDARY).all())
        try:
            done = least_squares(
                residual,
                first[free],
                jac=jacobian,
                bounds=(-1.0, 1.0),
                method="trf",
                ftol=1e-6,
                xtol=1e-6,
                gtol=1e-12,
                max_nfev=share + inside,
            )
        except _BadPoint:
            self.evaluations += counted
            self.alive, self.reason = False, "came to a point without a derivative"
            return False
        self.evaluations += counted
        self.reason = _REASONS[done.status]
        # A round without an evaluation would be repeated for ever.
        return bool(done.status != 0) or not counted

    def result(self) -> Refinement:
        return Refinement(self.u, self.distance, tuple(self.distances), self.evaluations, self.reason)


def norm(residual: np.ndarray) -> float:
    """Return the norm of a residual; infinity if it is not finite."""
    norm = float(np.linalg.norm(residual))
    return norm if math.isfinite(norm) else math.inf


def _give_up(runs: Sequence[_Run], reason: str) -> None:
    for run in runs:
        run.alive, run.reason = False, reason
