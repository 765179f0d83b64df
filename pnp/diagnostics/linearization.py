"""Error of the quadratic form: distances that it predicts, beside distances between true features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp._arguments import finite_numbers, whole_number
from pnp._torch.dtypes import floating_type
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters.values import rounded

# Sounds that are synthesized and analysed in one go.
_BATCH = 32


class LinearizationError(NamedTuple):
    """Distances around B sounds, at K radii in D directions each.

    Attributes:
        radii: (K,), lengths of the steps in the unit cube, ascending.
        predicted: (B, K, D), ‖R Δu‖, what the metric says of each step.
        actual: (B, K, D), ‖Φ(u + Δu) − Φ(u)‖, what the features say.
    """

    radii: Tensor
    predicted: Tensor
    actual: Tensor

    @property
    def relative(self) -> Float[Tensor, "B K D"]:
        """|predicted − actual| / max(predicted, actual), from 0, exact, to 1, worthless; 0 where both are 0."""
        larger = torch.maximum(self.predicted, self.actual)
        difference = (self.predicted - self.actual).abs()
        return torch.where(larger == 0, 0.0, difference / larger)

    def trusted_radius(self, tolerance: float = 0.2) -> Float[Tensor, " B"]:
        """Largest radius up to which the median error over the directions keeps within a tolerance.

        Args:
            tolerance: Relative error.

        Returns:
            One radius per sound, 0 if even the smallest one fails, NaN for a sound without a metric.
        """
        median = self.relative.nanmedian(dim=-1).values
        steps = (median <= tolerance).cumprod(dim=-1).sum(dim=-1)
        radius = torch.cat([self.radii.new_zeros(1), self.radii])[steps]
        return radius.masked_fill(median[:, 0].isnan(), math.nan)


@torch.no_grad()
def linearization_error(
    synth: nn.Module,
    features: nn.Module,
    u: Tensor,
    metric: RiemannianMetric,
    radii: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    directions: int = 8,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> LinearizationError:
    """Compare the distances that the metric predicts with those between true features.

    Directions are drawn uniformly; a component along which the longest step would leave the cube is turned
    around, so that every step is a sound that can be made.

    Args:
        synth: Synthesizer, from physical parameters (B, P) to sounds.
        features: Feature map, from sounds to features (B, ...).
        u: Positions of B sounds in the unit cube, shape (B, P).
        metric: Their metrics.
        radii: Lengths of the steps in the unit cube, whose side is 2; at most 1.
        directions: Directions D around each sound.
        seed: Seed of the directions.
        dtype: Type of the computation. In float32, rounding shows in steps below about 1e-3.

    Returns:
        Both distances for every step; NaN around a sound without a metric.

    Raises:
        ValueError: If shapes do not fit, a radius is outside (0, 1], or there is no direction.
    """
    # The half side of the cube is 1.
    lengths = torch.tensor(sorted(finite_numbers("radii", radii, above=0, most=1)), dtype=torch.float64)
    directions = whole_number("directions", directions, least=1)
    seed = whole_number("seed", seed, least=-(2**63), most=2**63 - 1)
    dtype = floating_type("dtype", dtype)
    if u.ndim != 2 or tuple(u.shape) != (len(metric), metric.n_parameters):
        raise ValueError(
            f"expected positions u of shape ({len(metric)}, {metric.n_parameters}), one row per metric, got "
            f"{tuple(u.shape)}"
        )
    centres = u.to(torch.float64)
    generator = torch.Generator().manual_seed(seed)
    rays = torch.randn(len(u), directions, u.shape[1], generator=generator, dtype=torch.float64)
    rays = rays / torch.linalg.vector_norm(rays, dim=-1, keepdim=True)
    leaves = (centres[:, None] + lengths[-1] * rays).abs() > 1
    rays = torch.where(leaves, -rays, rays)
    steps = lengths[:, None, None] * rays[:, None]  # (B, K, D, P)
    predicted = metric.norm(steps.movedim(0, -2)).movedim(-1, 0) if len(u) else steps[..., 0]
    actual = torch.full_like(predicted, math.nan)
    for b in metric.valid.nonzero().flatten().tolist():
        around = (centres[b] + steps[b]).clamp(-1, 1).reshape(-1, u.shape[1])
        values = analyse(synth, features, torch.cat([centres[b : b + 1], around]), dtype)
        actual[b] = torch.linalg.vector_norm(values[1:] - values[0], dim=-1).reshape(actual[b].shape)
    return LinearizationError(lengths, predicted, actual)


def analyse(synth: nn.Module, features: nn.Module, u: Tensor, dtype: torch.dtype) -> Float[Tensor, "B C"]:
    """True features at points of the cube.

    Args:
        synth: Synthesizer.
        features: Feature map.
        u: Points in the unit cube, shape (B, P).
        dtype: Type of the computation.

    Returns:
        Features in float64, shape (B, C).
    """
    space: Any = synth.space
    parts = [
        features(synth(rounded(space, space.from_unit(part.to(dtype))))).flatten(1)
        for part in u.split(_BATCH)
    ]
    return torch.cat(parts).to(torch.float64)
