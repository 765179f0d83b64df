"""Riemannian metric of perceptual distance on the unit cube of parameters, kept as a triangular factor.

A metric M = JᵀJ is stored as the R of J = QR. Everything is derived from R: quadratic forms as ‖R Δu‖², which
cannot be negative; the spectrum as squared singular values of R, which resolves eigenvalues down to ε² of the
largest where a spectrum taken from M stops at ε; damping as the QR of stacked factors. No inverse of M is
formed anywhere.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from pnp._arguments import finite_number
from pnp._torch.modes import kept, ordinary
from pnp.metric.checks import as_float64, rows_in_words, square
from pnp.metric.factor import saturation, triangular, with_missing

DAMPING_KINDS = ("identity", "diagonal", "mean")


class RiemannianMetric:
    """Metric tensors M = RᵀR at a batch of points of the parameter cube.

    Build one with `from_jacobian`, `from_factor` or `from_matrix`. All arithmetic is in float64: the
    eigenvalues of a perceptual metric span twenty decades, and float32 keeps seven of them.

    A matrix of nothing but NaN stands for a point without a metric (a sound that failed). It is marked in
    `valid`, its spectrum is NaN, and `mean` leaves it out.

    Args:
        factor: Upper-triangular R, shape (*batch, P, P), with non-negative diagonal.

    Examples:
        >>> import torch
        >>> metric = RiemannianMetric.from_jacobian(torch.tensor([[[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]))
        >>> metric.eigenvalues
        tensor([[9., 4.]], dtype=torch.float64)
        >>> metric.distance_squared(torch.tensor([[1.0, 1.0]]))
        tensor([13.], dtype=torch.float64)

    Source:
        Han, Lostanlen, Lagrange, "Perceptual-Neural-Physical Sound Matching", ICASSP 2023, eq. 5.
    """

    factor: Tensor

    def __init__(self, factor: Shaped[Tensor, "*batch P P"]) -> None:
        self.factor = kept(factor)

    # -- construction ----------------------------------------------------------------------------------------

    @classmethod
    def from_jacobian(cls, jacobian: Tensor) -> RiemannianMetric:
        """Metric M = JᵀJ of a Jacobian, by QR in float64.

        Args:
            jacobian: J = ∂Φ/∂u, shape (*batch, C, P). C may be smaller than P; M is then singular.

        Returns:
            Metric with batch shape (*batch).

        Raises:
            TypeError: If `jacobian` is not a real floating-point tensor.
            ValueError: If it has fewer than two axes, or holds NaN or infinite values.
        """
        jacobian = as_float64("Jacobian", jacobian, "(..., C, P)")
        bad = ~torch.isfinite(jacobian).all(-1).all(-1)
        if bad.any():
            raise ValueError(
                f"Jacobian must be finite; found NaN or infinite values {rows_in_words(bad)}. Likely cause: a "
                "synthesizer or feature map whose derivative does not exist at that point (silence, a square "
                "root or modulus at 0)."
            )
        return cls(triangular(jacobian))

    @classmethod
    def from_factor(cls, factor: Tensor) -> RiemannianMetric:
        """Metric M = RᵀR of a square factor R, triangular or not.

        Args:
            factor: R, shape (*batch, P, P). A matrix of nothing but NaN marks a point without a metric.

        Returns:
            Metric with batch shape (*batch); its factor is brought to upper-triangular form if it is not in
            it.

        Raises:
            TypeError: If `factor` is not a real floating-point tensor.
            ValueError: If the last two axes differ, or a matrix holds infinite values or some but not only
                NaN.
        """
        factor = square("Metric factor R", factor)
        missing = torch.isnan(factor).all(-1).all(-1)
        bad = ~torch.isfinite(factor).all(-1).all(-1) & ~missing
        if bad.any():
            raise ValueError(
                f"Metric factor R must be finite, or NaN in every entry where there is no metric; found "
                f"other NaN or infinite values {rows_in_words(bad)}."
            )
        if (
            torch.equal(factor.tril(-1).nan_to_num(), torch.zeros_like(factor))
            and not (factor.diagonal(dim1=-2, dim2=-1) < 0).any()
        ):
            return cls(factor)
        return cls(with_missing(missing, triangular(torch.where(missing[..., None, None], 0.0, factor))))

    @classmethod
    def from_matrix(cls, matrix: Tensor, *, rtol: float | None = None) -> RiemannianMetric:
        """Metric from M itself, for metrics that do not come from a Jacobian.

        Prefer `from_jacobian` where J is at hand: M has already lost every eigenvalue below ε times its
        largest.

        Args:
            matrix: Symmetric positive semi-definite M, shape (*batch, P, P).
            rtol: Tolerance of eigenvalues below zero and of an asymmetry of M, relative to
                the largest eigenvalue, before it counts as an error rather than rounding. Default: 10 P ε of
                `matrix`'s dtype.

        Returns:
            Metric with batch shape (*batch); negative eigenvalues within rounding become 0.

        Raises:
            TypeError: If `matrix` is not a real floating-point tensor.
            ValueError: If it is not square, not finite, not symmetric, or has negative eigenvalues beyond
                rounding.
        """
        given, matrix = matrix, square("Metric M", matrix)
        bad = ~torch.isfinite(matrix).all(-1).all(-1)
        if bad.any():
            raise ValueError(f"Metric M must be finite; found NaN or infinite values {rows_in_words(bad)}.")
        if rtol is not None:
            rtol = finite_number("rtol", rtol, least=0)
        else:
            rtol = 10 * matrix.shape[-1] * torch.finfo(given.dtype).eps
        tolerance = rtol * matrix.abs().amax((-2, -1))
        asymmetry = (matrix - matrix.mT).abs().amax((-2, -1))
        if (asymmetry > tolerance).any():
            raise ValueError(f"Metric M must be symmetric; it is not {rows_in_words(asymmetry > tolerance)}.")
        eigenvalues, eigenvectors = torch.linalg.eigh(matrix)
        negative = eigenvalues[..., 0] < -tolerance
        if negative.any():
            raise ValueError(
                f"Metric M must be positive semi-definite; an eigenvalue is {float(eigenvalues.min()):.3g}, "
                f"negative beyond rounding, {rows_in_words(negative)}. Likely cause: M is a difference of metrics "
                "or was rounded to lower precision."
            )
        root = eigenvalues.clamp(min=0).sqrt().unsqueeze(-1) * eigenvectors.mT
        return cls(triangular(root))

    # -- container -------------------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of the batch of points."""
        return self.factor.shape[:-2]

    @property
    def n_parameters(self) -> int:
        """Number of parameters P."""
        return self.factor.shape[-1]

    @cached_property
    @ordinary()
    def valid(self) -> Bool[Tensor, "*batch"]:
        """True where there is a metric, shape (*batch)."""
        return ~torch.isnan(self.factor[..., 0, 0])

    def __len__(self) -> int:
        if not self.batch_shape:
            raise TypeError("A metric at a single point has no length; its batch shape is ().")
        return self.batch_shape[0]

    def __getitem__(self, key: Any) -> RiemannianMetric:
        """Metric at the points that `key` selects from the batch (integer, slice, mask or index tensor)."""
        if not self.batch_shape:
            raise TypeError("A metric at a single point cannot be indexed; its batch shape is ().")
        if isinstance(key, int) and not -len(self) <= key < len(self):
            raise IndexError(f"Point {key} is out of range for a metric at {len(self)} points.")
        selected = self.factor[key]
        if selected.shape[-2:] != self.factor.shape[-2:]:
            raise IndexError(f"Index {key!r} has more axes than the batch shape {tuple(self.batch_shape)}.")
        return type(self)(selected)

    def __repr__(self) -> str:
        missing = int((~self.valid).sum())
        note = f", missing={missing}" if missing else ""
        return f"{type(self).__name__}(batch_shape={tuple(self.batch_shape)}, P={self.n_parameters}{note})"

    def to(self, device: torch.device | str) -> RiemannianMetric:
        """The same metric on another device."""
        return type(self)(self.factor.to(device))

    # -- what a metric is ------------------------------------------------------------------------------------

    @cached_property
    @ordinary()
    def matrix(self) -> Float[Tensor, "*batch P P"]:
        """M = RᵀR, symmetric positive semi-definite, shape (*batch, P, P)."""
        return self.factor.mT @ self.factor

    @cached_property
    @ordinary()
    def _spectrum(self) -> tuple[Tensor, Tensor]:
        # LAPACK refuses NaN, so points without a metric are decomposed as zeros and marked again afterwards.
        missing = ~self.valid
        _, singular_values, right = torch.linalg.svd(torch.where(missing[..., None, None], 0.0, self.factor))
        vectors = right.mT
        # An eigenvector is defined up to its sign: let its largest component be positive.
        largest = vectors.abs().argmax(-2, keepdim=True)
        vectors = vectors * torch.where(vectors.gather(-2, largest) < 0, -1.0, 1.0)
        return singular_values.masked_fill(missing[..., None], math.nan), with_missing(missing, vectors)

    @property
    def singular_values(self) -> Float[Tensor, "*batch P"]:
        """Singular values σ of R (and of J), descending, shape (*batch, P)."""
        return self._spectrum[0]

    @property
    def eigenvalues(self) -> Float[Tensor, "*batch P"]:
        """Eigenvalues σ² of M, descending, shape (*batch, P)."""
        return self.singular_values.square()

    @property
    def eigenvectors(self) -> Float[Tensor, "*batch P P"]:
        """Orthonormal eigenvectors of M as columns, in the order of `eigenvalues`, shape (*batch, P, P).

        The first column is the direction of the cube in which the sound changes most, the last the one in
        which it changes least. The largest component of each is positive.
        """
        return self._spectrum[1]

    @property
    def condition(self) -> Float[Tensor, "*batch"]:
        """Condition number (σ_max / σ_min)² of M, shape (*batch); infinite where M is singular."""
        largest, smallest = self.singular_values[..., 0], self.singular_values[..., -1]
        return torch.where(smallest == 0, math.inf, (largest / smallest).square())

    @property
    def trace(self) -> Float[Tensor, "*batch"]:
        """Trace of M, the sum of its eigenvalues, shape (*batch)."""
        return self.factor.square().sum((-2, -1))

    @property
    def log_volume(self) -> Float[Tensor, "*batch"]:
        """Logarithm of the volume element √det M = Π σ, shape (*batch); −∞ where M is singular."""
        return self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def effective_rank(self) -> Float[Tensor, "*batch"]:
        """Effective rank of M: how many directions of the cube are audible, from 0 (silence) to P.

        Returns:
            exp(−Σ p log p) with p the eigenvalues divided by their sum, shape (*batch).

        Source:
            Roy, Vetterli, "The effective rank", EUSIPCO 2007.
        """
        total = self.eigenvalues.sum(-1, keepdim=True)
        share = self.eigenvalues / torch.where(total == 0, 1.0, total)
        return torch.where(total.squeeze(-1) == 0, 0.0, torch.special.entr(share).sum(-1).exp())

    def norm(self, du: Shaped[Tensor, "*points P"]) -> Float[Tensor, "*result"]:
        """Length ‖R Δu‖ of parameter differences: perceptual distance to first order.

        Args:
            du: Differences Δu in units of the cube, shape (..., P); broadcasts against the batch.

        Returns:
            √(Δuᵀ M Δu), shape (...).

        Raises:
            ValueError: If the last axis of `du` is not P.
        """
        length: Tensor = torch.linalg.vector_norm(self._apply(du), dim=-1)
        return length

    def distance_squared(self, du: Shaped[Tensor, "*points P"]) -> Float[Tensor, "*result"]:
        """Quadratic form Δuᵀ M Δu = ‖R Δu‖², never negative.

        Args:
            du: Differences Δu in units of the cube, shape (..., P); broadcasts against the batch.

        Returns:
            Squared distances, shape (...).

        Raises:
            ValueError: If the last axis of `du` is not P.
        """
        return self._apply(du).square().sum(-1)

    def _apply(self, du: Tensor) -> Tensor:
        if du.ndim == 0 or du.shape[-1] != self.n_parameters:
            raise ValueError(
                f"Parameter differences must have shape (..., {self.n_parameters}) to match the metric's P = "
                f"{self.n_parameters} parameters; got {tuple(du.shape)}."
            )
        return torch.matmul(self.factor, du.to(self.factor.dtype).unsqueeze(-1)).squeeze(-1)

    # -- new metrics from old --------------------------------------------------------------------------------

    def scaled(self, mu: float | Tensor) -> RiemannianMetric:
        """Metric μM.

        Args:
            mu: Factor μ ≥ 0: a number, or a tensor that broadcasts against the batch.

        Returns:
            Metric with the same batch shape.

        Raises:
            ValueError: If μ is negative or not finite.
        """
        return type(self)(self.factor * self._non_negative("mu", mu).sqrt()[..., None, None])

    def mean(self) -> RiemannianMetric:
        """Arithmetic mean of M over all points that have one.

        Returns:
            Metric with batch shape ().

        Raises:
            ValueError: If no point has a metric.
        """
        rows = self.factor[self.valid] if self.batch_shape else self.factor[None][self.valid[None]]
        if not len(rows):
            raise ValueError(f"A mean needs a point that has a metric; none of {self.valid.numel()} has.")
        stacked = rows.reshape(-1, self.n_parameters) / math.sqrt(len(rows))
        return type(self)(triangular(stacked))

    def damped(
        self,
        lam: float | Tensor,
        kind: str = "identity",
        *,
        reference: RiemannianMetric | None = None,
    ) -> RiemannianMetric:
        """Damped metric M + λD.

        Args:
            lam: Damping λ ≥ 0: a number, or a tensor that broadcasts against the batch. For `"identity"` it
                has the unit of an eigenvalue; for the others it is dimensionless.
            kind: Matrix D.

                - `"identity"`: D = I (Levenberg), a floor under every eigenvalue;
                - `"diagonal"`: D = diag(M) (Marquardt), which does not depend on how parameters are scaled,
                  but leaves a parameter that is inaudible at this point as it is;
                - `"mean"`: D = the mean of M over all points, which falls back on the average metric.
            reference: Metric whose mean serves for `"mean"` in place of this one's, for a few points out of
                many.

        Returns:
            Metric with the same batch shape.

        Raises:
            ValueError: If λ is negative or not finite, `kind` is unknown, or the damped metric overflows.

        Source:
            Han, Lostanlen, Lagrange, "Learning to Solve Inverse Problems for Perceptual Sound Matching",
            TASLP 2024; Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM
            J. 1963.
        """
        if kind not in DAMPING_KINDS:
            raise ValueError(f"Damping kind must be one of {', '.join(DAMPING_KINDS)}; got {kind!r}.")
        root = self._non_negative("lam", lam).sqrt()[..., None, None]
        missing = ~self.valid
        factor = torch.where(missing[..., None, None], 0.0, self.factor)
        if kind == "identity":
            root_of_d = torch.eye(self.n_parameters, dtype=factor.dtype, device=factor.device)
        elif kind == "diagonal":
            root_of_d = torch.diag_embed(torch.linalg.vector_norm(factor, dim=-2))
        else:
            root_of_d = (self if reference is None else reference).mean().factor
        damped = triangular(torch.cat([factor, (root * root_of_d).broadcast_to(factor.shape)], dim=-2))
        if not torch.isfinite(damped).all():
            largest = float(torch.as_tensor(lam).max())
            raise ValueError(f"Damping overflows: λ = {largest:.3g} is too large for this metric in float64.")
        return type(self)(with_missing(missing, damped))

    def saturated(self, ceiling: float) -> RiemannianMetric:
        """Metric whose eigenvalues stay below a ceiling κ: every σ² becomes κσ²/(κ + σ²).

        This is (M⁻¹ + I/κ)⁻¹: where damping is a metric in parallel, which holds small eigenvalues up, this is one in
        series, which holds large ones down. It is for differences beyond the reach of the expansion: distances between
        features are bounded, so a slope above the largest distance over the size of the difference cannot last.

        Args:
            ceiling: Ceiling κ > 0, in the unit of an eigenvalue.

        Returns:
            Metric with the same batch shape.

        Raises:
            ValueError: If κ is not finite and positive.
        """
        missing = ~self.valid
        sigma, vectors = (part.masked_fill(part.isnan(), 0.0) for part in self._spectrum)
        low = sigma * saturation(sigma, ceiling)
        return type(self)(with_missing(missing, triangular(low[..., None] * vectors.mT)))

    def _non_negative(self, name: str, value: float | Tensor) -> Tensor:
        if not isinstance(value, Tensor) and getattr(value, "ndim", 0) == 0:
            value = finite_number(name, value, least=0)
        tensor = torch.as_tensor(value, dtype=self.factor.dtype, device=self.factor.device)
        if not (torch.isfinite(tensor) & (tensor >= 0)).all():
            raise ValueError(f"{name} must be finite and at least 0; got {value}.")
        return tensor
