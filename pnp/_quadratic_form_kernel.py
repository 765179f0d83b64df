"""The loop of `quadratic_form.fused`, which documents it. Imported on first use only."""

# mypy: disable-error-code="attr-defined, misc, no-untyped-def, no-untyped-call, unreachable"

import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from pnp._compiled import compiled

# Kinds of damping, as `quadratic_form` numbers them.
IDENTITY, DIAGONAL, MEAN = 1, 2, 3


def _pointer(typingctx, address):  # noqa: ARG001  (Numba asks for it, by this name)
    def generate(context, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


def _scratch(typingctx, length, like):  # noqa: ARG001
    if not isinstance(length, types.IntegerLiteral):
        return None

    def generate(context, builder, _signature, _arguments):
        memory = cgutils.alloca_once(builder, context.get_value_type(like), size=length.literal_value)
        return builder.bitcast(memory, context.get_value_type(types.voidptr))

    return types.voidptr(length, like), generate


# Memory at an address: a compiled function takes a number in a tenth of the time that it takes a tensor to become an
# array.
pointer = intrinsic(inspect.unwrap(_pointer))
# A few numbers on the stack, which LLVM then keeps in registers; an array of NumPy's it leaves in memory, and the loop
# takes half as long again.
scratch = intrinsic(prefer_literal=True)(inspect.unwrap(_scratch))


def kernel(real: Any, n_parameters: int) -> Callable[..., bool]:
    """Compile the loop for one floating-point type and number of parameters.

    With the number known, LLVM unrolls what is short: twice as fast.

    Args:
        real: `numpy.float32` or `numpy.float64`.
        n_parameters: P.

    Returns:
        Function of addresses, sizes and options, that returns whether an index is outside, or a value NaN.
    """
    P = n_parameters

    def loop(
        u_hat_at, u_at, index_at, factor_at, mean_factor_at, weight_at, gradient_at, value_at,
        n_items, n_sounds, damping, kind, scale, reduce,
    ):  # fmt: skip
        u_hat = numba.carray(pointer(u_hat_at), (n_items, P), real)
        u = numba.carray(pointer(u_at), (n_items, P), real)
        index = numba.carray(pointer(index_at), (n_items,), np.int64)
        factor = numba.carray(pointer(factor_at), (n_sounds, P, P), real)
        mean_factor = numba.carray(pointer(mean_factor_at), (P, P), real)
        weight = numba.carray(pointer(weight_at), (n_sounds,), real)
        gradient = numba.carray(pointer(gradient_at), (n_items, P), real)
        value = numba.carray(pointer(value_at), (1 if reduce else n_items,), real)
        du = numba.carray(scratch(P, real(0)), (P,), real)
        mdu = numba.carray(scratch(P, real(0)), (P,), real)
        zero, half, lambda_ = real(0), real(0.5), real(damping)
        total = 0.0
        for b in range(n_items):
            i = 0
            if index_at != 0:
                i = index[b]
                if i < 0 or i >= n_sounds:
                    return True
            R = factor[i]
            form = zero
            for c in range(P):
                du[c] = u_hat[b, c] - u[b, c]
                mdu[c] = zero
            for r in range(P):
                heard = zero
                for c in range(P):
                    heard += R[r, c] * du[c]
                form += heard * heard
                for c in range(P):
                    mdu[c] += heard * R[r, c]
            if kind == IDENTITY:
                for c in range(P):
                    damped = lambda_ * du[c]
                    form += damped * du[c]
                    mdu[c] += damped
            elif kind == DIAGONAL:
                for c in range(P):
                    square = zero
                    for r in range(P):
                        square += R[r, c] * R[r, c]
                    damped = lambda_ * square * du[c]
                    form += damped * du[c]
                    mdu[c] += damped
            elif kind == MEAN:
                for r in range(P):
                    heard = zero
                    for c in range(P):
                        heard += mean_factor[r, c] * du[c]
                    damped = lambda_ * heard
                    form += damped * heard
                    for c in range(P):
                        mdu[c] += damped * mean_factor[r, c]
            step = real(scale)
            if weight_at != 0:
                step *= weight[i]
            for c in range(P):
                gradient[b, c] = step * mdu[c]
            half_form = half * step * form
            total += half_form  # in double precision, for there may be many
            if not reduce:
                value[b] = half_form
        if reduce:
            value[0] = total
        return bool(np.isnan(total))

    address, size, number = types.int64, types.int64, types.float64
    return compiled(
        loop,
        types.boolean(*[address] * 8, size, size, number, types.int64, number, types.boolean),
    )
