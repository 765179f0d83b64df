"""Numba implementations of `kernels.py`, which documents them. Imported on first use only.

Each loop over time is contiguous, free of branches, and stores to one array: LLVM then proves that it can vectorize
it, which a loop with two stores defeats (four times slower). `fastmath` lets it reorder sums. All release the GIL:
`transform.py` runs one path of the network per thread.
"""

# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call"

import math

import numpy as np

from pnp._torch.numba import compiled

EPSILON = 1e-12  # that of kernels.py; a global, so that Numba compiles it as a constant


@compiled
def projection_sums(buffer, low, out):
    rows = (buffer.shape[0] + low) // 2
    band = rows - low
    signals, n = buffer.shape[1], buffer.shape[3]
    zero = buffer.dtype.type(0)
    scratch = np.empty((5, n), buffer.dtype)
    cr, ci, dr, di, inverse = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    for r in range(rows):
        pr, pi = buffer[r, 0, 0], buffer[r, 0, 1]
        qr, qi = (pr, pi) if r < low else (buffer[r + band, 0, 0], buffer[r + band, 0, 1])
        s_plus, s_minus = zero, zero
        if signals == 1 and r < low:
            for t in range(n):
                s_plus += math.sqrt(pr[t] * pr[t] + pi[t] * pi[t])
        elif signals == 1:
            for t in range(n):
                a, b = pr[t] - qi[t], pi[t] + qr[t]
                c, d = pr[t] + qi[t], pi[t] - qr[t]
                s_plus += math.sqrt(a * a + b * b)
                s_minus += math.sqrt(c * c + d * d)
        elif r < low:
            for t in range(n):
                cr[t] = pr[t]
            for t in range(n):
                ci[t] = pi[t]
            s_plus = _phase(cr, ci, inverse)
        else:
            for t in range(n):
                cr[t] = pr[t] - qi[t]
            for t in range(n):
                ci[t] = pi[t] + qr[t]
            s_plus = _phase(cr, ci, inverse)
            for t in range(n):
                dr[t] = pr[t] + qi[t]
            for t in range(n):
                di[t] = pi[t] - qr[t]
            s_minus = _phase(dr, di, inverse)
        out[0, r] += s_plus
        if r >= low:
            out[0, r + band] += s_minus
        for p in range(1, signals):
            pr, pi = buffer[r, p, 0], buffer[r, p, 1]
            s_plus, s_minus = zero, zero
            if r < low:
                for t in range(n):
                    s_plus += cr[t] * pr[t] + ci[t] * pi[t]
            else:
                qr, qi = buffer[r + band, p, 0], buffer[r + band, p, 1]
                for t in range(n):
                    s_plus += cr[t] * (pr[t] - qi[t]) + ci[t] * (pi[t] + qr[t])
                    s_minus += dr[t] * (pr[t] + qi[t]) + di[t] * (pi[t] - qr[t])
                out[p, r + band] += s_minus
            out[p, r] += s_plus


@compiled
def _phase(real, imag, scratch):
    """Divide a signal by its modulus, in place, and return the sum of the modulus, which is left in `scratch`."""
    eps = real.dtype.type(EPSILON)
    one = real.dtype.type(1)
    total = real.dtype.type(0)
    for t in range(real.shape[0]):
        scratch[t] = math.sqrt(real[t] * real[t] + imag[t] * imag[t])
    for t in range(real.shape[0]):
        total += scratch[t]
    for t in range(real.shape[0]):
        real[t] *= one / (scratch[t] + eps)
    for t in range(real.shape[0]):
        imag[t] *= one / (scratch[t] + eps)
    return total


@compiled
def projections(buffer, low, out):
    rows = (buffer.shape[0] + low) // 2
    band = rows - low
    signals, n = buffer.shape[1], buffer.shape[3]
    scratch = np.empty((4, n), buffer.dtype)
    cr, ci, dr, di = scratch[0], scratch[1], scratch[2], scratch[3]
    for r in range(rows):
        pr, pi = buffer[r, 0, 0], buffer[r, 0, 1]
        if r < low:
            for t in range(n):
                cr[t] = pr[t]
            for t in range(n):
                ci[t] = pi[t]
            _phase(cr, ci, out[r, 0])
        else:
            qr, qi = buffer[r + band, 0, 0], buffer[r + band, 0, 1]
            for t in range(n):
                cr[t] = pr[t] - qi[t]
            for t in range(n):
                ci[t] = pi[t] + qr[t]
            _phase(cr, ci, out[r, 0])
            for t in range(n):
                dr[t] = pr[t] + qi[t]
            for t in range(n):
                di[t] = pi[t] - qr[t]
            _phase(dr, di, out[r + band, 0])
        for p in range(1, signals):
            pr, pi, plus = buffer[r, p, 0], buffer[r, p, 1], out[r, p]
            if r < low:
                for t in range(n):
                    plus[t] = cr[t] * pr[t] + ci[t] * pi[t]
            else:
                qr, qi, minus = buffer[r + band, p, 0], buffer[r + band, p, 1], out[r + band, p]
                for t in range(n):
                    plus[t] = cr[t] * (pr[t] - qi[t]) + ci[t] * (pi[t] + qr[t])
                for t in range(n):
                    minus[t] = dr[t] * (pr[t] + qi[t]) + di[t] * (pi[t] - qr[t])


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
def modulus_cotangent(z, gradient):
    eps = z.dtype.type(EPSILON)
    block = 512
    scale = np.empty(block, z.dtype)
    for start in range(0, gradient.shape[0], block):
        g = gradient[start : start + block]
        u = z[2 * start : 2 * (start + block)]
        for t in range(g.shape[0]):
            scale[t] = g[t] / (math.sqrt(u[2 * t] * u[2 * t] + u[2 * t + 1] * u[2 * t + 1]) + eps)
        for t in range(g.shape[0]):
            u[2 * t] *= scale[t]
            u[2 * t + 1] *= scale[t]


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
            for t in range(2 * n, o.shape[0]):
                o[t] = 0
            if half:
                o = o[o.shape[0] - 2 * half :]
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
def to_planes(y, first, planes, start):
    length = planes.shape[4]
    for s in range(y.shape[0]):
        for i in range(y.shape[1]):
            for k in range(planes.shape[0]):
                z = y[s, i, 2 * (first + k * length) : 2 * (first + (k + 1) * length)]
                real, imag = planes[k, start + i, s, 0], planes[k, start + i, s, 1]
                for t in range(length):
                    real[t] = z[2 * t]
                for t in range(length):
                    imag[t] = z[2 * t + 1]
