"""Numbers about the metrics of many sounds, gathered part by part so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pnp.diagnostics.confusion import correlation, identifiability
from pnp.diagnostics.spectral import rank, require_sounds
from pnp.metric.riemannian import RiemannianMetric
from pnp.metric.sequence import MetricSequence

# Entries of the matrices that are decomposed at once: 4 MiB.
_ENTRIES = 2**19


@dataclass(frozen=True)
class Survey:
    """Numbers about the metrics of n sounds.

    Attributes:
        singular_values: (n, P), those of each Jacobian, descending.
        lengths: (n, P), lengths of the Jacobian's columns: distance for a unit step along each parameter.
        identifiability: (n, P), part of each column that the other columns cannot explain.
        condition: (n,), condition numbers of M.
        effective_rank: (n,), effective ranks of M.
        rank: (n,), numbers of directions that are heard at all.
        cosines: (P, P), median over the sounds of |cosine| between the Jacobian's columns.
        composition: (P, P), squared components of the eigenvectors, averaged over the sounds.
        mean: Mean metric.
    """

    singular_values: Float[Tensor, "n P"]
    lengths: Float[Tensor, "n P"]
    identifiability: Float[Tensor, "n P"]
    condition: Float[Tensor, " n"]
    effective_rank: Float[Tensor, " n"]
    rank: Int[Tensor, " n"]
    cosines: Float[Tensor, "P P"]
    composition: Float[Tensor, "P P"]
    mean: RiemannianMetric

    def __len__(self) -> int:
        return len(self.condition)

    @property
    def eigenvalues(self) -> Float[Tensor, "n P"]:
        """Eigenvalues of M, descending, (n, P)."""
        return self.singular_values.square()


def survey(metric: MetricSequence) -> Survey:
    """Return the numbers of many metrics from one pass over them.

    Args:
        metric: Metrics of B sounds, taken some at a time; those without one are left out.

    Returns:
        Numbers about the n sounds that have a metric, in their order.

    Raises:
        ValueError: If no sound has a metric.

    Examples:
        >>> found = survey(RiemannianMetric.from_factor(torch.tensor([[[2.0, 1.0], [0.0, 0.0]]])))
        >>> found.cosines[0, 1].item(), found.rank.tolist()
        (1.0, [1])
    """
    metric = metric if bool(metric.valid.all()) else require_sounds(metric)
    if not len(metric):
        require_sounds(metric)
    count, n_parameters = len(metric), metric.n_parameters
    above = torch.triu_indices(n_parameters, n_parameters, 1)
    means: list[RiemannianMetric] = []
    composition = torch.zeros(n_parameters, n_parameters, dtype=torch.float64)
    # Made before the loop: results that are kept between its temporaries would hold their memory.
    values, lengths, parts_of = torch.empty(3, count, n_parameters, dtype=torch.float64)
    condition, effective = torch.empty(2, count, dtype=torch.float64)
    ranks = torch.empty(count, dtype=torch.long)
    # Many cosines are kept in single precision, to bound memory.
    many = count * above.shape[1] >= 2**23
    cosines = torch.empty(count, above.shape[1], dtype=torch.float32 if many else torch.float64)
    size = max(1, _ENTRIES // n_parameters**2)
    with one_thread():
        for first in range(0, count, size):
            part, rows = metric[first : first + size], slice(first, first + size)
            cosines[rows] = correlation(part).abs()[:, above[0], above[1]].to(cosines.dtype)
            means.append(part.mean().scaled(len(part) / count))
            composition += part.eigenvectors.square().sum(dim=0).mT
            values[rows] = part.singular_values
            lengths[rows] = torch.linalg.vector_norm(part.factor, dim=-2)
            parts_of[rows] = identifiability(part)
            condition[rows], effective[rows], ranks[rows] = part.condition, part.effective_rank(), rank(part)
    medians = torch.eye(n_parameters, dtype=torch.float64)
    medians[above[0], above[1]] = _medians(cosines)
    return Survey(
        singular_values=values,
        lengths=lengths,
        identifiability=parts_of,
        condition=condition,
        effective_rank=effective,
        rank=ranks,
        cosines=torch.maximum(medians, medians.mT),
        composition=composition / count,
        mean=means[0] if len(means) == 1 else _sum(means),
    )


def _sum(metrics: list[RiemannianMetric]) -> RiemannianMetric:
    return RiemannianMetric.from_jacobian(torch.cat([metric.factor for metric in metrics]))


def _medians(values: Tensor) -> Tensor:
    """Return the medians of the columns, some columns at a time: a median copies what it sorts."""
    if not values.shape[1]:
        return torch.empty(0, dtype=torch.float64)
    size = max(1, _ENTRIES // len(values))
    return torch.cat([part.median(dim=0).values for part in values.split(size, dim=1)]).double()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep LAPACK to one thread: on matrices this small, threads cost twenty times what they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
