"""Refinement of a match under noise, towards the parameters that make the recording's features the likeliest.

The features of a noisy recording differ from those of any one draw of noise, by amounts that vary from one feature to
the next and go together. Least squares with one fixed draw take all of them alike. They also see the draw itself: where
a partial moves by the width of a spectral line, its interference with the draw turns around. That makes hills on
which a descent gets stuck.

Coarse spectrograms are heard beside the features. Averages over time do not tell when the sound is louder than the
noise, and whitening weighs both by what the noise leaves of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from pnp.matching.multistart import Refinement, refine
from pnp.matching.noise import four_phases, noise_draws
from pnp.matching.uncertainty import INAUDIBLE
from pnp.matching.whitening import Whitening

if TYPE_CHECKING:
    from pnp.matching.problem import Problem

__all__ = ["Likelier", "distance_by_noise", "likelier"]

# Draws that give the covariance; fourfold ones that give the mean, and those of them that give its derivatives.
_SPREAD, _MEAN, _SLOPES = 96, 4, 2
# Draws that covariance and mean have not seen, for the uncertainty.
_FRESH = 32
# Draws that tell a distance which is noise alone.
_FEW = 4
# The covariance depends on the level of the noise and on the sound: it is estimated again, so often in all.
_ROUNDS, _EVALUATIONS = 2, 10
# Far from small numbers, with which somebody who adds noise to a sound to try this may have made theirs.
_SEED = 727_204_113
# Where the residual is this many times what noise makes of it, in squares, it is another sound and not noise.
_EXPLAINED = 10.0


@dataclass(frozen=True)
class Likelier:
    """Point at which the features of a recording are likelier.

    Attributes:
        u: The point, in the cube, shape (D,).
        before: Squared norm of the whitened residual at the start, relative to that of noise alone.
        after: The same at the point; about 1 where noise explains all that is left.
        jacobian: Whitened Jacobian of the mean features at the point, shape (C, P), coarse spectrograms included.
        variance: Variance of each parameter over draws of noise, in units of the cube, shape (P,).
        evaluations: Sounds analysed.
    """

    u: Float[np.ndarray, " D"]
    before: float
    after: float
    jacobian: Float[np.ndarray, "C P"]
    variance: Float[np.ndarray, " P"]
    evaluations: int


def likelier(
    problem: Problem, start: np.ndarray, max_evaluations: int = _ROUNDS * _EVALUATIONS
) -> Likelier | None:
    """Refine a match by least squares on mean features, whitened by the covariance that the noise gives them.

    Those of coarse spectrograms are appended to the features. Mean and covariance come from draws of noise at the level
    that is fitted. For features that are normally distributed this is scoring for the maximum of the likelihood. Draws
    of which the mean is taken come in four phases, which cancels their interference with the sound to third order.

    Args:
        problem: Problem with a noise floor.
        start: Its match by plain least squares, shape (D,).
        max_evaluations: Most points to try in a round, as there are several.

    Returns:
        A likelier point; None where there is none, or where noise does not explain the residual at the start: then
        the synthesizer cannot make the sound, and distances are what counts.
    """
    draws = four_phases(noise_draws(problem.recorded, _MEAN, seed=_SEED))
    others = noise_draws(problem.recorded, _SPREAD, seed=_SEED + 1)
    problem = problem.with_bands()
    views = [problem.with_draw(draw) for draw in draws[: 4 * _SLOPES]]
    heard = problem.under(start, draws)
    evaluations, first = len(draws), heard.mean(0)
    # Each round begins where the last one ended.
    known: dict[bytes, np.ndarray] = {start.tobytes(): first}

    def mean(u: np.ndarray) -> np.ndarray:
        nonlocal evaluations
        if u.tobytes() not in known:
            evaluations += len(draws)
            known[u.tobytes()] = problem.under(u, draws).mean(0)
        return known[u.tobytes()]

    def slopes(u: np.ndarray) -> np.ndarray:
        nonlocal evaluations
        evaluations += len(views)
        average: np.ndarray = np.mean([view.jacobian(u) for view in views], axis=0)
        return average

    u = start
    for turn in range(_ROUNDS):
        spread = problem.under(u, others)
        evaluations += len(others)
        if not (np.isfinite(spread).all() and np.isfinite(first).all()):
            return None
        white = Whitening(spread)
        # Draws that the covariance has not seen tell how large a residual is that is noise alone.
        noise = float(np.mean(np.square(white((heard - first).T)).sum(0)))
        before = float(np.square(white(first - problem.phi)).sum()) / noise
        if turn == 0 and before > _EXPLAINED:
            return None
        end = _descended(problem, u, white, mean, slopes, min(_EVALUATIONS, max_evaluations))
        u, after = end.u, end.distance**2 / noise
    jacobian = white(slopes(u))
    fresh = problem.under(u, noise_draws(problem.recorded, _FRESH, seed=_SEED + 2))
    evaluations += len(fresh)
    if not (after < before and np.isfinite(jacobian).all() and np.isfinite(fresh).all()):
        return None
    variance = max(after, 1.0) * _variance(jacobian, white((fresh - mean(u)).T))
    return Likelier(u, before, after, jacobian, variance, evaluations)


def _variance(jacobian: np.ndarray, residuals: np.ndarray) -> Float[np.ndarray, " P"]:
    """Return the variance of estimates by least squares, shape (P,), from residuals that are noise, shape (C, K).

    The whitening comes from few draws and makes residuals too small along them. Fresh draws do not have that error.
    """
    estimates = np.linalg.lstsq(jacobian, residuals, rcond=INAUDIBLE)[0]
    # The target is compared with a mean that is known from a few draws.
    variance: np.ndarray = (1.0 + 1.0 / _MEAN) * np.square(estimates).mean(1)
    return variance


def distance_by_noise(problem: Problem, u: np.ndarray) -> float:
    """Return how far apart, in the median, features of a point's sound are under different draws of its noise.

    Args:
        problem: Problem with a noise floor.
        u: Point, shape (D,).
    """
    heard = problem.under(u, noise_draws(problem.recorded, 1 + _FEW, seed=_SEED))
    return float(np.median(np.linalg.norm(heard[1:] - heard[0], axis=1)))


def _descended(
    problem: Problem,
    u: np.ndarray,
    white: Whitening,
    mean: Callable[[np.ndarray], np.ndarray],
    slopes: Callable[[np.ndarray], np.ndarray],
    max_evaluations: int,
) -> Refinement:
    """Minimize the norm of the whitened residual from one point."""
    (end,) = refine(
        lambda point: white(mean(point) - problem.phi),
        lambda point: white(slopes(point)[:, problem.free]),
        u[None],
        free=problem.free,
        max_evaluations=max_evaluations,
    )
    return end
