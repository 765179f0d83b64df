"""Designs: points that fill the unit cube."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import whole_number, whole_numbers
from pnp._text import did_you_mean
from pnp.parameters.parameter import Parameter
from pnp.parameters.scales import Scales, snapped

__all__ = ["METHODS", "draw"]

METHODS = ("sobol", "uniform", "lhs", "grid")
# Powers of two up to this are all that the generators count to.
MOST_POINTS = 2**30


def draw(
    parameters: Sequence[Parameter], n: int | Sequence[int], method: str = "sobol", seed: int = 0
) -> Float[Tensor, "n D"]:
    """Draw a design of n points in the unit cube, whole along the axes of integers and choices.

    Args:
        parameters: Parameters, one an axis, D of them.
        n: Number of points. For "grid" either k**D, or the number of points along each of the D axes.
        method: "sobol" (scrambled Sobol sequence), "uniform" (independent draws), "lhs" (Latin hypercube) or
            "grid".
        seed: Seed; equal arguments give equal points. Ignored by "grid".

    Returns:
        Points in [-1, 1]^D, shape (n, D), float64, on the CPU.

    Raises:
        ValueError: If the method is unknown or `n` does not fit it.

    Source:
        Owen, "Scrambling Sobol' and Niederreiter-Xing points", J. Complexity 14 (1998).
    """
    if method not in METHODS:
        allowed = ", ".join(map(repr, METHODS))
        raise ValueError(
            f"unknown sampling method {method!r}, expected one of {allowed}{did_you_mean(method, METHODS)}"
        )
    seed = whole_number("seed", seed, least=0, most=2**63 - 1)
    if method == "grid":
        return snapped(_grid([p.name for p in parameters], n), parameters, Scales(parameters))
    n = whole_number("n", n, least=1, most=MOST_POINTS)
    import numpy as np

    rng = np.random.default_rng(seed)
    if method == "uniform":
        unit = rng.random((n, len(parameters)))
    else:
        from scipy.stats import qmc

        if method == "lhs":
            unit = qmc.LatinHypercube(len(parameters), rng=rng).random(n)
        else:
            # Whole powers of two keep the sequence balanced; its prefix is the same whatever their size.
            unit = qmc.Sobol(len(parameters), rng=rng).random_base2((n - 1).bit_length())[:n]
    u = torch.from_numpy(2.0 * unit - 1.0)
    for column, parameter in enumerate(parameters):
        if parameter.is_whole:
            u[:, column] = _equal_shares(u[:, column], parameter)
    return u


def _equal_shares(u: Tensor, parameter: Parameter) -> Tensor:
    """Give every whole number an equal share of its axis: nearest values would give the two ends half of a share."""
    count = int(parameter.high - parameter.low) + 1
    position = (0.5 * (u + 1.0) * count).floor().clamp(max=count - 1)
    return Scales([parameter]).to_unit((parameter.low + position).unsqueeze(1)).squeeze(1)


def _grid(names: Sequence[str], n: int | Sequence[int]) -> Tensor:
    d = len(names)
    if not isinstance(n, Sequence):
        n = whole_number("n", n, least=1, most=MOST_POINTS)
        side = round(n ** (1.0 / d))
        if side**d != n:
            near = " or ".join(str(max(side + step, 1) ** d) for step in (0, 1))
            raise ValueError(
                f"a grid over {d} parameters has k**{d} points, got n = {n}; "
                f"take {near}, or give the number of points along each axis"
            )
        counts: Sequence[int] = (side,) * d
    else:
        counts = whole_numbers("n", n, least=1)
        if len(counts) != d:
            raise ValueError(
                f"a grid needs a positive number of points for each of {', '.join(names)}, got {list(counts)}"
            )
    axes = [torch.linspace(-1.0 if k > 1 else 0.0, 1.0, k, dtype=torch.float64) for k in counts]
    return torch.cartesian_prod(*axes).reshape(-1, d)
