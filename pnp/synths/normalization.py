"""Level of a sound, as a differentiable function of it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

NORMALIZATIONS = ("none", "peak", "energy")


def normalize(x: Float[Tensor, "*batch N"], kind: str) -> Float[Tensor, "*batch N"]:
    """Scale each sound to unit peak or unit energy; silence stays silence.

    The divisor is differentiated with the sound: a normalized sound does not change at all with a parameter
    that only scales it.

    Args:
        x: Sounds, shape (..., N).
        kind: "none", "peak" (max |x| = 1) or "energy" (sum of x² = 1).

    Returns:
        Scaled sounds, same shape.

    Raises:
        ValueError: If `kind` is unknown.
    """
    check_normalization(kind)
    if kind == "none":
        return x
    level = _peak(x)[0] if kind == "peak" else torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / _or_one(level)


def normalize_with_tangents(
    x: Float[Tensor, "B N"], tangents: Float[Tensor, "B P N"], kind: str
) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
    """`normalize`, and what it does to tangents, in closed form.

    Args:
        x: Sounds, shape (B, N).
        tangents: Their derivatives, shape (B, P, N).
        kind: "none", "peak" or "energy".

    Returns:
        Scaled sounds, shape (B, N), and their derivatives, shape (B, P, N).

    Raises:
        ValueError: If `kind` is unknown.
    """
    check_normalization(kind)
    if kind == "none":
        return x, tangents
    if kind == "peak":
        level, index = _peak(x)
        index = index.unsqueeze(1).expand(-1, tangents.shape[1], -1)
        slopes = x.gather(-1, index[:, 0]).sign().unsqueeze(1) * tangents.gather(-1, index)
    else:
        level = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        slopes = tangents @ x.unsqueeze(-1) / _or_one(level).unsqueeze(1)
    level = _or_one(level)
    normalized = x / level
    return normalized, (tangents - slopes * normalized.unsqueeze(1)) / level.unsqueeze(1)


def _peak(x: Tensor) -> tuple[Tensor, Tensor]:
    """Largest |x| and where it is; differentiated there alone, where a maximum would visit every sample."""
    index = x.detach().abs().argmax(-1, keepdim=True)
    return x.gather(-1, index).abs(), index


def _or_one(level: Tensor) -> Tensor:
    return torch.where(level > 0, level, torch.ones_like(level))


def check_normalization(kind: str) -> None:
    """Refuse a normalization that does not exist."""
    if kind not in NORMALIZATIONS:
        allowed = ", ".join(repr(name) for name in NORMALIZATIONS)
        raise ValueError(f"unknown normalization {kind!r}, expected one of {allowed}")
