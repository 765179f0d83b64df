"""Damped, weighted quadratic form wᵢ Δuᵀ (Mᵢ + λD) Δu with Mᵢ = RᵢᵀRᵢ."""

from __future__ import annotations

import torch
from torch import Tensor


def apply(factor: Tensor, du: Tensor) -> Tensor:
    """R Δu, shape (B, P).

    Elementwise products rather than a matrix product: P is small, and autocast leaves them in full precision.
    """
    return (factor * du.unsqueeze(-2)).sum(-1)


def squared_norm(x: Tensor) -> Tensor:
    """Sum of squares over the last axis, in operations that autocast leaves in full precision."""
    return x.square().sum(-1)


def form(
    du: Tensor,
    factor: Tensor,
    damping: Tensor,
    damping_kind: str,
    mean_factor: Tensor | None,
    weight: Tensor | None,
) -> Tensor:
    """Form of each item, wᵢ Δuᵀ (Mᵢ + λD) Δu.

    Args:
        du: Δu, shape (B, P).
        factor: R, shape (B, P, P), or (P, P) where one serves all.
        damping: λ, shape ().
        damping_kind: Matrix D: `"identity"`, `"diagonal"` or `"mean"`.
        mean_factor: Factor of the mean of M, shape (P, P); needed for `"mean"`.
        weight: wᵢ, shape (B,) or (); None for 1.

    Returns:
        The form, shape (B,), in the type of Δu; never negative.
    """
    if damping_kind == "identity":
        damping_form = squared_norm(du)
    elif damping_kind == "diagonal":
        damping_form = (factor.square().sum(-2) * du.square()).sum(-1)
    else:
        assert mean_factor is not None
        damping_form = squared_norm(apply(mean_factor.to(du.dtype), du))
    result = torch.addcmul(squared_norm(apply(factor, du)), damping.to(du.dtype), damping_form)
    return result if weight is None else result * weight.to(du.dtype)
