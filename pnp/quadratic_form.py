"""Half a damped, weighted quadratic form, s/2 wᵢ Δuᵀ (Mᵢ + λD) Δu with Mᵢ = RᵢᵀRᵢ, and its gradient in û.

Twice: in PyTorch's operations, which serve everywhere; and fused, value and gradient in one compiled loop. At the
size of a batch of parameters an operation takes far longer to call than to compute, and the loss takes some ten,
each with a derivative: the loop is what makes it as cheap as the squared error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from pnp._compiled import available
from pnp._concrete import is_eager

# Numbers that the compiled loop has for kinds of damping; 0 for none.
_KINDS = {"identity": 1, "diagonal": 2, "mean": 3}
_MEAN = 3


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
        damping_kind: What D is: `"identity"`, `"diagonal"` or `"mean"`.
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


def product(
    du: Tensor,
    factor: Tensor,
    damping: float,
    damping_kind: str,
    mean_factor: Tensor | None,
    weight: Tensor | None,
) -> Tensor:
    """Half the gradient of `form`, wᵢ (Mᵢ + λD) Δu, in operations that can be differentiated again.

    Args:
        du: Δu, shape (B, P).
        factor: R, shape (B, P, P), or (P, P) where one serves all.
        damping: λ.
        damping_kind: What D is: `"identity"`, `"diagonal"` or `"mean"`.
        mean_factor: Factor of the mean of M, shape (P, P); needed for `"mean"`.
        weight: wᵢ, shape (B,) or (); None for 1.

    Returns:
        The product, shape (B, P).
    """
    result = apply(factor.mT, apply(factor, du))
    if damping:
        if damping_kind == "identity":
            damped = du
        elif damping_kind == "diagonal":
            damped = factor.square().sum(-2) * du
        else:
            assert mean_factor is not None
            damped = apply(mean_factor.mT, apply(mean_factor, du))
        result = result + damping * damped
    return result if weight is None else result * weight.unsqueeze(-1)


def fused(
    u_hat: Tensor,
    u: Tensor,
    index: Tensor | None,
    factor: Tensor | None,
    damping: Tensor,
    damping_kind: str,
    mean_factor: Tensor | None,
    weight: Tensor | None,
    scale: float,
    reduction: str,
    check_index: Callable[[Tensor], None],
) -> Tensor | None:
    """Half the form of a batch, reduced, in one compiled loop, where everything is as it is in training.

    That is on the CPU, in float32 or float64 throughout, with derivatives in û alone, and outside of compilation
    and the transforms of `torch.func`. What is wrong with the arguments is not said here.

    Args:
        u_hat: Predicted parameters û, shape (B, P).
        u: True parameters, shape (B, P).
        index: Row of each item among the factors, shape (B,); not used where one factor serves all.
        factor: R of all sounds, shape (n, P, P), or (P, P) where one serves all.
        damping: λ, shape ().
        damping_kind: What D is: `"identity"`, `"diagonal"` or `"mean"`.
        mean_factor: Factor of the mean of M, shape (P, P); needed for `"mean"`.
        weight: w of all sounds, shape (n,), or () where one serves all; None for 1.
        scale: Factor s.
        reduction: `"mean"` or `"sum"` over the batch, or `"none"`.
        check_index: Called with the index if it selects from outside the factors, when it must raise, or if the
            result is NaN.

    Returns:
        A scalar, or shape (B,) with reduction `"none"`; None where the loop cannot serve.
    """
    if factor is None or not (is_eager() and available() and _predicted(u_hat)):
        return None
    dtype, shape = u_hat.dtype, u_hat.shape
    if not (
        len(shape) == 2
        and _constant(u, dtype)
        and u.shape == shape
        and _constant(factor, dtype)
        and not damping.requires_grad
    ):
        return None
    n_items, n_parameters = shape
    square = (n_parameters, n_parameters)
    if factor.shape == square:
        index, n_sounds = None, 1
    elif index is not None and _constant(index, torch.int64) and index.shape == (n_items,):
        n_sounds = factor.shape[0]
        if factor.shape != (n_sounds, n_parameters, n_parameters):
            return None
    else:
        return None
    strength = damping.item()
    kind = _KINDS[damping_kind] if strength else 0
    if kind == _MEAN:
        if mean_factor is None or not _constant(mean_factor, dtype) or mean_factor.shape != square:
            return None
    else:
        mean_factor = None
    if weight is not None and not (_constant(weight, dtype) and weight.shape == factor.shape[:-2]):
        return None
    if not n_items:  # whose mean is not a number
        return None

    reduce = reduction != "none"
    gradient = torch.empty_like(u_hat)
    value = u_hat.new_empty(() if reduce else n_items)
    step = scale / n_items if reduction == "mean" else scale
    loop = _kernel(dtype, n_parameters)
    try:
        suspect = loop(
            u_hat.data_ptr(),
            u.data_ptr(),
            0 if index is None else index.data_ptr(),
            factor.data_ptr(),
            0 if mean_factor is None else mean_factor.data_ptr(),
            0 if weight is None else weight.data_ptr(),
            gradient.data_ptr(),
            value.data_ptr(),
            n_items,
            n_sounds,
            strength,
            kind,
            step,
            reduce,
        )
    except RuntimeError:  # no address: a wrapper of `torch.func`'s that has outlived its transform
        return None
    if suspect and index is not None:
        check_index(index)
    if not (u_hat.requires_grad and torch.is_grad_enabled()):
        return value
    kept = (u_hat, u, index, factor, mean_factor, weight)
    result: Tensor = _record(u_hat, (value, gradient, kept, (strength, damping_kind, step)))
    return result


class _Fused(torch.autograd.Function):
    """Value and gradient that are there already, as one operation of PyTorch's."""

    @staticmethod
    def forward(ctx: Any, _u_hat: Tensor, known: tuple[Any, ...]) -> Tensor:
        value, gradient, kept, ctx.options = known
        ctx.save_for_backward(gradient, *kept)
        return value  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        gradient, u_hat, u, index, factor, mean_factor, weight = ctx.saved_tensors
        if upstream.ndim:
            upstream = upstream.unsqueeze(-1)
        if torch.is_grad_enabled():
            # A graph of the gradient itself is wanted, for second derivatives: the loop has left none.
            damping, damping_kind, step = ctx.options
            if index is not None:
                factor = factor.index_select(0, index)
                weight = None if weight is None else weight.index_select(0, index)
            gradient = step * product(u_hat - u, factor, damping, damping_kind, mean_factor, weight)
        return gradient * upstream, None


# `apply` itself is a wrapper, for the transforms of `torch.func`, that takes as long as half of the loop. What it wraps
# will do, for `is_eager` excludes them.
_record: Any = super(torch.autograd.Function, _Fused).apply


def _predicted(tensor: Tensor) -> bool:
    """Whether a tensor is one whose numbers the loop can read, with or without a derivative."""
    # Other subclasses of tensors may stand for anything.
    return (type(tensor) is Tensor or type(tensor) is nn.Parameter) and (
        (tensor.dtype is torch.float32 or tensor.dtype is torch.float64)
        # The numbers are found one after the other at the tensor's address, with the right sign.
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
        and not tensor.is_neg()
    )


def _constant(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Whether a tensor is one whose numbers the loop can read, without a derivative."""
    return (
        type(tensor) is Tensor
        and tensor.dtype is dtype
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and not tensor.requires_grad
        and not tensor.is_inference()  # which autograd cannot keep for a derivative
    )


@cache
def _kernel(dtype: torch.dtype, n_parameters: int) -> Callable[..., bool]:
    import numpy as np

    from pnp._quadratic_form_kernel import kernel

    compiled: Callable[..., bool] = kernel(np.float32 if dtype is torch.float32 else np.float64, n_parameters)
    return compiled
