"""Mean squared feature distance between two sounds, from few numbers that are kept whatever else is.

d² = E‖S − S′‖² over pairs of training sounds is twice the sum of the variances of the features. A cache that keeps no
features keeps their moments instead, block by block: number of sounds, mean, and scatter about the mean. Those combine
exactly (Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances, 1979), each is
written with its block, and so a run that is killed and resumed ends with the same bytes.
"""

from __future__ import annotations

import numpy as np

# A mean is known well enough from so many blocks; the size of a file without features does not grow with C beyond.
MOST_BLOCKS = 1024

# Steps by the golden ratio fall evenly into any interval and into step with no grid.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def has_moments(numbers: np.ndarray, n_blocks: int) -> np.ndarray:
    """Tell which blocks of a design keep their moments: all, or about 1,024 spread over the design.

    Args:
        numbers: Numbers of blocks in the design.
        n_blocks: Blocks of the whole design.

    Returns:
        Mask, of the shape of `numbers`.
    """
    if n_blocks <= MOST_BLOCKS:
        return np.ones(np.shape(numbers), bool)
    # Unsigned integers wrap around, which is meant: 2⁶⁴ times the fractional part of a multiple of the ratio.
    return np.asarray(numbers, np.uint64) * _GOLDEN < np.uint64((MOST_BLOCKS << 64) // n_blocks)


def moments_of(features: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Moments of the features of one block.

    Args:
        features: Features of all sounds, (n, C), before they are rounded for storage.
        counted: Mask of the sounds of the training fold that did not fail, (n,).

    Returns:
        Number of sounds, scatter Σ‖S − mean‖², and the C means: (C + 2,), float32.
    """
    chosen = np.asarray(features, np.float64)[counted]
    moments = np.zeros(features.shape[1] + 2)
    if len(chosen):
        mean = chosen.mean(0)
        moments[0], moments[1], moments[2:] = len(chosen), np.square(chosen - mean).sum(), mean
    # Features beyond the range of float32 give an infinite distance, which a loss refuses.
    with np.errstate(over="ignore"):
        return moments.astype(np.float32)


def mean_squared_distance(moments: np.ndarray) -> float | None:
    """Mean of ‖S − S′‖² over pairs of different sounds, d².

    Args:
        moments: Moments of blocks, (n, C + 2).

    Returns:
        d², or None for fewer than two sounds.
    """
    count, scatter, means = moments[:, 0], moments[:, 1], moments[:, 2:].astype(np.float64)
    total = float(count.sum(dtype=np.float64))
    if total < 2:
        return None
    centre = count.astype(np.float64) @ means / total
    between = count.astype(np.float64) @ np.square(means - centre).sum(1)
    return 2 * float(scatter.sum(dtype=np.float64) + between) / (total - 1)
