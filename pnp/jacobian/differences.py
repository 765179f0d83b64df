"""Differences of features in place of derivatives: over a step of a parameter, and to the next whole number."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp._protocols import SynthesizerModule
from pnp._torch.memory import NUMBERS_AT_ONCE
from pnp.jacobian.sounds import check_finite
from pnp.parameters.values import rounded

__all__ = ["difference_columns", "next_whole"]


def difference_columns(
    synth: SynthesizerModule,
    features: nn.Module,
    u: Float[Tensor, "B D"],
    S: Tensor,
    steps: Mapping[str, float],
) -> dict[int, Float[Tensor, "B C"]]:
    r"""Columns of J that are differences of features over a step of one parameter each.

    .. math:: J_p = \frac{\Phi(u + h e_p) - \Phi(u - h e_p)}{2h}

    Both ends are clipped at the faces of the cube, and the difference is divided by the distance that is left.

    Args:
        synth: Synthesizer.
        features: Feature map.
        u: Scaled parameters with all columns, shape (B, D).
        S: Features of the sounds, shape (B, C).
        steps: Step h of each parameter, in units of u.

    Returns:
        From the number of each parameter to its column, shape (B, C).

    Raises:
        NoSoundError: If a sound is NaN or infinite.
    """
    if not steps:
        return {}
    space = synth.space
    columns = [space.names.index(name) for name in steps]
    ends = u.repeat(len(columns), 2, 1, 1)
    for place, (column, step) in enumerate(zip(columns, steps.values(), strict=True)):
        ends[place, 0, :, column] = (u[:, column] - step).clamp(-1.0, 1.0)
        ends[place, 1, :, column] = (u[:, column] + step).clamp(-1.0, 1.0)
    theta = rounded(space, space.from_unit(ends)).flatten(0, 2)
    several = max(1, NUMBERS_AT_ONCE // synth.n_samples)
    values = torch.cat(
        [
            _features(features, synth(some), "at the end of a difference, ").reshape(len(some), S.shape[1])
            for some in theta.split(several)
        ]
    )
    below, above = values.reshape(len(columns), 2, *S.shape).unbind(1)
    found = {}
    for place, column in enumerate(columns):
        distance = ends[place, 1, :, column] - ends[place, 0, :, column]
        found[column] = (above[place] - below[place]) / distance.unsqueeze(-1)
    return found


def next_whole(
    synth: SynthesizerModule, features: nn.Module, theta: Tensor, S: Tensor, p: int
) -> Float[Tensor, "B C"]:
    """Difference of the features to the next whole number, per unit of u; at the top, to the one before.

    Args:
        synth: Synthesizer.
        features: Feature map.
        theta: Physical parameters with all columns, shape (B, D).
        S: Features of the sounds, shape (B, C).
        p: Number of the integer.

    Returns:
        Column of J, shape (B, C).

    Raises:
        NoSoundError: If a sound is NaN or infinite.
    """
    moved = theta.clone()
    moved[:, p] += torch.where(theta[:, p] + 1 <= synth.space[p].high, 1.0, -1.0).to(theta)
    step = synth.space.to_unit(moved)[:, p] - synth.space.to_unit(theta)[:, p]
    where = f"with the next whole {synth.space.names[p]!r}, "
    return (_features(features, synth(moved), where).reshape(S.shape) - S) / step.unsqueeze(-1)


def _features(features: nn.Module, x: Tensor, where: str) -> Tensor:
    check_finite(x, where)
    value: Tensor = features(x)
    return value
