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
    if kind == "peak":
        # Differentiated at the sample of the peak alone: the maximum of |x| would visit every sample again.
        level = x.gather(-1, x.detach().abs().argmax(-1, keepdim=True)).abs()
    else:
        level = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(level > 0, level, torch.ones_like(level))


def check_normalization(kind: str) -> None:
    """Refuse a normalization that does not exist."""
    if kind not in NORMALIZATIONS:
        allowed = ", ".join(repr(name) for name in NORMALIZATIONS)
        raise ValueError(f"unknown normalization {kind!r}, expected one of {allowed}")
