"""Distances between the options of choices, which have no derivative."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp._protocols import check_synthesizer
from pnp._torch.modes import full_precision
from pnp.jacobian.sounds import check_finite
from pnp.parameters import ParameterSpace
from pnp.parameters.values import rounded

__all__ = ["choice_distances", "option_distance", "true_options"]


@torch.no_grad()
def choice_distances(
    synth: nn.Module, features: nn.Module, u: Tensor, S: Float[Tensor, "B C"]
) -> dict[str, Float[Tensor, "B options"]]:
    """Squared feature distances between each sound and the same sound with another option of a choice.

    Args:
        synth: Synthesizer whose space has choices.
        features: Feature map.
        u: Scaled parameters with all columns, shape (B, D).
        S: Features of the sounds, shape (B, C).

    Returns:
        From the name of each choice to ‖Φ(g(θ with option k)) − Φ(g(θ))‖², shape (B, options), float64; zero at the
        true option.
    """
    synth = check_synthesizer(synth)
    found = {}
    for choice in synth.space.choices:
        true = true_options(synth.space, u, choice.name)
        distances = torch.zeros(len(u), len(choice.choices), dtype=torch.float64, device=S.device)
        for option in range(len(choice.choices)):
            others = true != option
            if others.any():
                distances[others, option] = option_distance(
                    synth, features, u[others], S[others], choice.name, option
                )
        found[choice.name] = distances
    return found


def true_options(space: ParameterSpace, u: Tensor, name: str) -> Tensor:
    """Positions of the options that sounds have, shape (B,).

    Args:
        space: Space with the choice.
        u: Scaled parameters with all columns, shape (B, D).
        name: The choice.

    Returns:
        Positions, from 0.
    """
    return rounded(space, space.from_unit(u))[:, space.column(name)].long()


@torch.no_grad()
def option_distance(
    synth: nn.Module, features: nn.Module, u: Tensor, S: Float[Tensor, "B C"], name: str, option: int
) -> Float[Tensor, " B"]:
    """Squared feature distances between each sound and the same sound with one option of a choice.

    Args:
        synth: Synthesizer.
        features: Feature map.
        u: Scaled parameters with all columns, shape (B, D).
        S: Features of the sounds, shape (B, C).
        name: The choice.
        option: Position of the option.

    Returns:
        Squared distances, shape (B,), float64.

    Raises:
        NoSoundError: If a sound with that option is NaN or infinite.
    """
    space = check_synthesizer(synth).space
    with full_precision(u):
        theta = rounded(space, space.from_unit(u))
        theta[:, space.column(name)] = option
        x = synth(theta)
        check_finite(x)
        difference: Tensor = features(x).reshape(S.shape) - S
    return difference.double().square().sum(-1)
