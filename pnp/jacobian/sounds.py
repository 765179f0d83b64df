"""Sounds that a feature map must not meet, which would be blamed for them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._torch.environment import environment_fault
from pnp.errors import NoSoundError

__all__ = ["check_finite", "heard"]


def check_finite(x: Float[Tensor, "B N"], where: str = "") -> None:
    """Refuse sounds that are not finite.

    Args:
        x: Sounds.
        where: Words to begin the reason with.

    Raises:
        NoSoundError: If a sample is NaN or infinite.
    """
    bad = ~torch.isfinite(x)
    if bad.any():
        sample = int(bad.any(0).nonzero()[0])
        raise NoSoundError(f"{where}the sound is NaN or infinite, first at sample {sample}")


def heard(
    evaluate: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    x: Float[Tensor, "B N"],
    dx: Float[Tensor, "B K N"],
) -> tuple[Tensor, Tensor]:
    """Let a feature map meet sounds and tangents, but none that is not finite.

    Args:
        evaluate: Function from sounds and tangents to features and their tangents, row by row.
        x: Sounds.
        dx: Tangents.

    Returns:
        Features and tangents; NaN for a sound that is not finite, and tangents alone where those of the sound are not.

    Raises:
        NoSoundError: If no sound is finite; or all are silent, and the feature map raises.
    """
    finite = torch.isfinite(x).all(-1)
    smooth = torch.isfinite(dx).flatten(1).all(-1)
    if not finite.any():
        check_finite(x)
    try:
        if bool(finite.all() & smooth.all()):
            return evaluate(x, dx)
        # Another sound stands in: the features of one row do not depend on the others.
        rows = torch.where(finite, torch.arange(len(x), device=x.device), finite.nonzero()[0])
        value, pushed = evaluate(x[rows], torch.where(smooth[:, None, None], dx, 0.0)[rows])
    except Exception as error:
        if bool(x.any()) or environment_fault(error) is not None:
            raise
        raise NoSoundError("the sound is silent", silent=True) from error
    value[~finite] = torch.nan
    pushed[~(finite & smooth)] = torch.nan
    return value, pushed
