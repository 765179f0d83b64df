"""Fused pointwise kernels of the scattering network, compiled by Numba where it is installed.

PyTorch alone needs some ten passes over memory to go from filtered sub-bands to moduli and phases; fused, it is one.
Each kernel has a twin in plain PyTorch, which serves CUDA and machines without Numba, and against which it is tested.

A *band buffer* holds what the two real matrices of a frequential filter made of a sub-band: an array of shape
(rows + rows_band, ..., 2, time), with real and imaginary planes. Its first `rows` rows are P = Re(W) Y, low-pass rows
first; the others are Q = Im(W) Y. The spins are y+ = P + iQ and y- = P - iQ.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from pnp._torch.numba import available

__all__ = [
    "EPSILON",
    "cotangents",
    "first_order_spectrum",
    "fused",
    "modulus_cotangent",
    "modulus_tangents",
    "projection_sums",
    "projections",
    "second_order_spectrum",
    "to_planes",
]

# Modulus below which a derivative is taken to be noise. Where a sub-band is silent its phase is noise, and so is the
# derivative of its modulus. Kymatio's value, for signals of order one.
EPSILON = 1e-12


def fused(tensor: Tensor) -> bool:
    """Return true where the compiled kernels serve a tensor. Set PNP_NO_NUMBA=1 to do without them."""
    return tensor.device.type == "cpu" and available()


def projection_sums(buffer: Tensor, low: int, out: Tensor) -> None:
    """Add the sums over time of moduli and of their tangents, as in `projections`, to `out`.

    Args:
        buffer: Band buffers of a signal and its tangents, shape (rows + rows_band, signals, 2, time).
        low: Number of low-pass rows.
        out: Added to, shape (signals, low + 2 rows_band).
    """
    if fused(buffer):
        _compiled("projection_sums")(buffer.numpy(), low, out.numpy())
        return
    moduli = buffer.new_empty(out.shape[1], out.shape[0], buffer.shape[-1])
    projections(buffer, low, moduli)
    out += moduli.sum(-1).T


def projections(buffer: Tensor, low: int, out: Tensor) -> None:
    """Moduli |y| and their tangents Re(conj(y / |y|) dy) of the low-pass rows, the positive and the negative spins.

    Args:
        buffer: Band buffers of a signal and its tangents, shape (rows + rows_band, signals, 2, time).
        low: Number of low-pass rows.
        out: Written to, shape (low + 2 rows_band, signals, time).
    """
    if fused(buffer):
        _compiled("projections")(buffer.numpy(), low, out.numpy())
        return
    for (real, imag), part in zip(_spins(buffer, low), _split(out, low), strict=True):
        torch.hypot(real[:, 0], imag[:, 0], out=part[:, 0])
        if buffer.shape[1] > 1:
            inverse = (part[:, :1] + EPSILON).reciprocal()
            cos, sin = real[:, :1] * inverse, imag[:, :1] * inverse
            torch.add(cos * real[:, 1:], sin * imag[:, 1:], out=part[:, 1:])


def cotangents(buffer: Tensor, low: int, gradient: Tensor, out: Tensor) -> None:
    """Cotangent of the band buffer of one signal.

    Args:
        buffer: Band buffer, shape (rows + rows_band, 2, time).
        low: Number of low-pass rows.
        gradient: Cotangent of the moduli, shape (low + 2 rows_band, time) or (low + 2 rows_band, 1).
        out: Written to, of the shape of the buffer.
    """
    if fused(buffer):
        _compiled("cotangents")(buffer.numpy(), low, gradient.numpy(), out.numpy())
        return
    g = []
    for z, part in zip(_spins(buffer, low), _split(gradient, low), strict=True):
        scale = part / (torch.sqrt(z[0].square() + z[1].square()) + EPSILON)
        g.append((z[0] * scale, z[1] * scale))
    zero, plus, minus = g
    g_zero, g_p, g_q = _split(out, low)
    g_zero[:, 0], g_zero[:, 1] = zero
    g_p[:, 0], g_p[:, 1] = plus[0] + minus[0], plus[1] + minus[1]
    g_q[:, 0], g_q[:, 1] = plus[1] - minus[1], minus[0] - plus[0]


def modulus_tangents(z: Tensor, out: Tensor) -> None:
    """Modulus of a complex signal and its tangents.

    Args:
        z: Signal, then its tangents; complex, shape (1 + P, n).
        out: Written to: |z|, then Re(conj(z) dz) / |z|; real, shape (1 + P, n).
    """
    if fused(z):
        _compiled("modulus_tangents")(_reals(z), out.numpy())
        return
    torch.abs(z[0], out=out[0])
    if len(z) > 1:
        phase = z[0] / (out[0] + EPSILON)
        out[1:] = z[1:].real * phase.real + z[1:].imag * phase.imag


def modulus_cotangent(z: Tensor, gradient: Tensor) -> None:
    """Cotangent of a complex signal from that of its modulus, z / |z| times the latter. Overwrites the signal.

    Args:
        z: Signal, complex.
        gradient: Cotangent of its modulus, of the same shape.
    """
    if fused(z):
        _compiled("modulus_cotangent")(_reals(z).reshape(-1), gradient.numpy().reshape(-1))
        return
    z *= gradient / (z.abs() + EPSILON)


def first_order_spectrum(x_hat: Tensor, psi: Tensor, psi_negative: Tensor, out: Tensor) -> None:
    """Multiply spectra by wavelets and fold them to their stride. Compiled only; see `temporal.first_order`.

    Args:
        x_hat: Spectra, shape (signals, N).
        psi: Wavelets on bins 0 to B - 1, shape (n1, B).
        psi_negative: Wavelets on bins -B/2 to -1, shape (n1, B/2), or (n1, 0).
        out: Written to, shape (signals, n1, M), M >= B.
    """
    _compiled("first_order_spectrum")(_reals(x_hat), psi.numpy(), psi_negative.numpy(), _reals(out))


def second_order_spectrum(
    c: Tensor, start: int, psi: Tensor, psi_negative: Tensor, out: Tensor, out_start: int, rows: int
) -> None:
    """Multiply spectra of real signals by a wavelet and fold them. Compiled only; see `temporal.second_order`.

    Args:
        c: Non-negative Fourier coefficients, shape (signals, n1, bins).
        start: First row of `c` to read.
        psi: Wavelet on bins 0 to M - 1, shape (M,).
        psi_negative: Wavelet on bins -M/2 to -1, shape (M/2,).
        out: Written to, shape (signals, n1, M).
        out_start: First row of `out` to write.
        rows: Number of rows.
    """
    args = (_reals(c), start, psi.numpy(), psi_negative.numpy(), _reals(out), out_start, rows)
    _compiled("second_order_spectrum")(*args)


def to_planes(y: Tensor, first: int, planes: Tensor, start: int) -> None:
    """Cut complex sub-bands into chunks of real and imaginary planes. Compiled only.

    Args:
        y: Sub-bands, shape (signals, n1, M).
        first: First sample.
        planes: Written to, at rows `start` and after; shape (chunks, n1, signals, 2, length).
        start: First row.
    """
    _compiled("to_planes")(_reals(y), first, planes.numpy(), start)


def _reals(z: Tensor) -> Any:
    return torch.view_as_real(z).flatten(-2).numpy()


# Twins in plain PyTorch ----------------------------------------------------------------------------------------------


def _spins(buffer: Tensor, low: int) -> tuple[tuple[Tensor, Tensor], ...]:
    zero, p, q = _split(buffer, low)
    return (
        (zero[..., 0, :], zero[..., 1, :]),
        (p[..., 0, :] - q[..., 1, :], p[..., 1, :] + q[..., 0, :]),
        (p[..., 0, :] + q[..., 1, :], p[..., 1, :] - q[..., 0, :]),
    )


def _split(out: Tensor, low: int) -> tuple[Tensor, Tensor, Tensor]:
    rows = (out.shape[0] + low) // 2
    return out[:low], out[low:rows], out[rows:]


# Compiled kernels ----------------------------------------------------------------------------------------------------


@cache
def _compiled(name: str) -> Callable[..., None]:
    from pnp.features.scattering import _numba_kernels

    kernel: Any = getattr(_numba_kernels, name)
    return kernel  # type: ignore[no-any-return]
