"""Noise that a seed decides, a row at a time."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

__all__ = ["seeded_noise"]


def seeded_noise(seed: Shaped[Tensor, "*batch"], n: int) -> Float[Tensor, "*batch n"]:
    """White Gaussian noise that depends on nothing but a seed.

    For synthesizers with a condition of kind "seed": rows with the same seed have the same noise, alone and in a batch,
    so that derivatives and repeated renders see one draw.

    Args:
        seed: Seeds, whole numbers, shape (...).
        n: Number of samples.

    Returns:
        Independent standard normal numbers, shape (..., n), in the dtype and on the device of `seed`.

    Examples:
        >>> seeds = torch.tensor([3.0, 4.0, 3.0])
        >>> noise = seeded_noise(seeds, 5)
        >>> torch.equal(noise[0], noise[2]), torch.equal(noise[0], noise[1])
        (True, False)
    """
    rows = []
    for number in seed.detach().reshape(-1).tolist():
        # On the CPU and in double precision, so that every device and dtype hears the same.
        generator = torch.Generator().manual_seed(round(number))
        rows.append(torch.randn(n, generator=generator, dtype=torch.float64))
    return torch.stack(rows).reshape(*seed.shape, n).to(seed)
