"""The metric at any point of the parameter cube, interpolated between the sounds of a cache.

Positive definite matrices are interpolated through their logarithms, which form a flat space: a weighted mean
of logarithms is a logarithm, so every interpolated metric is positive definite, and its determinant lies
between those of its neighbours, where a mean of the matrices themselves would swell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import check_cache, shown
from pnp.metric.blending import count_neighbours, franke_little
from pnp.metric.riemannian import RiemannianMetric

if TYPE_CHECKING:
    from pnp._protocols import CacheLike

METHODS = ("rbf", "shepard", "nearest")

# The solve for radial basis functions takes n² numbers and n³ operations: half a gigabyte and some seconds
# here.
_MOST_RBF = 8192
# Points nearer than this are the same one up to rounding: the cube's side is 2.
_COINCIDING = 1e-12
# Extent across a plane, relative to that along it, that rounding of the points to float32 may give them.
_FLAT = 1e-6
# Errors of a spline on its own points, in log M: a tenth of a percent, far less than between them.
_INEXACT = 1e-3


class MetricField:
    """Metric M(u) on the whole cube from its values at n points, by log-Euclidean interpolation.

    The logarithm is interpolated entry by entry, log M(u) = Σᵢ wᵢ(u) log Mᵢ, with weights that sum to 1:

    - `"rbf"`: polyharmonic splines, φ(r) = r³ and a linear trend: smooth, and the most accurate of the three
      where the metric is;
    - `"shepard"`: Franke and Little's, wᵢ ∝ ((r − dᵢ)₊ / (r dᵢ))² over the nearest neighbours, with r the
      distance of the one that is just left out: continuous, local, never beyond the range of the data;
    - `"nearest"`: the metric of the nearest point.

    All are exact at the points themselves, and no eigenvalue leaves the range of those at the points.
    Eigenvalues below ε² times the largest, which QR in float64 cannot tell from 0, count as that: the
    logarithm of 0 would forbid any interpolation.

    Args:
        metric: Metrics at n points; those without one are left out.
        u: The points in the unit cube, shape (n, P).
        method: Kind of interpolation.
        neighbours: Number of points that the `"shepard"` weights look at.

    Raises:
        ValueError: If shapes do not fit, the method is unknown, no point has a metric, points are not finite,
            two of them coincide, or there are too many or too few for the method; for `"rbf"` also if all of them
            lie in a plane, or some are too close to each other for metrics as different as theirs.

    Examples:
        >>> metric = RiemannianMetric.from_factor(torch.tensor([[[1.0]], [[10.0]]]))
        >>> field = MetricField(metric, torch.tensor([[-1.0], [1.0]]))
        >>> field(torch.tensor([[-1.0], [0.0], [1.0]])).matrix.flatten()
        tensor([  1.0000,  10.0000, 100.0000], dtype=torch.float64)

    Source:
        Arsigny, Fillard, Pennec, Ayache, "Log-Euclidean metrics for fast and simple calculus on diffusion
        tensors", Magn. Reson. Med. 2006; Franke, Nielson, "Smooth interpolation of large sets of scattered
        data", Int. J. Numer. Meth. Eng. 1980; Duchon, "Splines minimizing rotation-invariant semi-norms in
        Sobolev spaces", 1977.
    """

    def __init__(
        self, metric: RiemannianMetric, u: Tensor, *, method: str = "rbf", neighbours: int | None = None
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"Interpolation must be one of {', '.join(METHODS)}; got {method!r}.")
        if not isinstance(metric, RiemannianMetric) or not isinstance(u, Tensor):
            raise TypeError(
                f"A metric field takes a RiemannianMetric and a tensor of points, got {shown(metric)} and {shown(u)}"
            )
        if u.shape != (*metric.batch_shape, metric.n_parameters) or u.ndim != 2:
            raise ValueError(
                f"Points must have shape (n, P), one for each metric; got {tuple(u.shape)} and metrics of "
                f"shape {tuple(metric.factor.shape)}."
            )
        self.points = u.to(torch.float64)[metric.valid]
        n_points, n_parameters = self.points.shape
        if not n_points:
            raise ValueError(f"A metric field needs a point that has a metric; none of {len(u)} has.")
        if not torch.isfinite(self.points).all():
            raise ValueError("Points must be finite; got NaN or infinite values.")
        first, second, distance = _closest(self.points)
        if distance <= _COINCIDING:
            raise ValueError(
                f"A metric field needs distinct points; rows {first} and {second} of those with a metric coincide. "
                "Likely cause: a design that holds a point twice."
            )
        self.method = method
        self.neighbours = count_neighbours(neighbours, n_parameters, n_points)
        self.logarithms = _logarithm(metric[metric.valid])
        # Of all eigenvalues at the points; those in between keep within it.
        eigenvalues = torch.linalg.eigvalsh(self.logarithms)
        self._range = (float(eigenvalues.min()), float(eigenvalues.max()))
        if method == "shepard" and self.neighbours < 1:
            raise ValueError("Shepard interpolation needs at least 2 points and 1 neighbour; use 'nearest'.")
        if method == "rbf":
            self._coefficients = self._solve()

    @classmethod
    def from_cache(
        cls,
        cache: CacheLike,
        *,
        fold: str | None = "train",
        method: str = "rbf",
        neighbours: int | None = None,
    ) -> MetricField:
        """Field through the sounds of a cache.

        Args:
            cache: Open metric cache.
            fold: Fold whose sounds are used; None for all.
            method: Kind of interpolation.
            neighbours: As for the class.

        Returns:
            The field, on the CPU.
        """
        check_cache(cache)
        rows = cache.rows(fold)
        return cls(cache.metrics()[rows], cache.u[rows], method=method, neighbours=neighbours)

    def __call__(self, u: Tensor) -> RiemannianMetric:
        """Metric at any points.

        No gradient passes through: a metric is what a loss measures with, not what it changes.

        Args:
            u: Points in units of the cube, shape (B, P).

        Returns:
            Metrics with batch shape (B,), on the device of `u`.

        Raises:
            ValueError: If `u` does not have shape (B, P) or is not finite.
        """
        n_parameters = self.points.shape[-1]
        if u.ndim != 2 or u.shape[-1] != n_parameters:
            raise ValueError(f"Points must have shape (B, {n_parameters}); got {tuple(u.shape)}.")
        query = u.detach().to(self.points)
        if not torch.isfinite(query).all():
            raise ValueError("Points must be finite; got NaN or infinite values.")
        distances = torch.cdist(query, self.points, compute_mode="donot_use_mm_for_euclid_dist")
        if self.method == "nearest":
            logarithms = self.logarithms[distances.argmin(-1)]
        elif self.method == "shepard":
            logarithms = self._shepard(distances)
        else:
            logarithms = self._rbf(query, distances)
        return self._exponential(logarithms).to(u.device)

    def midpoint(self, u_hat: Tensor, u: Tensor) -> RiemannianMetric:
        """Metric half-way between prediction and truth, M((û + u) / 2).

        The quadratic form with it is symmetric in û and u, and agrees with perceptual distance to one order
        more in û − u than the form with M(u).

        Args:
            u_hat: Predictions û, shape (B, P).
            u: True parameters, shape (B, P).

        Returns:
            Metrics with batch shape (B,).
        """
        return self((u_hat + u) / 2)

    def _exponential(self, logarithms: Tensor) -> RiemannianMetric:
        values, vectors = torch.linalg.eigh(logarithms)
        # A spline overshoots where the metric turns quickly, and exponentials of that are out of all
        # proportion.
        values = values.clamp(*self._range)
        # The factor comes from half the logarithm, so that nothing is squared.
        return RiemannianMetric.from_factor((values / 2).exp().unsqueeze(-1) * vectors.mT)

    def _shepard(self, distances: Tensor) -> Tensor:
        nearest, places = distances.topk(self.neighbours + 1, largest=False)
        return torch.einsum("bk,bkpq->bpq", franke_little(nearest), self.logarithms[places[:, :-1]])

    def _solve(self) -> Tensor:
        """Coefficients of the spline, shape (n + P + 1, P²)."""
        n_points, n_parameters = self.points.shape
        if not n_parameters < n_points <= _MOST_RBF:
            raise ValueError(
                f"Interpolation by radial basis functions takes more than P = {n_parameters} and at most "
                f"{_MOST_RBF} points; got {n_points}. Use 'shepard'."
            )
        extents = torch.linalg.svdvals(self.points - self.points.mean(0))
        if extents[-1] <= _FLAT * extents[0]:
            raise ValueError(
                "Interpolation by radial basis functions needs points that are not all in one plane; those given have "
                f"a thickness of {float(extents[-1] / extents[0]):.2g} times their extent, and what lies beside them "
                "would be made up. Use 'shepard', or leave out the parameter that does not vary."
            )
        distances = torch.cdist(self.points, self.points, compute_mode="donot_use_mm_for_euclid_dist")
        trend = self._trend(self.points)
        system = torch.zeros(n_points + n_parameters + 1, n_points + n_parameters + 1, dtype=torch.float64)
        system[:n_points, :n_points] = distances**3
        system[:n_points, n_points:] = trend
        system[n_points:, :n_points] = trend.T
        values = torch.zeros(len(system), n_parameters**2, dtype=torch.float64)
        values[:n_points] = self.logarithms.flatten(1)
        # Without a check: where the system is singular, the error below is NaN or infinite.
        coefficients: Tensor = torch.linalg.solve_ex(system, values).result
        error = float((system[:n_points] @ coefficients - values[:n_points]).abs().max())
        if not error <= _INEXACT:
            first, second, distance = _closest(self.points)
            raise ValueError(
                "Interpolation by radial basis functions cannot follow metrics that differ between points as close "
                f"as rows {first} and {second} of those with a metric, {distance:.2g} apart; log M comes out wrong by "
                f"{error:.2g} there. Use 'shepard', or leave one of them out."
            )
        return coefficients

    def _rbf(self, query: Tensor, distances: Tensor) -> Tensor:
        basis = torch.cat([distances**3, self._trend(query)], dim=-1)
        logarithms = torch.matmul(basis, self._coefficients).reshape(-1, *self.logarithms.shape[1:])
        return logarithms.add(logarithms.mT).div(2)

    @staticmethod
    def _trend(u: Tensor) -> Tensor:
        return torch.cat([torch.ones_like(u[:, :1]), u], dim=-1)


@dataclass(frozen=True)
class FieldErrors:
    """Errors of an interpolated metric at points that it did not see, medians over points.

    Attributes:
        method: Kind of interpolation.
        n_points: Points that it was interpolated from.
        n_held_out: Points of the comparison.
        frobenius: ‖M̂ − M‖ / ‖M‖ in Frobenius norm: what large eigenvalues decide.
        form: |ΔuᵀM̂Δu / ΔuᵀMΔu − 1| over random directions Δu: what a loss sees.
        affine_invariant: √Σ log² λ(M⁻¹M̂) / P, the geodesic distance as a mean over directions: what all
            eigenvalues decide alike. Infinite where M is singular.
    """

    method: str
    n_points: int
    n_held_out: int
    frobenius: float
    form: float
    affine_invariant: float


def field_errors(field: MetricField, metric: RiemannianMetric, u: Tensor, *, seed: int = 0) -> FieldErrors:
    """Compare a field with the true metric at held-out points.

    Args:
        field: Interpolated metric.
        metric: True metrics at n points.
        u: The points, shape (n, P).
        seed: Seed of the random directions.

    Returns:
        Median errors.
    """
    metric, u = metric[metric.valid], u[metric.valid]
    estimate = field(u)
    difference = torch.linalg.matrix_norm(estimate.matrix - metric.matrix)
    directions = torch.randn(32, *u.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ratio = estimate.distance_squared(directions) / metric.distance_squared(directions)
    # λ(M⁻¹M̂) are the squared singular values of R̂R⁻¹; triangular solves, as good as R is.
    singular = torch.isinf(metric.condition)
    safe = torch.where(singular[:, None, None], torch.eye(u.shape[-1], dtype=torch.float64), metric.factor)
    relative = torch.linalg.solve_triangular(safe, estimate.factor, upper=True, left=False)
    logarithms = 2 * torch.linalg.svdvals(relative).log()
    geodesic = torch.linalg.vector_norm(logarithms, dim=-1) / math.sqrt(u.shape[-1])
    return FieldErrors(
        method=field.method,
        n_points=len(field.points),
        n_held_out=len(u),
        frobenius=float((difference / torch.linalg.matrix_norm(metric.matrix)).median()),
        form=float((ratio - 1).abs().median()),
        affine_invariant=float(torch.where(singular, math.inf, geodesic).median()),
    )


def _closest(points: Tensor) -> tuple[int, int, float]:
    """The two points that are closest to each other, and their distance; infinite for a single point."""
    if len(points) < 2:
        return 0, 0, math.inf
    from scipy.spatial import KDTree

    # A tree takes memory for n numbers, where all distances would take n².
    found = points.cpu().numpy()
    distances, places = KDTree(found).query(found, k=2)
    first = int(distances[:, 1].argmin())
    # Of two that coincide, either may be the nearest to both.
    second = int(places[first, 1] if places[first, 1] != first else places[first, 0])
    return min(first, second), max(first, second), float(distances[first, 1])


def _logarithm(metric: RiemannianMetric) -> Float[Tensor, "n P P"]:
    """Matrix logarithm of M from the singular values of R."""
    sigma = metric.singular_values
    eps = torch.finfo(sigma.dtype).eps
    if (sigma[:, 0] == 0).any():
        raise ValueError("A metric that is zero has no logarithm to interpolate; leave silent sounds out.")
    logarithms = 2 * torch.maximum(sigma, eps * sigma[:, :1]).log()
    vectors = metric.eigenvectors
    return (vectors * logarithms.unsqueeze(-2)) @ vectors.mT
