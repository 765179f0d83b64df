"""Perceptual distance between settings that are far apart: lengths of paths, and shortest paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import whole_number
from pnp.metric.riemannian import RiemannianMetric

Field = Callable[[Tensor], RiemannianMetric]

# Step of the central differences, in units of the cube: the root of what float64 and an interpolated metric
# leave of precision.
_STEP = 1e-5


class Geodesic(NamedTuple):
    """A shortest path between two settings.

    Attributes:
        path: (K, P), points in the unit cube from start to end, equally far apart by the metric.
        length: Its length, the perceptual distance to be travelled between the two.
        straight: Length of the straight line between the two, for comparison.
    """

    path: Tensor
    length: float
    straight: float


def path_length(field: Field, path: Tensor) -> Float[Tensor, ""]:
    """Length of a discretized path, Σ ‖R(m) Δu‖ with the metric at the middle m of each segment.

    The error falls with the square of the segments' lengths.

    Args:
        field: The metric at any points of the cube, from (n, P) to metrics of batch shape (n,): a
            `MetricField`, or one that synthesizes and differentiates.
        path: Points in the unit cube, shape (K, P).

    Returns:
        Length in units of the representation; 0 for a single point.

    Raises:
        ValueError: If `path` does not have shape (K, P) with K of at least 1.

    Examples:
        >>> double = lambda u: RiemannianMetric.from_factor(2 * torch.eye(2).expand(len(u), 2, 2))
        >>> path_length(double, torch.tensor([[0.0, 0.0], [0.0, 0.5], [0.5, 0.5]])).item()
        2.0
    """
    if path.ndim != 2 or not len(path):
        raise ValueError(f"a path must have shape (K, P) with K of at least 1, got {tuple(path.shape)}")
    points = path.to(torch.float64)
    if len(points) == 1:
        return points.new_zeros(())
    return field((points[1:] + points[:-1]) / 2).norm(points.diff(dim=0)).sum()


def geodesic(field: Field, start: Tensor, end: Tensor, segments: int = 16, iterations: int = 200) -> Geodesic:
    """Shortest path between two settings under a metric that changes from point to point.

    Minimizes the energy Σ ‖R(m) Δu‖² of a discretized path by L-BFGS within the cube, with central
    differences of the metric, beginning with the straight line. The minimum found is a local one.

    Args:
        field: As for `path_length`. Each iteration asks for 4 P metrics per segment.
        start: Setting in the unit cube, shape (P,).
        end: Setting in the unit cube, shape (P,).
        segments: Segments of the path.
        iterations: Iterations at most.

    Returns:
        The path and its length, which is never more than that of the straight line.

    Raises:
        ValueError: If `start` and `end` do not have the same shape (P,), leave the cube, or there is no
            segment.

    Source:
        do Carmo, "Riemannian Geometry", 1992, chapter 9: curves of least energy are geodesics.
    """
    from scipy.optimize import minimize

    if start.ndim != 1 or start.shape != end.shape:
        raise ValueError(
            f"start and end must have the same shape (P,), got {tuple(start.shape)} and {tuple(end.shape)}"
        )
    if not bool((torch.stack([start, end]).abs() <= 1).all()):
        raise ValueError("start and end must lie in the unit cube [-1, 1]; scale physical parameters first")
    segments = whole_number("segments", segments, least=1)
    iterations = whole_number("iterations", iterations, least=1)
    weights = torch.linspace(0, 1, segments + 1, dtype=torch.float64)[:, None]
    line = start.to(torch.float64) + weights * (end.to(torch.float64) - start.to(torch.float64))
    line[-1] = end
    straight = float(path_length(field, line))
    if segments == 1 or straight == 0:
        return Geodesic(line, straight, straight)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        path = line.clone()
        path[1:-1] = torch.from_numpy(flat).reshape(segments - 1, -1)
        energy, slope = _energy(field, path)
        # In units of the straight line's, so that the optimizer's tolerances mean something.
        scale = segments / straight**2
        return scale * energy, scale * slope.flatten().numpy()

    inner = line[1:-1].flatten().numpy()
    bounds = [(-1.0, 1.0)] * len(inner)
    found = minimize(
        objective, inner, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": iterations}
    )
    path = line.clone()
    path[1:-1] = torch.from_numpy(found.x).reshape(segments - 1, -1)
    length = float(path_length(field, path))
    return Geodesic(path, length, straight) if length < straight else Geodesic(line, straight, straight)


def _energy(field: Field, path: Tensor) -> tuple[float, Tensor]:
    """Energy of a path, and its derivative with respect to the inner points, (K - 2, P)."""
    middles, steps = (path[1:] + path[:-1]) / 2, path.diff(dim=0)
    n_parameters = path.shape[1]
    metric = field(middles)
    energy = metric.distance_squared(steps).sum()
    # d/dm of the form with the step held fixed, one parameter after the other.
    nudges = _STEP * torch.eye(n_parameters, dtype=path.dtype)
    shifted = torch.cat([(middles + sign * nudge) for sign in (1, -1) for nudge in nudges])
    # The metric ends with the cube.
    inside = shifted.clamp(-1, 1)
    forms = field(inside).distance_squared(steps.repeat(2 * n_parameters, 1))
    forms = forms.reshape(2, n_parameters, -1)
    width = (inside.reshape(2, n_parameters, *middles.shape).diff(dim=0)[0].abs()).sum(dim=-1)
    by_middle = ((forms[0] - forms[1]) / width).mT
    by_step = 2 * (metric.matrix @ steps[..., None]).squeeze(-1)
    slope = (by_step + by_middle / 2)[:-1] + (by_middle / 2 - by_step)[1:]
    return float(energy), slope
