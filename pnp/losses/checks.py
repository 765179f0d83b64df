"""Checks of what a loss is called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pnp._torch.concrete import is_concrete

if TYPE_CHECKING:
    from pnp._protocols import ChoiceCacheLike

# Probabilities sum to one, but for the rounding of half precision.
_SLACK = 1e-2


def select_rows(
    stored: Tensor, index: Tensor | None, n_items: int, check_index: Callable[[Tensor], None]
) -> Tensor:
    """Rows of what is stored for every sound of a cache, after checking the index."""
    if index is None:
        raise ValueError(
            "A loss over the sounds of a cache needs the index of each sound: loss(u_hat, u, index)."
        )
    if not isinstance(index, Tensor) or index.dtype not in (torch.int64, torch.int32):
        got = index.dtype if isinstance(index, Tensor) else type(index).__name__
        raise TypeError(f"Index must be a tensor of row numbers in the cache (torch.int64); got {got}.")
    if index.shape != (n_items,):
        raise ValueError(
            f"Index must have shape (B,) with B = {n_items}, a row for each item; got {tuple(index.shape)}."
        )
    if index.device != stored.device:
        raise ValueError(f"Index is on {index.device} but the loss on {stored.device}; move one of them.")
    try:
        # index_select, unlike indexing, takes no negative index for one from the end.
        return stored.index_select(0, index)
    except IndexError:
        check_index(index)
        raise


def check_rows(stored: Tensor, index: Tensor, what: str) -> None:
    """Check that an index selects rows that are there, and whose number, one of those stored, is not NaN."""
    n_sounds = len(stored)
    if not index.numel():
        return
    low, high = torch.aminmax(index)
    if low < 0 or high >= n_sounds:
        outside = (index < 0) | (index >= n_sounds)
        raise IndexError(
            f"Index must be in 0 … {n_sounds - 1}, the rows of the cache; got "
            f"{index[outside][:8].tolist()}. Likely cause: it belongs to another cache."
        )
    failed = torch.isnan(stored.index_select(0, index))
    if failed.any():
        raise IndexError(
            f"Index selects sounds without {what}, rows {index[failed][:8].tolist()} of the cache, "
            "which failed in precomputation. Leave them out of training: `cache.ok` marks those to keep."
        )


def check_pair(u_hat: Tensor, u: Tensor) -> None:
    """Check that predictions and targets are batches of the same parameters."""
    for name, value in (("u_hat", u_hat), ("u", u)):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(
                f"{name} must be a floating-point tensor of parameters in the unit cube; got {got}."
            )
    if u_hat.ndim != 2 or u_hat.shape != u.shape:
        raise ValueError(
            f"u_hat and u must have the same shape (B, P); got {tuple(u_hat.shape)} and {tuple(u.shape)}. "
            "Likely cause: a network whose outputs are not the P parameters of the cache."
        )


def check_choices(cache: ChoiceCacheLike) -> None:
    """Refuse a cache whose space has no choices."""
    if not cache.space.choices:
        raise ValueError(
            f"The space of {cache.path} has no choices, {', '.join(cache.space.column_names)}; a choice is "
            "Parameter(name, choices=(…))."
        )


def check_probabilities(
    probabilities: Mapping[str, Tensor], n_options: Mapping[str, int]
) -> dict[str, Tensor]:
    """Return probabilities of all choices in single precision at least, once they have been checked."""
    if set(probabilities) != set(n_options):
        raise ValueError(
            f"Probabilities must be a mapping with the choices {', '.join(n_options)}; got "
            f"{', '.join(map(str, probabilities)) or 'none'}."
        )
    return {name: _checked(name, probabilities[name], options) for name, options in n_options.items()}


def _checked(name: str, p: Tensor, options: int) -> Tensor:
    if not isinstance(p, Tensor) or not p.is_floating_point():
        got = p.dtype if isinstance(p, Tensor) else type(p).__name__
        raise TypeError(f"Probabilities of {name!r} must be a floating-point tensor; got {got}.")
    if p.ndim != 2 or p.shape[1] != options:
        raise ValueError(
            f"Probabilities of {name!r} must have shape (B, {options}), one for each option; got {tuple(p.shape)}."
        )
    p = p.to(torch.promote_types(p.dtype, torch.float32))
    if p.device.type == "cpu" and is_concrete(p):
        values = p.detach()
        off = ((values.sum(-1) - 1).abs() > _SLACK) | (values < -_SLACK).any(-1)
        if off.any():
            row = int(off.nonzero()[0])
            raise ValueError(
                f"Probabilities of {name!r} must be at least 0 and sum to 1; row {row} sums to "
                f"{float(values[row].sum()):.3g}. Likely cause: logits; apply torch.softmax."
            )
    return p
