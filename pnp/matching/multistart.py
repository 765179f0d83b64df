"""Bounded nonlinear least squares from several starts, the worse of which are given up on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from tqdm import tqdm

from pnp.errors import SynthesisError

__all__ = ["Refinement", "refine"]

# A start has to show within so many evaluations that it is among the better half; each round has twice as many.
_FIRST_ROUND = 6
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

    A point at which the residual is not finite is a bad point: a step to it is shortened, and a start at it is given
    up. So is a start that comes to a point at which the Jacobian is not finite; the best point on its way counts.

    Args:
        residual: From a point, shape (P,), to the residual r, shape (C,).
        jacobian: From a point to ∂r/∂u, shape (C, P).
        starts: Points in the cube.
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

    Example:
        >>> target = np.array([0.5, -2.0])
        >>> (found,) = refine(lambda u: u - target, lambda u: np.eye(2), np.zeros((1, 2)))
        >>> found.u.round(3)
        array([ 0.5, -1. ])
    """
    if not len(starts):
        raise ValueError("least squares need at least one start, got none")
    if max_evaluations < 1:
        raise ValueError(f"least squares need at least one evaluation a start, got {max_evaluations}")
    runs = [_Run(start, residual, jacobian, max_evaluations) for start in starts]
    if not any(math.isfinite(run.distance) for run in runs):
        raise SynthesisError(
            f"the residual is not finite at any of the {len(runs)} starts: no sound to compare with"
        )
    length = _FIRST_ROUND
    with tqdm(desc="refining", unit="evaluation", disable=not progress, leave=False) as bar:
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


class _Run:
    """A start under way."""

    def __init__(
        self,
        start: np.ndarray,
        residual: Callable[[np.ndarray], np.ndarray],
        jacobian: Callable[[np.ndarray], np.ndarray],
        max_evaluations: int,
    ) -> None:
        self._residual, self._jacobian, self._most = residual, jacobian, max_evaluations
        self.u = np.asarray(start, np.float64)
        self.distance = _norm(residual(self.u))
        self.distances = [self.distance]
        self.evaluations = 1
        self.alive = math.isfinite(self.distance) and self._left > 0
        self.reason = _REASONS[0] if math.isfinite(self.distance) else "the synthesizer fails at the start"

    @property
    def _left(self) -> int:
        return self._most - self.evaluations

    def search(self, length: int | None) -> int:
        """Go on for some evaluations, or to the end; return their number."""
        from scipy.optimize import least_squares

        share = self._left if length is None else min(length, self._left)
        counted, best, lowest = 0, self.u, self.distance

        def residual(u: np.ndarray) -> np.ndarray:
            nonlocal counted, best, lowest
            counted += 1
            value = self._residual(u)
            distance = _norm(value)
            if counted == 1 and not math.isfinite(distance):
                raise _BadPoint
            if distance < lowest:
                best, lowest = u.copy(), distance
            return value

        def jacobian(u: np.ndarray) -> np.ndarray:
            J = self._jacobian(u)
            if not np.isfinite(J).all():
                raise _BadPoint
            return J

        try:
            done = least_squares(
                residual,
                self.u,
                jac=jacobian,
                bounds=(-1.0, 1.0),
                method="trf",
                ftol=1e-6,
                xtol=1e-6,
                gtol=1e-12,
                max_nfev=share,
            )
        except _BadPoint:
            self._move(best, lowest, counted)
            self.alive, self.reason = False, "came to a point without a derivative"
            return counted
        self._move(done.x, math.sqrt(2 * done.cost), done.nfev)
        self.alive, self.reason = done.status == 0 and self._left > 0, _REASONS[done.status]
        return int(done.nfev)

    def _move(self, u: np.ndarray, distance: float, evaluations: int) -> None:
        self.u, self.distance = np.clip(u, -1.0, 1.0), distance
        self.distances.append(distance)
        self.evaluations += evaluations

    def result(self) -> Refinement:
        return Refinement(self.u, self.distance, tuple(self.distances), self.evaluations, self.reason)


def _norm(residual: np.ndarray) -> float:
    """Return the norm of a residual; infinity if it is not finite."""
    norm = float(np.linalg.norm(residual))
    return norm if math.isfinite(norm) else math.inf


def _give_up(runs: Sequence[_Run], reason: str) -> None:
    for run in runs:
        run.alive, run.reason = False, reason
