"""Triangular factors R of metrics M = RᵀR: made by QR, marked where there is none, with singular values saturated."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pnp._arguments import finite_number

__all__ = ["saturation", "triangular", "with_missing"]


def triangular(stacked: Tensor) -> Tensor:
    """Return R of the QR of a stack of rows, with non-negative diagonal.

    Args:
        stacked: Rows, shape (*batch, C, P).

    Returns:
        R, shape (*batch, P, P), padded with zero rows where C < P.
    """
    n_parameters = stacked.shape[-1]
    factor = torch.linalg.qr(stacked, mode="r").R
    if factor.shape[-2] < n_parameters:
        factor = torch.nn.functional.pad(factor, (0, 0, 0, n_parameters - factor.shape[-2]))
    # R is defined up to the sign of each row; a zero on the diagonal leaves its row as it is.
    negative = factor.diagonal(dim1=-2, dim2=-1) < 0
    return torch.where(negative.unsqueeze(-1), -factor, factor)


def with_missing(missing: Tensor, factor: Tensor) -> Tensor:
    """Return factors with NaN wherever there is no metric.

    Args:
        missing: Mask over the batch, shape (*batch).
        factor: R, shape (*batch, P, P).

    Returns:
        Factors of the same shape.
    """
    return factor.masked_fill(missing[..., None, None], math.nan)


def saturation(sigma: Tensor, ceiling: float) -> Tensor:
    """Return the factors √(κ / (κ + σ²)) by which singular values σ are lowered, so that σ² stays below a ceiling κ.

    Args:
        sigma: Singular values, any shape.
        ceiling: Ceiling κ > 0 of their squares.

    Returns:
        Factors from 0 to 1, same shape.

    Raises:
        TypeError: If κ is no number.
        ValueError: If it is not finite and positive.
    """
    root = math.sqrt(finite_number("ceiling", ceiling, above=0))
    # hypot, for σ² may overflow where σ does not.
    return root / torch.hypot(sigma, torch.full_like(sigma, root))
