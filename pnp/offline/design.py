"""Design of a run: which sounds are computed, their folds, and their parts for several machines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pnp._arguments import finite_numbers, shown, whole_number
from pnp.parameters import ParameterSpace
from pnp.parameters.designs import MOST_POINTS

__all__ = ["design_points", "draw_folds", "shard_rows"]


def design_points(
    space: ParameterSpace,
    size: int | Sequence[int] | None,
    u: Tensor | np.ndarray | None,
    method: str,
    seed: int,
) -> Tensor:
    """Return the points of a design, drawn or given.

    Args:
        space: Parameters and their ranges.
        size: Number of points; for method "grid" also the points along each parameter.
        u: The design itself in place of `size`, shape (size, D): all columns that the synthesizer receives.
        method: "sobol", "uniform", "lhs" or "grid".
        seed: Seed of the design.

    Returns:
        Scaled parameters, shape (size, D), float64, on the CPU; integers and choices are whole.

    Raises:
        ValueError: If neither size nor design is given, they contradict each other, or the design leaves the cube.
    """
    if u is None:
        if size is None:
            raise ValueError("precompute needs `size`, the number of sounds, or `u`, the design itself")
        if np.ndim(size) == 0:
            size = whole_number("size", size, least=1, most=MOST_POINTS)
        return space.sample(size, method=method, seed=seed).contiguous()
    if not isinstance(u, (Tensor, np.ndarray)):
        raise TypeError(f"u must be a tensor or an array of scaled parameters, got {shown(u)}")
    design = torch.as_tensor(u).detach().to("cpu", torch.float64).contiguous()
    columns = len(space.columns)
    if design.ndim != 2 or design.shape[1] != columns or not len(design):
        raise ValueError(
            f"u must have shape (size, {columns}) with at least one row, one column for each of "
            f"{', '.join(space.column_names)}; got {tuple(design.shape)}"
        )
    if size is not None and size != len(design):
        raise ValueError(
            f"size must be the number of rows of u or not be given, got {size} for {len(design)} rows"
        )
    space.check_unit(design)
    return space.snap(design)


def shard_rows(n: int, block: int, shard: tuple[int, int]) -> slice:
    """Return the rows of part i of n: whole blocks of the design, which hold the same sounds as without shards.

    Args:
        n: Rows of the design.
        block: Rows of a block.
        shard: Part (i, n).

    Returns:
        Rows of the part.

    Raises:
        ValueError: If there are more parts than blocks.
    """
    blocks = -(-n // block)
    part, parts = shard
    if parts > blocks:
        raise ValueError(f"{n} sounds in blocks of {block} make {blocks} blocks, too few for {parts} shards")
    return slice(blocks * part // parts * block, min(n, blocks * (part + 1) // parts * block))


def draw_folds(n: int, split: Sequence[float], seed: int) -> np.ndarray:
    """Return the fold of each sound: 0 train, 1 validation, 2 test.

    Args:
        n: Number of sounds.
        split: Shares of the three folds.
        seed: Seed of the order.

    Returns:
        Folds, shape (n,), int8.

    Raises:
        ValueError: If the shares are not three that sum to 1.
    """
    split = finite_numbers("split", split, count=3, least=0, most=1)
    if abs(sum(split) - 1) > 1e-9:
        raise ValueError(
            f"split must be three shares that sum to 1 (train, validation, test), got {tuple(split)}"
        )
    # A stream of its own: the design draws from `seed` itself.
    order = np.random.default_rng([seed, 1]).permutation(n)
    train, validation = round(n * split[0]), round(n * (split[0] + split[1]))
    folds = np.empty(n, np.int8)
    folds[order[:train]], folds[order[train:validation]], folds[order[validation:]] = 0, 1, 2
    return folds
