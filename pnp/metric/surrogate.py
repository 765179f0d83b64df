"""Perceptual distance between far-apart parameters, from the features and Jacobians that a cache keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import check_cache, shown, whole_number
from pnp._torch.dtypes import floating_type
from pnp._torch.modes import KeepingModule, full_precision
from pnp.metric.blending import count_neighbours, franke_little
from pnp.metric.checks import rows_in_words
from pnp.metric.factor import saturation
from pnp.metric.reach import ceiling_of_reach
from pnp.metric.riemannian import RiemannianMetric

if TYPE_CHECKING:
    from pnp._protocols import CacheLike

# Directions that are kept if no rank is asked for, beyond those wanted for random projections to find these well, and
# sounds that the directions are taken from.
_MOST_DIRECTIONS, _OVERSAMPLED, _MOST_FOR_BASIS = 128, 16, 1024


class DistanceSurrogate(KeepingModule):
    """Features at any point of the cube by blended first-order expansions, and distances between them.

    PNP loss expands Φ∘g once, around the true sound, and believes the expansion however far the prediction is. Here

        Φ̃(v) = Σᵢ wᵢ(v) (Sᵢ + Jᵢ (v − uᵢ)),        d̃(û, u)² = ‖Φ̃(û) − Φ̃(u)‖²,

    with the sum over the points of the cache nearest to v, and Franke and Little's weights wᵢ ∝ ((r − dᵢ)₊ / (r dᵢ))²,
    r being the distance of the first point left out. Φ̃ interpolates features and their derivatives at the points of
    the cache, so that the distance agrees with the quadratic form near them; far away it follows the sound where the
    quadratic form goes on along its tangent.

    Features are compressed before they are kept: differences of Φ̃ lie close to the span of the differences of the Sᵢ
    and the columns of the Jᵢ, of which the leading `rank` principal directions are kept. Distances in that span can
    only be shorter than those in all features.

    Where slopes are steep and soon over, as those of a drum, whose partials interfere, the expansions err by more than
    sounds differ; the Jᵢ want to be held down first, which `from_cache` does for a given reach.

    Args:
        u: Points of the cache in the unit cube, shape (n, P).
        features: Features S of their sounds, shape (n, C).
        jacobian: Their Jacobians J, shape (n, C, P).
        rank: Dimensions that are kept, at most C. None: as many as hold 1 − 1e-4 of the squared size, and no more than
            128.
        neighbours: Points that are blended. Default: 2P + 2, enough to surround a point, or as many as there are.
        dtype: In which features and Jacobians are kept.

    Raises:
        ValueError: If shapes do not fit, values are not finite, an option is outside its range, or there are too few
            points.

    Examples:
        >>> u = torch.linspace(-1, 1, 9).unsqueeze(1)
        >>> surrogate = DistanceSurrogate(u, u**2, 2 * u.unsqueeze(1), neighbours=2)
        >>> surrogate.distance(torch.tensor([[0.9]]), torch.tensor([[-0.4]])).round(decimals=1)
        tensor([0.6000])

    Source:
        Blending of local Taylor expansions by inverse distances: Franke, Nielson, "Smooth interpolation of large sets
        of scattered data", Int. J. Numer. Meth. Eng. 1980.
    """

    u: Tensor
    features: Tensor
    jacobian: Tensor

    def __init__(
        self,
        u: Tensor,
        features: Tensor,
        jacobian: Tensor,
        *,
        rank: int | None = None,
        neighbours: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        for name, given in (("Points", u), ("Features", features), ("Jacobians", jacobian)):
            if not isinstance(given, Tensor):
                raise TypeError(f"{name} must be a tensor, got {shown(given)}")
        dtype = floating_type("dtype", dtype)
        n_points, n_parameters = u.shape if u.ndim == 2 else (0, 0)
        if features.ndim != 2 or features.shape[0] != n_points or not n_points:
            raise ValueError(
                f"Points and features must have shapes (n, P) and (n, C); got {tuple(u.shape)} and "
                f"{tuple(features.shape)}."
            )
        if jacobian.shape != (*features.shape, n_parameters):
            raise ValueError(
                f"Jacobians must have shape (n, C, P) = {(*features.shape, n_parameters)}; got {tuple(jacobian.shape)}."
            )
        for name, given in (("Points", u), ("Features", features), ("Jacobians", jacobian)):
            bad = ~torch.isfinite(given).flatten(1).all(-1)
            if bad.any():
                raise ValueError(
                    f"{name} must be finite; found NaN or infinite values {rows_in_words(bad)}. Likely cause: sounds "
                    "that failed in precomputation; `cache.ok` marks those to keep."
                )
        if n_points < 2:
            raise ValueError(f"A surrogate blends at least 2 points; got {n_points}.")
        self.neighbours = count_neighbours(neighbours, n_parameters, n_points)
        if rank is not None:
            rank = whole_number("rank", rank, least=1, most=features.shape[1])
        basis = _principal_directions(features, jacobian, rank)
        self.register_buffer("u", u.to(dtype))
        # Only differences count: an offset common to all sounds would cost digits.
        self.register_buffer("features", ((features.double() - features.double().mean(0)) @ basis).to(dtype))
        self.register_buffer("jacobian", torch.einsum("ncp,ck->nkp", jacobian.double(), basis).to(dtype))

    @classmethod
    def from_cache(
        cls,
        cache: CacheLike,
        *,
        fold: str | None = "train",
        rank: int | None = None,
        neighbours: int | None = None,
        reach: float | None = 1.0,
    ) -> DistanceSurrogate:
        """Surrogate through the sounds of a cache that keeps features and Jacobians.

        Args:
            cache: Open metric cache.
            fold: Fold whose sounds are used; None for all.
            rank: As for the class.
            neighbours: As for the class.
            reach: Size r of the differences for which the expansions are to stand, in units of the cube: about the
                distance between neighbours (`docs/evidence/beyond-the-cache.md`). Singular values σ of every J become
                σ√(κ/(κ + σ²)), whose squares are the eigenvalues of `RiemannianMetric.saturated`, with κ as in
                `ceiling_of_reach`. None leaves them as they are.

        Returns:
            The surrogate, on the CPU.

        Raises:
            CacheError: If the cache does not keep features and Jacobians.
            ValueError: If there are too few sounds, or the reach is not finite and positive.
        """
        check_cache(cache)
        rows = cache.rows(fold)
        jacobian = cache.jacobian(rows)
        if reach is not None:
            jacobian = _saturated(jacobian, ceiling_of_reach(cache, reach))
        return cls(cache.u[rows], cache.features(rows), jacobian, rank=rank, neighbours=neighbours)

    @property
    def rank(self) -> int:
        """Dimensions that are kept."""
        return self.features.shape[1]

    def forward(self, u: Tensor) -> Float[Tensor, "B K"]:
        """Φ̃ at any points, up to a rotation and an offset common to all; differentiable.

        Args:
            u: Points in units of the cube, shape (B, P).

        Returns:
            Features in the basis that is kept, shape (B, K).

        Raises:
            ValueError: If `u` does not have shape (B, P).
        """
        if u.ndim != 2 or u.shape[1] != self.u.shape[1]:
            raise ValueError(f"Points must have shape (B, {self.u.shape[1]}); got {tuple(u.shape)}.")
        query = u.to(self.u.dtype)
        with torch.no_grad():
            places = torch.cdist(query, self.u).topk(self.neighbours + 1, largest=False).indices
        offset = query.unsqueeze(1) - self.u[places]
        # The derivative of a root at 0 is infinite; this far, a point has all the weight there is.
        nearest = offset.square().sum(-1).clamp(min=torch.finfo(offset.dtype).eps ** 2).sqrt()
        weights = franke_little(nearest)
        inner = places[:, :-1]
        with full_precision(query):
            steps = torch.einsum("bmkp,bmp->bmk", self.jacobian[inner], offset[:, :-1])
            return torch.einsum("bm,bmk->bk", weights, self.features[inner] + steps)

    def distance(self, u_hat: Tensor, u: Tensor) -> Float[Tensor, " B"]:
        """Estimate of the distance ‖Φ(g(û)) − Φ(g(u))‖; symmetric, and 0 for equal parameters.

        Args:
            u_hat: Parameters û in units of the cube, shape (B, P).
            u: Parameters u, shape (B, P).

        Returns:
            Distances, shape (B,).
        """
        distance: Tensor = torch.linalg.vector_norm(self(u_hat) - self(u), dim=-1)
        return distance


def _saturated(jacobian: Tensor, ceiling: float) -> Tensor:
    """J with the singular values whose squares are the eigenvalues of the saturated metric JᵀJ."""
    metric = RiemannianMetric.from_jacobian(jacobian)
    # J = Σ u σ vᵀ; scaling along the v alone needs no u, of which there are as many as features.
    v, gain = metric.eigenvectors, saturation(metric.singular_values, ceiling)
    return jacobian @ ((v * gain.unsqueeze(-2)) @ v.mT).to(jacobian.dtype)


def _principal_directions(features: Tensor, jacobian: Tensor, rank: int | None) -> Tensor:
    """Orthonormal basis (C, K), float64, of what differences of features are made of."""
    # A step of unit length in every parameter, beside the sounds themselves; not of all, where there are very many.
    kept = slice(None, None, max(1, len(features) // _MOST_FOR_BASIS))
    centred = features[kept] - features[kept].mean(0)
    spanning = torch.cat([centred, jacobian[kept].mT.flatten(0, 1)]).double()
    limit = min(spanning.shape)
    wanted = min(_MOST_DIRECTIONS, limit) if rank is None else rank
    if 4 * wanted < limit:
        # Of many dimensions few are wanted: by random projections, in a hundredth of the time.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            _, sigma, basis = torch.svd_lowrank(spanning, q=wanted + _OVERSAMPLED)
    else:
        sigma, basis = _right_singular(spanning)
    if rank is None:
        held = sigma[:wanted].square().cumsum(0) / spanning.square().sum()
        wanted = min(int((held < 1 - 1e-4).sum()) + 1, wanted)
    return basis[:, :wanted]


def _right_singular(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """All singular values, descending, and right singular vectors of a matrix with many rows, by way of its square."""
    values, vectors = torch.linalg.eigh(matrix.mT @ matrix)
    return values.clamp(min=0).sqrt().flip(0), vectors.flip(1)
