"""Change of the metric from a sound to its neighbours."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pnp._arguments import whole_number
from pnp.metric.sequence import MetricSequence

# Entries of the matrices that are held at once: 8 MiB each.
_ENTRIES = 2**20
# Sounds paired at random: at most so many, and at most so many entries of their matrices.
_PAIRS, _PAIRED_ENTRIES = 4096, 2**22


class FieldSmoothness(NamedTuple):
    """Change of the metric from sound to neighbour.

    Attributes:
        distance: (n,), mean distance of the nearest neighbours in the unit cube.
        change: (n,), mean change of the metric to them, from 0, the same, to √2, nothing in common.
        strangers: Median change between sounds paired at random: what `change` reaches where the design is
            too coarse to say anything about the metric between its points. NaN if there is no pair.
    """

    distance: Tensor
    change: Tensor
    strangers: float


def smoothness(
    metric: MetricSequence, u: Tensor, neighbours: int | None = None, most: int | None = None, seed: int = 0
) -> FieldSmoothness:
    """Change ‖M − M'‖ / max(‖M‖, ‖M'‖) of the metric from each sound to its nearest neighbours.

    Args:
        metric: Metrics of B sounds; those without one are nobody's neighbours.
        u: Their positions in the unit cube, shape (B, P).
        neighbours: Neighbours of each; P + 1 by default, enough to surround a point.
        most: Look at the first sounds only, at most so many; their neighbours may be any.
        seed: Seed of the random pairs.

    Returns:
        One distance and one change per sound looked at, NaN where it or every other sound has no metric.

    Raises:
        ValueError: If the shape of `u` does not fit or no neighbour is asked for.

    Examples:
        >>> from pnp import RiemannianMetric
        >>> metric = RiemannianMetric.from_factor(torch.tensor([1.0, 2.0]).sqrt().reshape(2, 1, 1))
        >>> smoothness(metric, torch.tensor([[0.0], [0.5]])).change
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    if tuple(u.shape) != (len(metric), metric.n_parameters):
        raise ValueError(
            f"expected positions u of shape ({len(metric)}, {metric.n_parameters}), one row per metric, got "
            f"{tuple(u.shape)}"
        )
    neighbours = None if neighbours is None else whole_number("neighbours", neighbours, least=1)
    most = None if most is None else whole_number("most", most, least=1)
    seed = whole_number("seed", seed, least=-(2**63), most=2**63 - 1)
    looked_at = len(metric) if most is None else min(most, len(metric))
    distance, change = torch.full((2, looked_at), math.nan, dtype=torch.float64)
    valid = metric.valid.nonzero().flatten()
    count = min(metric.n_parameters + 1 if neighbours is None else neighbours, len(valid) - 1)
    if count < 1:
        return FieldSmoothness(distance, change, math.nan)
    points, metric = u.to(torch.float64)[valid], metric if len(valid) == len(metric) else metric[valid]
    rows = torch.arange(int((valid < looked_at).sum()))
    size = metric.n_parameters**2
    for part in rows.split(max(1, _ENTRIES // max(len(valid), count * size))):
        apart = torch.cdist(points[part], points, compute_mode="donot_use_mm_for_euclid_dist")
        apart[torch.arange(len(part)), part] = math.inf
        nearest = apart.topk(count, largest=False)
        distance[valid[part]] = nearest.values.mean(dim=-1)
        changes = _change(metric[part].matrix[:, None], metric[nearest.indices].matrix)
        change[valid[part]] = changes.mean(dim=-1)
    generator = torch.Generator().manual_seed(seed)
    # A cyclic order of the sounds pairs none with itself.
    shuffled = torch.randperm(len(valid), generator=generator)[
        : min(_PAIRS, max(256, _PAIRED_ENTRIES // size))
    ]
    pairs = torch.stack([shuffled, shuffled.roll(1)], dim=-1)
    strangers = torch.cat(
        [_change(*metric[part].matrix.unbind(1)) for part in pairs.split(max(1, _ENTRIES // (2 * size)))]
    ).median()
    return FieldSmoothness(distance, change, float(strangers))


def _change(first: Tensor, second: Tensor) -> Tensor:
    larger = torch.maximum(torch.linalg.matrix_norm(first), torch.linalg.matrix_norm(second))
    difference: Tensor = torch.linalg.matrix_norm(first - second)
    return torch.where(larger == 0, 0.0, difference / larger)
