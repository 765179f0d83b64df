"""Numba implementations of `kernels.py`, which documents them. Imported on first use only.

Each loop over time is contiguous, free of branches, and stores to one array: LLVM then proves that it can vectorize
it, which a loop with two stores defeats (four times slower). `fastmath` lets it reorder sums. All release the GIL:
`transform.py` runs one path of the network per thread.
"""

# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call"

import inspect
import math
from typing import Any

import numba
import numpy as np

EPSILON = 1e-12  # that of kernels.py; a global, so that Numba compiles it as a constant

# Not "nnan" and "ninf": a NaN has to come out where one went in.
_FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}


def compiled(function):
    """Compile a function. Checkers of annotations may have wrapped it on import, and Numba wants it bare."""
    function = inspect.unwrap(function)
    options: dict[str, Any] = {"nogil": True, "fastmath": _FASTMATH, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package nor the user's cache directory can be written to
        return numba.njit(**options)(function)


@compiled
def moduli(buffer, low, out):
    rows = (buffer.shape[0] + low) // 2
    band = rows - low
    for r in range(rows):
        pr, pi = buffer[r, 0], buffer[r, 1]
        plus = out[r]
        if r < low:
            for t in range(plus.shape[0]):
                plus[t] = math.sqrt(pr[t] * pr[t] + pi[t] * pi[t])
        else:
            qr, qi = buffer[r + band, 0], buffer[r + band, 1]
            for t in range(plus.shape[0]):
                a, b = pr[t] - qi[t], pi[t] + qr[t]
                plus[t] = math.sqrt(a * a + b * b)
            minus = out[r + band]
            for t in range(minus.shape[0]):
                a, b = pr[t] + qi[t], pi[t] - qr[t]
                minus[t] = math.sqrt(a * a + b * b)


@compiled
def modulus_sums(buffer, low, out):
    rows = (buffer.shape[0] + low) // 2
    band = rows - low
    zero = buffer.dtype.type(0)
    for r in range(rows):
        pr, pi = buffer[r, 0], buffer[r, 1]
        s_plus, s_minus = zero, zero
        if r < low:
            for t in range(pr.shape[0]):
                s_plus += math.sqrt(pr[t] * pr[t] + pi[t] * pi[t])
        else:
            qr, qi = buffer[r + band, 0], buffer[r + band, 1]
            for t in range(pr.shape[0]):
                a, b = pr[t] - qi[t], pi[t] + qr[t]
                c, d = pr[t] + qi[t], pi[t] - qr[t]
                s_plus += math.sqrt(a * a + b * b)
                s_minus += math.sqrt(c * c + d * d)
            out[r + band] += s_minus
        out[r] += s_plus


@compiled
def phases(buffer, low, modulus, phase, sums):
    rows = (buffer.shape[0] + low) // 2
    band = rows - low
    n = buffer.shape[2]
    eps = buffer.dtype.type(EPSILON)
    one = buffer.dtype.type(1)
    zero = buffer.dtype.type(0)
    inverse = np.empty(n, buffer.dtype)
    moduli(buffer, low, modulus)
    for r in range(rows):
        pr, pi = buffer[r, 0], buffer[r, 1]
        m, cr, ci = modulus[r], phase[r, 0], phase[r, 1]
        s = zero
        for t in range(n):
            s += m[t]
            inverse[t] = one / (m[t] + eps)
        sums[r] += s
        if r < low:
            for t in range(n):
                cr[t] = pr[t] * inverse[t]
            for t in range(n):
                ci[t] = pi[t] * inverse[t]
        else:
            qr, qi = buffer[r + band, 0], buffer[r + band, 1]
            for t in range(n):
                cr[t] = (pr[t] - qi[t]) * inverse[t]
            for t in range(n):
                ci[t] = (pi[t] + qr[t]) * inverse[t]
            m, cr, ci = modulus[r + band], phase[r + band, 0], phase[r + band, 1]
            s = zero
            for t in range(n):
                s += m[t]
                inverse[t] = one / (m[t] + eps)
            sums[r + band] += s
            for t in range(n):
                cr[t] = (pr[t] + qi[t]) * inverse[t]
            for t in range(n):
                ci[t] = (pi[t] - qr[t]) * inverse[t]


@compiled
def project(phase, buffer, low, out):
    rows = (buffer.shape[0] + low) // 2
    band = rows - low
    for r in range(rows):
        cr, ci = phase[r, 0], phase[r, 1]
        pr, pi = buffer[r, 0], buffer[r, 1]
        plus = out[r]
        if r < low:
            for t in range(plus.shape[0]):
                plus[t] = cr[t] * pr[t] + ci[t] * pi[t]
        else:
            qr, qi = buffer[r + band, 0], buffer[r + band, 1]
            for t in range(plus.shape[0]):
                plus[t] = cr[t] * (pr[t] - qi[t]) + ci[t] * (pi[t] + qr[t])
            dr, di = phase[r + band, 0], phase[r + band, 1]
            minus = out[r + band]
            for t in range(minus.shape[0]):
                minus[t] = dr[t] * (pr[t] + qi[t]) + di[t] * (pi[t] - qr[t])


@compiled
def projection_sums(phase, buffers, low, out):
    rows = (buffers.shape[0] + low) // 2
    band = rows - low
    zero = buffers.dtype.type(0)
    for r in range(rows):
        cr, ci = phase[r, 0], phase[r, 1]
        for p in range(buffers.shape[1]):
            pr, pi = buffers[r, p, 0], buffers[r, p, 1]
            s_plus, s_minus = zero, zero
            if r < low:
                for t in range(pr.shape[0]):
                    s_plus += cr[t] * pr[t] + ci[t] * pi[t]
            else:
                dr, di = phase[r + band, 0], phase[r + band, 1]
                qr, qi = buffers[r + band, p, 0], buffers[r + band, p, 1]
                for t in range(pr.shape[0]):
                    s_plus += cr[t] * (pr[t] - qi[t]) + ci[t] * (pi[t] + qr[t])
                    s_minus += dr[t] * (pr[t] + qi[t]) + di[t] * (pi[t] - qr[t])
                out[p, r + band] += s_minus
            out[p, r] += s_plus


@compiled
def cotangents(buffer, low, gradient, out):
    rows = (buffer.shape[0] + low) // 2
    band = rows - low
    n = buffer.shape[2]
    eps = buffer.dtype.type(EPSILON)
    scale = np.empty((2, n), buffer.dtype)
    i, j = scale[0], scale[1]
    for r in range(rows):
        pr, pi = buffer[r, 0], buffer[r, 1]
        gr, gi = out[r, 0], out[r, 1]
        if r < low:
            for t in range(n):
                i[t] = math.sqrt(pr[t] * pr[t] + pi[t] * pi[t]) + eps
            _divide(gradient[r], i)
            for t in range(n):
                gr[t] = pr[t] * i[t]
            for t in range(n):
                gi[t] = pi[t] * i[t]
        else:
            qr, qi = buffer[r + band, 0], buffer[r + band, 1]
            hr, hi = out[r + band, 0], out[r + band, 1]
            for t in range(n):
                a, b = pr[t] - qi[t], pi[t] + qr[t]
                i[t] = math.sqrt(a * a + b * b) + eps
            for t in range(n):
                a, b = pr[t] + qi[t], pi[t] - qr[t]
                j[t] = math.sqrt(a * a + b * b) + eps
            _divide(gradient[r], i)
            _divide(gradient[r + band], j)
            for t in range(n):
                gr[t] = (pr[t] - qi[t]) * i[t] + (pr[t] + qi[t]) * j[t]
            for t in range(n):
                gi[t] = (pi[t] + qr[t]) * i[t] + (pi[t] - qr[t]) * j[t]
            for t in range(n):
                hr[t] = (pi[t] + qr[t]) * i[t] - (pi[t] - qr[t]) * j[t]
            for t in range(n):
                hi[t] = (pr[t] + qi[t]) * j[t] - (pr[t] - qi[t]) * i[t]


@compiled
def _divide(gradient, i):
    if gradient.shape[0] == 1:
        g = gradient[0]
        for t in range(i.shape[0]):
            i[t] = g / i[t]
    else:
        for t in range(i.shape[0]):
            i[t] = gradient[t] / i[t]


@compiled
def modulus_tangents(z, out):
    eps = z.dtype.type(EPSILON)
    n = out.shape[1]
    inverse = np.empty(n, z.dtype)
    m = out[0]
    u = z[0]
    for t in range(n):
        m[t] = math.sqrt(u[2 * t] * u[2 * t] + u[2 * t + 1] * u[2 * t + 1])
    if z.shape[0] == 1:
        return
    for t in range(n):
        inverse[t] = z.dtype.type(1) / (m[t] + eps)
    for p in range(1, z.shape[0]):
        d = z[p]
        o = out[p]
        for t in range(n):
            o[t] = (u[2 * t] * d[2 * t] + u[2 * t + 1] * d[2 * t + 1]) * inverse[t]


@compiled
def first_order_spectrum(x_hat, psi, psi_negative, out):
    n = psi.shape[1]
    half = psi_negative.shape[1]
    for s in range(x_hat.shape[0]):
        x = x_hat[s]
        x_negative = x[x.shape[0] - 2 * half :]
        for i in range(psi.shape[0]):
            o = out[s, i]
            p = psi[i]
            for t in range(n):
                o[2 * t] = x[2 * t] * p[t]
                o[2 * t + 1] = x[2 * t + 1] * p[t]
            if half:
                o = o[2 * (n - half) :]
                p = psi_negative[i]
                for t in range(half):
                    o[2 * t] += x_negative[2 * t] * p[t]
                    o[2 * t + 1] += x_negative[2 * t + 1] * p[t]


@compiled
def second_order_spectrum(c, start, psi, psi_negative, out, out_start, rows):
    half = psi_negative.shape[0]
    for s in range(c.shape[0]):
        for r in range(rows):
            x = c[s, start + r]
            o = out[s, out_start + r]
            for t in range(half):
                o[2 * t] = x[2 * t] * psi[t]
                o[2 * t + 1] = x[2 * t + 1] * psi[t]
            for t in range(half):
                i, j = 2 * (half + t), 2 * (half - t)
                o[i] = x[i] * psi[half + t] + x[j] * psi_negative[t]
                o[i + 1] = x[i + 1] * psi[half + t] - x[j + 1] * psi_negative[t]


@compiled
def to_planes(y, planes, start):
    length = planes.shape[4]
    for s in range(y.shape[0]):
        for i in range(y.shape[1]):
            for k in range(planes.shape[0]):
                z = y[s, i, 2 * k * length : 2 * (k + 1) * length]
                real, imag = planes[k, start + i, s, 0], planes[k, start + i, s, 1]
                for t in range(length):
                    real[t] = z[2 * t]
                for t in range(length):
                    imag[t] = z[2 * t + 1]
