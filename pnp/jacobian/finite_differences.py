r"""Finite differences of sounds: how long a step suits a parameter, and when a difference cannot be trusted.

A derivative is made of central differences at a step h and at a quarter of it, extrapolated to 0. Both see the same
sound. Where they disagree by more than they did while the step was measured, a jump, a glitch or a coarse grid lies
between them, and the sound has no derivative that these renders could give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._text import percent

__all__ = [
    "LADDER",
    "NODES",
    "RATIO",
    "STANDS_OUT",
    "Agreement",
    "Step",
    "best_step",
    "contradiction",
    "derivative_weights",
]

# Contradiction that concerns the sound itself, and not how it changes.
STANDS_OUT = "the sound does not lie between those at a quarter of a step below and above: it depends on more"

# Steps that are tried, in unit coordinates: from an eighth of the range down to where float64 ends.
RATIO = 4.0
LADDER = tuple(0.25 / RATIO**rung for rung in range(13))

# Where along its axis each difference is taken, in steps.
NODES = (-1.0, -1.0 / RATIO, 1.0 / RATIO, 1.0)

# Disagreement of the two differences, relative to what it was while the step was measured, that other sounds may show.
_WORSE = 4.0


@dataclass(frozen=True)
class Step:
    """Step of a parameter, and how well differences agree there.

    Args:
        size: Step h in unit coordinates.
        disagreement: Relative change of the extrapolated derivative from the next longer step to this one, at the
            worst of the sounds that have a derivative.
        worst: The same at the worst sound where the parameter is heard.
        mismatch: Norm of the difference between four times the sound's change over a quarter of the step and its change
            over the step, at the worst of them.
        curvature: Norm of the difference between 16 times the sound's second difference at a quarter of the step and
            that at the step, at the worst of them.
        secant: Step in unit coordinates of a difference of features, where there is no derivative; 0 where there is.
        always: True where there is none at any sound.
    """

    size: float
    disagreement: float = 0.0
    worst: float = 0.0
    mismatch: float = 0.0
    curvature: float = 0.0
    secant: float = 0.0
    always: bool = False

    def with_secant(self, size: float, *, always: bool) -> Step:
        """Return the step with a longer one for differences of features."""
        return replace(self, secant=float(size), always=always)


@dataclass(frozen=True)
class Agreement:
    """Norms that tell how the differences of one sound agree along the ladder of steps.

    Each has shape (rungs - 2,): one number a step, from the second one on. The differences themselves are as large as
    all sounds that they are made of.

    Args:
        size: Norm of the extrapolated derivative.
        change: Norm of its change from the next longer step.
        mismatch: As in `Step`.
        curvature: As in `Step`.
        audible: False where no step changes the sound.
    """

    size: Float[Tensor, " steps"]
    change: Float[Tensor, " steps"]
    mismatch: Float[Tensor, " steps"]
    curvature: Float[Tensor, " steps"]
    audible: bool

    @classmethod
    def of(
        cls, x: Float[Tensor, "1 N"], below: Float[Tensor, "rungs N"], above: Float[Tensor, "rungs N"]
    ) -> Agreement:
        """Compare the differences of a sound at each step of the ladder.

        Args:
            x: The sound.
            below: Sounds at each step below it.
            above: Sounds at each step above it.

        Returns:
            The norms.
        """
        steps = torch.tensor(LADDER, dtype=x.dtype)
        central = (above - below) / (2.0 * steps[:, None])
        audible = bool(central.any())
        second = above + below - 2.0 * x
        curvature = (RATIO**2 * second[2:] - second[1:-1]).norm(dim=-1)
        mismatch = 2.0 * steps[1:-1] * (central[2:] - central[1:-1]).norm(dim=-1)
        extrapolated = (RATIO**2 * central[1:] - central[:-1]) / (RATIO**2 - 1.0)
        change = (extrapolated[1:] - extrapolated[:-1]).norm(dim=-1)
        return cls(extrapolated[1:].norm(dim=-1), change, mismatch, curvature, audible)


def best_step(sounds: Sequence[Agreement], tolerance: float) -> Step:
    """Find the step at which the derivative depends least on the step.

    Args:
        sounds: Agreement of the differences of a few sounds, at least one.
        tolerance: Disagreement beyond which there is no derivative.

    Returns:
        The step; its `disagreement` is beyond the tolerance where most sounds have no derivative.
    """
    size, change = torch.stack([x.size for x in sounds]), torch.stack([x.change for x in sounds])
    # Exactly 0 at a short step but not at a longer one is a plateau, not a derivative.
    disagreement = torch.where(size > 0, change / size, torch.inf)
    # A sound without a derivative at any step is a matter of its own row, as long as most have one.
    good = disagreement.amin(1) < tolerance
    if 2 * int(good.sum()) < len(good):
        good[:] = True
    agreed = disagreement[good].amax(0)
    rung = int(agreed.argmin())
    return Step(
        size=LADDER[rung + 1],
        disagreement=float(agreed[rung]),
        worst=float(disagreement[:, rung].max()),
        mismatch=float(torch.stack([x.mismatch for x in sounds])[good, rung].max()),
        curvature=float(torch.stack([x.curvature for x in sounds])[good, rung].max()),
    )


def contradiction(
    x: Float[Tensor, " N"], around: Float[Tensor, "4 N"], step: Step, tolerance: float, *, centred: bool
) -> str | None:
    """Find out what in a sound and its neighbours contradicts a derivative.

    Args:
        x: The sound.
        around: Sounds at `NODES`.
        step: Step of the parameter.
        tolerance: Relative disagreement that is taken for curvature.
        centred: True where the nodes lie around the sound itself; at the ends of the range they do not.

    Returns:
        The contradiction, as a clause; None where there is none.
    """
    whole, quarter = around[3] - around[0], RATIO * (around[2] - around[1])
    larger = max(float(whole.norm()), float(quarter.norm()))
    mismatch = float((quarter - whole).norm())
    if mismatch > max(tolerance * larger, _WORSE * step.mismatch):
        return (
            f"differences over a step and over a quarter of it disagree by {percent(mismatch / larger, 0)}: the sound "
            "jumps, its grid is coarse, or the step is too long"
        )
    if centred:
        bend, small_bend = around[3] + around[0] - 2.0 * x, RATIO**2 * (around[2] + around[1] - 2.0 * x)
        larger_bend = max(float(bend.norm()), float(small_bend.norm()))
        mismatch = float((small_bend - bend).norm())
        # A sound that is not the one between its neighbours, or neighbours that are all alike.
        stands_out = float(small_bend.norm()) / RATIO > 0.5 * float(quarter.norm())
        if stands_out and mismatch > max(tolerance * larger_bend, _WORSE * step.curvature):
            return STANDS_OUT
    return None


def derivative_weights(offsets: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch K"]:
    """Return the weights of the derivative at 0 of the polynomial through K points.

    Args:
        offsets: Positions of the points, shape (..., K).

    Returns:
        Weights, shape (..., K).
    """
    scale = offsets.abs().amax(-1, keepdim=True)
    powers = torch.arange(offsets.shape[-1], dtype=offsets.dtype)
    vandermonde = (offsets / scale).unsqueeze(-2) ** powers[:, None]
    derivative = (powers == 1).to(offsets).expand(offsets.shape).unsqueeze(-1)
    solved: Tensor = torch.linalg.solve(vandermonde, derivative).squeeze(-1) / scale
    return solved
