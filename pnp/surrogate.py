"""Perceptual distance between far-apart parameters, from the features and Jacobians that a cache keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

if TYPE_CHECKING:
    from pnp.store import MetricCache


class DistanceSurrogate(nn.Module):
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

    Args:
        u: Points of the cache in the unit cube, shape (n, P).
        features: Features S of their sounds, shape (n, C).
        jacobian: Their Jacobians J, shape (n, C, P).
        rank: Dimensions that are kept, at most C. None: as many as hold 1 − 1e-4 of the squared size.
        neighbours: Points that are blended. Default: 2P + 2, enough to surround a point.
        dtype: In which features and Jacobians are kept.

    Raises:
        ValueError: If shapes do not fit, an option is outside its range, or there are too few points.

    Example:
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
        self.neighbours = 2 * n_parameters + 2 if neighbours is None else neighbours
        if not 1 <= self.neighbours < n_points:
            raise ValueError(
                f"Neighbours must be at least 1 and fewer than the {n_points} points; got {self.neighbours}."
            )
        if rank is not None and not 1 <= rank <= features.shape[1]:
            raise ValueError(
                f"Rank must be from 1 to the number of features, {features.shape[1]}; got {rank}."
            )
        basis = _principal_directions(features.double(), jacobian.double(), rank)
        self.register_buffer("u", u.to(dtype))
        # Only differences count: an offset common to all sounds would cost digits.
        self.register_buffer("features", ((features.double() - features.double().mean(0)) @ basis).to(dtype))
        self.register_buffer("jacobian", torch.einsum("ncp,ck->nkp", jacobian.double(), basis).to(dtype))

    @classmethod
    def from_cache(
        cls,
        cache: MetricCache,
        *,
        fold: str | None = "train",
        rank: int | None = None,
        neighbours: int | None = None,
    ) -> DistanceSurrogate:
        """Surrogate through the sounds of a cache that keeps features and Jacobians.

        Args:
            cache: Open metric cache.
            fold: Fold whose sounds are used; None for all.
            rank: As for the class.
            neighbours: As for the class.

        Returns:
            The surrogate, on the CPU.

        Raises:
            CacheError: If the cache does not keep features and Jacobians.
            ValueError: If there are too few sounds.
        """
        rows = cache.rows(fold)
        return cls(
            cache.u[rows], cache.features(rows), cache.jacobian(rows), rank=rank, neighbours=neighbours
        )

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
        weights = _franke_little(offset)
        inner = places[:, :-1]
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


def _franke_little(offset: Tensor) -> Tensor:
    """Weights of all but the farthest of the points, shape (B, m), from offsets to m + 1 of them in ascending order."""
    squared = offset.square().sum(-1)
    # The derivative of a root at 0 is infinite; this far, a point has all the weight there is.
    nearest = squared.clamp(min=torch.finfo(offset.dtype).eps ** 2).sqrt()
    radius, inside = nearest[:, -1:], nearest[:, :-1]
    raw = ((radius - inside) / (radius * inside)).square()
    # Where all are as far as the one left out, they count alike.
    raw = torch.where(raw.sum(-1, keepdim=True) == 0, torch.ones_like(raw), raw)
    return raw / raw.sum(-1, keepdim=True)


def _principal_directions(features: Tensor, jacobian: Tensor, rank: int | None) -> Tensor:
    """Orthonormal basis (C, K) of what differences of features are made of."""
    centred = features - features.mean(0)
    # A step of unit length in every parameter, beside the sounds themselves.
    scatter = centred.T @ centred + torch.einsum("ncp,ndp->cd", jacobian, jacobian)
    values, vectors = torch.linalg.eigh(scatter)
    if rank is None:
        held = values.flip(0).clamp(min=0).cumsum(0) / values.clamp(min=0).sum()
        rank = min(int((held < 1 - 1e-4).sum()) + 1, len(values))
    basis: Tensor = vectors[:, -rank:]
    return basis
