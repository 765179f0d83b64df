"""Directional derivatives: of one function along one direction, and of batched functions along many at a time."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._torch.memory import NUMBERS_AT_ONCE
from pnp._torch.modes import full_precision
from pnp._torch.no_compiler import without_compiler

__all__ = ["along_axes", "derivative_along", "jvp", "one_by_one", "pushforward"]

_lock = threading.Lock()
_loaded = False

# PyTorch has one level of forward-mode differentiation for the whole process. Threads that enter it together break each
# other's derivatives, some with an error and some without.
_FORWARD_MODE = threading.RLock()


def jvp(function: Callable[[Tensor], Tensor], point: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
    """Differentiate a function along one tangent, in one thread of the process at a time.

    Args:
        function: Map from tensor to tensor.
        point: Point at which to differentiate.
        tangent: Direction, of the shape of `point`.

    Returns:
        Value and directional derivative.
    """
    _load_decompositions()
    with _FORWARD_MODE, without_compiler():
        value, pushed = torch.func.jvp(function, (point,), (tangent,))[:2]
    return value, pushed


def pushforward(
    function: Callable[[Tensor], Tensor],
    point: Float[Tensor, "B A"],
    tangents: Float[Tensor, "B P A"],
    group: int | None = None,
) -> tuple[Float[Tensor, "B *shape"], Float[Tensor, "B P *shape"]]:
    """Push P tangent vectors a row through a function that treats the rows of its input independently.

    Args:
        function: Map from (B, A) to (B, *shape), row by row.
        point: Points at which to differentiate, shape (B, A).
        tangents: Directions, shape (B, P, A).
        group: Directions that are pushed at a time, a bound on memory. By default, as many as fit by their own size.

    Returns:
        `function(point)`, shape (B, *shape), and its directional derivatives, shape (B, P, *shape).
    """

    def push(tangent: Tensor) -> tuple[Tensor, Tensor]:
        return jvp(function, point, tangent)

    # The value does not depend on the direction: vmap computes it once and hands out P views. What a function draws
    # at random is drawn once as well, and does not vary with its argument.
    several = torch.func.vmap(push, in_dims=1, out_dims=(0, 1), randomness="same")
    parts = tangents.split(group or max(1, NUMBERS_AT_ONCE // max(1, point.numel())), dim=1)
    with _FORWARD_MODE, without_compiler(), full_precision(point):
        values, pushed = several(parts[0])
        # Values that are views of each other would keep every part alive.
        value, found = values[0], [pushed]
        found += [several(part)[1] for part in parts[1:]]
    return value, pushed if len(found) == 1 else torch.cat(found, 1)


def one_by_one(
    function: Callable[[Tensor], Tensor], point: Float[Tensor, "B A"], tangents: Float[Tensor, "B P A"]
) -> tuple[Float[Tensor, "B *shape"], Float[Tensor, "B P *shape"]]:
    """Push tangent vectors through a function that cannot be vectorized, one direction at a time.

    Args:
        function: Map from (B, A) to (B, *shape), row by row.
        point: Points of differentiation, shape (B, A).
        tangents: Directions, shape (B, P, A), at least one.

    Returns:
        As `pushforward`.
    """
    with full_precision(point):
        pairs = [jvp(function, point, tangent) for tangent in tangents.unbind(1)]
    return pairs[0][0], torch.stack([pushed for _, pushed in pairs], 1)


def derivative_along(
    function: Callable[[Tensor], Tensor], point: Float[Tensor, "B A"], tangents: Float[Tensor, "B P A"]
) -> tuple[Float[Tensor, "B *shape"], Float[Tensor, "B P *shape"]]:
    """Push tangents through a function in its own way, `value_and_tangents`, where it has one.

    Args:
        function: Map from (B, A) to (B, *shape), row by row.
        point: Place of the derivative, shape (B, A).
        tangents: Directions, shape (B, P, A).

    Returns:
        As `pushforward`.
    """
    own = getattr(function, "value_and_tangents", None)
    if own is None:
        return pushforward(function, point, tangents)
    with _turn(function):
        value, pushed = own(point, tangents)
    return value, pushed


def along_axes(
    function: Callable[[Tensor], Tensor],
    point: Float[Tensor, "B D"],
    axes: Sequence[int] | None = None,
    group: int | None = None,
) -> tuple[Float[Tensor, "B *shape"], Float[Tensor, "B P *shape"]]:
    """Differentiate a batched function along some axes of its input.

    Args:
        function: Map from (B, D) to (B, *shape), row by row. One that offers `value_and_tangents` is differentiated by
            it.
        point: Points at which to differentiate, shape (B, D).
        axes: The P axes to differentiate along, at least one; None for all.
        group: Axes that are differentiated along at a time, a bound on memory; all of them if not given.

    Returns:
        `function(point)`, shape (B, *shape), and its partial derivatives, shape (B, P, *shape).
    """
    own = getattr(function, "value_and_tangents", None)
    if own is not None:
        with _turn(function):
            value, partial = own(point)
        # Selected columns are a copy.
        every = axes is None or len(axes) == partial.shape[1]
        return value, partial if every else partial[:, list(axes or ())]
    basis = torch.eye(point.shape[-1], dtype=point.dtype, device=point.device)
    if axes is not None:
        basis = basis[list(axes)]
    return pushforward(function, point, basis.expand(len(point), -1, -1), group)


def _turn(function: Any) -> AbstractContextManager[Any]:
    """Let a function differentiate itself in one thread at a time: its own way may be forward mode.

    Where it is not, or takes its turn inside, `forward_mode` is False: threads need not wait for it, and it may wait
    for threads of its own.
    """
    if not getattr(function, "forward_mode", True):
        return nullcontext()
    _load_decompositions()
    return _FORWARD_MODE


def _load_decompositions() -> None:
    """Let PyTorch prepare forward mode without its warning about itself.

    The first dual tensor of a process, whatever the function, makes PyTorch import
    `torch._decomp.decompositions_for_jvp`. That module calls `torch.jit.script`, which PyTorch 2.14 announces the
    end of. Nobody who uses this package can act on it. The filter goes as soon as the import is done, so that a
    user's own call of `torch.jit.script` still warns.
    """
    global _loaded
    if _loaded or torch.compiler.is_compiling():
        return
    with _lock:  # filters belong to the process: two threads must not save and restore them at a time
        if not _loaded:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=r".torch\.jit\.script. is ")
                zero = torch.zeros(())
                torch.func.jvp(torch.neg, (zero,), (zero,))
            _loaded = True
