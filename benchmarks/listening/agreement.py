"""Agreement of distances with ratings, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import kendalltau, rankdata
from torch import Tensor

__all__ = ["DISTANCES", "MARGIN", "agreement", "distances", "interval", "pooled"]

# Ratings closer than this share of the largest are not counted as ordered by listeners.
MARGIN = 0.1
DISTANCES = ("euclidean", "cosine")

Scores = Mapping[str, float]


def distances(features: Tensor, kind: str) -> np.ndarray:
    """Distances between sounds.

    Args:
        features: Shape (n, ...).
        kind: "euclidean", or "cosine": the Euclidean distance after division by the norm, which orders pairs as one
            minus the cosine does.

    Returns:
        Shape (n, n).
    """
    x = features.flatten(1).double()
    if kind == "cosine":
        x = x / x.norm(dim=1, keepdim=True).clamp(min=1e-30)
    products = (x @ x.T).numpy()
    squares = np.diag(products)
    result: np.ndarray = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * products, 0))
    return result


def agreement(distance: np.ndarray, ratings: np.ndarray) -> dict[str, float]:
    """Agreement over reference sounds, as published by Tian et al. (arXiv 2507.07764).

    Args:
        distance: Shape (n, n).
        ratings: Shape (n, n), from 0 to 1.

    Returns:
        Means over reference sounds. "triplets": share of the pairs of other sounds, rated more than `MARGIN` apart,
        that the distance orders as listeners do. "spearman" and "kendall": rank correlations.
    """
    n = len(ratings)
    rows = []
    for reference in range(n):
        others = np.arange(n) != reference
        d, r = distance[reference, others], ratings[reference, others]
        first, second = np.triu_indices(n - 1, 1)
        rated, found = r[first] - r[second], d[first] - d[second]
        counted = np.abs(rated) > MARGIN
        # A reference sound without any such pair counts as 0, as published.
        share = float(np.mean((rated * found > 0)[counted])) if counted.any() else 0.0
        rows.append(
            (share, _correlation(rankdata(d), rankdata(r)), np.nan_to_num(kendalltau(d, r).statistic))
        )
    return dict(zip(("triplets", "spearman", "kendall"), np.mean(rows, axis=0).tolist(), strict=True))


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / size if size else 0.0


def pooled(scores: Sequence[float], sizes: Sequence[int]) -> float:
    """Mean over all reference sounds, from the means of studies and their numbers of sounds."""
    return float(np.average(scores, weights=sizes))


def interval(scores: Sequence[float], sizes: Sequence[int], draws: int = 10_000) -> tuple[float, float]:
    """Bootstrap interval of 95 % of a pooled score, or of a difference of two: studies are drawn with replacement."""
    values, weights = np.asarray(scores), np.asarray(sizes)
    drawn = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    means = (values * weights)[drawn].sum(1) / weights[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
