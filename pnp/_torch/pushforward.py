"""Directional derivatives of batched functions, many directions at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["along_axes", "pushforward"]


def pushforward(
    function: Callable[[Tensor], Tensor], point: Float[Tensor, "B A"], tangents: Float[Tensor, "B P A"]
) -> tuple[Float[Tensor, "B *shape"], Float[Tensor, "B P *shape"]]:
    """Push P tangent vectors a row through a function that treats the rows of its input independently.

    Args:
        function: Map from (B, A) to (B, *shape), row by row.
        point: Where to differentiate, shape (B, A).
        tangents: Directions, shape (B, P, A).

    Returns:
        `function(point)`, shape (B, *shape), and its directional derivatives, shape (B, P, *shape).
    """

    def push(tangent: Tensor) -> tuple[Tensor, Tensor]:
        value, pushed = torch.func.jvp(function, (point,), (tangent,))[:2]
        return value, pushed

    # The value does not depend on the direction: vmap computes it once and hands out P views. What a function draws
    # at random is drawn once as well, and does not vary with its argument.
    values, pushed = torch.func.vmap(push, in_dims=1, out_dims=(0, 1), randomness="same")(tangents)
    return values[0], pushed


def along_axes(
    function: Callable[[Tensor], Tensor], point: Float[Tensor, "B P"]
) -> tuple[Float[Tensor, "B *shape"], Float[Tensor, "B P *shape"]]:
    """Differentiate a batched function along each axis of its input.

    Args:
        function: Map from (B, P) to (B, *shape), row by row. One that offers `value_and_tangents` is differentiated by
            it.
        point: Where to differentiate, shape (B, P).

    Returns:
        `function(point)`, shape (B, *shape), and its partial derivatives, shape (B, P, *shape).
    """
    own = getattr(function, "value_and_tangents", None)
    if own is not None:
        value, partial = own(point)
        return value, partial
    basis = torch.eye(point.shape[-1], dtype=point.dtype, device=point.device)
    return pushforward(function, point, basis.expand(len(point), -1, -1))
