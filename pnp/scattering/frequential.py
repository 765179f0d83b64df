"""The frequential half of scattering: wavelets along log-frequency, modulus, averages.

Nearly all of the time of a scattering transform goes by here. The log-frequency axis is short, so convolution along it
is a small matrix W applied at each time step, and both spins come from one pass because W- = conj(W+):

    y[r, t] = sum_n W[r, n] Y[n, t],      z[r] = mean_t |y[r, t]|.

A tangent of Y goes to a tangent of z as dz[r] = mean_t Re(conj(y / |y|) W dY)[r, t], a cotangent of z to one of Y as
W^H (dz y / |y|). Both are computed chunk by chunk of time, while the moduli and phases are still in cache, and nothing
of the size (rows, time) is ever in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from . import kernels
from .plan import FrequentialFilter
from .temporal import AverageTables, blocks_to_frames, modulus

# Bytes of a band buffer. On a CPU, two of them and their operands share a level-2 cache of one or two megabytes; on a
# GPU, a chunk should be large enough to fill the device.
_BUFFER_BYTES = {"cpu": 2**18, "cuda": 2**28}
# Below this length a chunk of time costs more to start than to compute.
_MIN_CHUNK = 64


@dataclass(frozen=True)
class FrequentialTables:
    """Tensors of the frequential filters of one path.

    Attributes:
        weights: Real parts of the stacked filters, low-pass first, then the imaginary parts of those that are band-pass;
            shape (rows + rows_band, n1).
        rows: Number of rows of each filter, low-pass first.
        outputs: For each output filter, in the order n_fr: its spin, the filter it comes from, and its average over rows,
            shape (outputs, rows).
    """

    weights: Tensor
    rows: tuple[int, ...]
    outputs: tuple[tuple[int, int, Tensor], ...]

    @classmethod
    def from_plan(
        cls, filters: Sequence[FrequentialFilter], spins: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> FrequentialTables:
        """Copy the arrays of the plan to a dtype and a device.

        Args:
            filters: The filters of a path, low-pass first.
            spins: Spins to keep: (0, 1, -1), or (0, 1) for a first-order path, whose two spins are equal.
            dtype: Real dtype.
            device: Device.

        Returns:
            The tables.
        """
        weights = [torch.as_tensor(f.weights) for f in filters]
        outputs = [
            (n_fr, spin, index, torch.as_tensor(f.average).to(device, dtype))
            for index, f in enumerate(filters)
            for spin, n_fr in f.n_fr.items()
            if spin in spins
        ]
        outputs.sort(key=lambda output: output[0])
        return cls(
            weights=torch.cat([*(w.real for w in weights), *(w.imag for w in weights[1:])]).to(device, dtype),
            rows=tuple(len(w) for w in weights),
            outputs=tuple(output[1:] for output in outputs),
        )

    @property
    def low(self) -> int:
        """Rows of the low-pass filter, which has one spin."""
        return self.rows[0]

    @property
    def n_moduli(self) -> int:
        """Rows of the low-pass filter and of both spins of the others; also the rows of `weights`."""
        return self.weights.shape[0]


def averaged_modulus(
    y: Complex[Tensor, "*batch n1 M"], tables: FrequentialTables, average: AverageTables
) -> Float[Tensor, "*batch moduli blocks taps"]:
    """Filter along log-frequency, take the modulus and average over blocks of time.

    This is the plain path: as the equations read, and safe under any composition of `torch.func` transforms. Its
    memory grows with the number of rows times that of samples.

    Args:
        y: Sub-bands of the scalogram.
        tables: The filters.
        average: The average over time.

    Returns:
        Block averages, for the rows of the low-pass filter, then of the positive and of the negative spins.
    """
    low, rows = tables.low, sum(tables.rows)
    real, imag = tables.weights @ y.real, tables.weights @ y.imag
    p_r, q_r = real[..., low:rows, :], real[..., rows:, :]
    p_i, q_i = imag[..., low:rows, :], imag[..., rows:, :]
    z = torch.cat(
        [
            torch.complex(real[..., :low, :], imag[..., :low, :]),
            torch.complex(p_r - q_i, p_i + q_r),
            torch.complex(p_r + q_i, p_i - q_r),
        ],
        dim=-2,
    )
    return modulus(z).unflatten(-1, (-1, average.size)) @ average.weights


class AveragedModulus(torch.autograd.Function):
    """`averaged_modulus` that recomputes in its backward pass, chunk by chunk, instead of keeping sub-bands in memory."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, tables: FrequentialTables, average: AverageTables) -> Tensor:
        """Block averages of the moduli of `y`, shape (batch, n1, M)."""
        ctx.save_for_backward(y)
        ctx.tables, ctx.average = tables, average
        return averaged_modulus_and_tangents(y[:, None], tables, average)[:, 0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        """Cotangent of `y`; itself differentiable, through the plain path, where a graph is asked for."""
        (y,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            with torch.enable_grad():
                z = averaged_modulus(y, ctx.tables, ctx.average)
                (g,) = torch.autograd.grad(z, y, gradients[0], create_graph=True)
            return g, None, None
        return averaged_modulus_cotangent(y, gradients[0], ctx.tables, ctx.average), None, None


def averaged_modulus_and_tangents(
    y: Complex[Tensor, "batch tangents n1 M"], tables: FrequentialTables, average: AverageTables
) -> Float[Tensor, "batch tangents moduli blocks taps"]:
    """Like `averaged_modulus`, with tangents, at the speed of the machine. Not differentiable.

    Args:
        y: Sub-bands of the scalogram; along the second axis, their values and then their tangents.
        tables: The filters.
        average: The average over time.

    Returns:
        Block averages, and their tangents, along the second axis.
    """
    n_batch, n_tangents, n1, n_time = y.shape
    z = average.weights.new_zeros(n_batch, n_tangents, tables.n_moduli, n_time // average.size, average.taps)
    for chunk in _chunks(y, tables):
        n_items, length = chunk.items.stop - chunk.items.start, chunk.times.stop - chunk.times.start
        columns = n_items * length
        operand = y.real.new_empty(n1, 2, n_items, length)
        buffer = y.real.new_empty(tables.n_moduli, 2, columns)
        moduli = y.real.new_empty(tables.n_moduli, columns)
        sums = average.uniform is not None and n_items == 1

        _filter(y[chunk.items, 0, :, chunk.times], tables, operand, buffer)
        if n_tangents == 1 and sums:
            kernels.modulus_sums(buffer, tables.low, z[chunk.items.start, 0, :, 0, 0])
            continue
        if n_tangents == 1:
            kernels.moduli(buffer, tables.low, moduli)
        else:
            phase = torch.empty_like(buffer)
            kernels.phases(buffer, tables.low, moduli, phase)
        _accumulate(z[chunk.items, 0], moduli, chunk, average)
        for p in range(1, n_tangents):
            _filter(y[chunk.items, p, :, chunk.times], tables, operand, buffer)
            if sums:
                kernels.projection_sums(phase, buffer, tables.low, z[chunk.items.start, p, :, 0, 0])
            else:
                kernels.project(phase, buffer, tables.low, moduli)
                _accumulate(z[chunk.items, p], moduli, chunk, average)
    return z if average.uniform is None else z.mul_(average.uniform)


def averaged_modulus_cotangent(
    y: Complex[Tensor, "batch n1 M"],
    gradient: Float[Tensor, "batch moduli blocks taps"],
    tables: FrequentialTables,
    average: AverageTables,
) -> Complex[Tensor, "batch n1 M"]:
    """Cotangent of the input of `averaged_modulus` from one of its output. Not differentiable.

    Args:
        y: Sub-bands of the scalogram.
        gradient: Cotangent of the block averages.
        tables: The filters.
        average: The average over time.

    Returns:
        Cotangent of the sub-bands, in the convention of PyTorch for complex tensors.
    """
    n1 = y.shape[1]
    out = torch.empty_like(y)
    for chunk in _chunks(y, tables):
        n_items, length = chunk.items.stop - chunk.items.start, chunk.times.stop - chunk.times.start
        operand = y.real.new_empty(n1, 2, n_items, length)
        buffer = y.real.new_empty(tables.n_moduli, 2, n_items * length)
        _filter(y[chunk.items, :, chunk.times], tables, operand, buffer)
        cotangent = torch.empty_like(buffer)
        kernels.cotangents(buffer, tables.low, _spread(gradient[chunk.items], chunk, average), cotangent)
        torch.mm(tables.weights.T, cotangent.flatten(1), out=operand.view(n1, -1))
        target = torch.view_as_real(out)[chunk.items, :, chunk.times]
        target.copy_(operand.permute(2, 0, 3, 1))
    return out


def rows_to_outputs(
    z: Float[Tensor, "*batch moduli blocks taps"], tables: FrequentialTables, average: AverageTables
) -> list[Float[Tensor, "*batch outputs frames"]]:
    """Average over rows and frames: one tensor for each filter and spin, in the order n_fr.

    Args:
        z: Block averages from `averaged_modulus`.
        tables: The filters.
        average: The average over time.

    Returns:
        The scattering coefficients of each filter.
    """
    frames = blocks_to_frames(z, average)
    positive = torch.split(frames[..., : sum(tables.rows), :], tables.rows, dim=-2)
    negative = torch.split(frames[..., sum(tables.rows) :, :], tables.rows[1:], dim=-2)
    return [
        matrix @ (negative[index - 1] if spin < 0 else positive[index]) for spin, index, matrix in tables.outputs
    ]


@dataclass(frozen=True)
class _Chunk:
    """Items of a batch and a stretch of time that are processed at once."""

    items: slice
    times: slice


def _chunks(y: Tensor, tables: FrequentialTables) -> Iterator[_Chunk]:
    n_time = y.shape[-1]
    columns = _BUFFER_BYTES.get(y.device.type, 2**26) // (2 * tables.n_moduli * y.real.element_size())
    length = min(n_time, max(_MIN_CHUNK, 2 ** (columns.bit_length() - 1)))
    # The compiled kernels sum over one item at a time; a GPU takes as many as fit.
    n_items = 1 if kernels.fused(y) else max(1, columns // length)
    for start in range(0, y.shape[0], n_items):
        for time in range(0, n_time, length):
            yield _Chunk(slice(start, min(start + n_items, y.shape[0])), slice(time, time + length))


def _filter(y: Tensor, tables: FrequentialTables, operand: Tensor, buffer: Tensor) -> None:
    """Real matrix products of `y`, shape (items, n1, time), into a band buffer, by way of real and imaginary planes."""
    operand.copy_(torch.view_as_real(y).permute(1, 3, 0, 2))
    torch.mm(tables.weights, operand.view(operand.shape[0], -1), out=buffer.view(buffer.shape[0], -1))


def _accumulate(z: Tensor, moduli: Tensor, chunk: _Chunk, average: AverageTables) -> None:
    """Add the contributions of a chunk to the block averages `z`, shape (items, rows, blocks, taps)."""
    n_items, length, size = z.shape[0], chunk.times.stop - chunk.times.start, average.size
    m = moduli.unflatten(-1, (n_items, length)).movedim(1, 0)
    if average.uniform is not None:  # the weight is applied once, at the end
        z[:, :, 0, 0] += m.sum(-1)
    elif length >= size:
        blocks = slice(chunk.times.start // size, chunk.times.stop // size)
        z[:, :, blocks] = m.unflatten(-1, (-1, size)) @ average.weights
    else:
        offset = chunk.times.start % size
        z[:, :, chunk.times.start // size] += m @ average.weights[offset : offset + length]


def _spread(gradient: Tensor, chunk: _Chunk, average: AverageTables) -> Tensor:
    """Cotangent of the moduli of a chunk, shape (rows, columns), from that of the block averages."""
    n_items, length, size = gradient.shape[0], chunk.times.stop - chunk.times.start, average.size
    if average.uniform is not None:
        g = average.uniform * gradient[:, :, 0]
        return (g[0] if n_items == 1 else g.expand(-1, -1, length).movedim(0, 1).flatten(1)).contiguous()
    if length >= size:
        blocks = slice(chunk.times.start // size, chunk.times.stop // size)
        g = (gradient[:, :, blocks] @ average.weights.T).flatten(2)
    else:
        offset = chunk.times.start % size
        g = gradient[:, :, chunk.times.start // size] @ average.weights[offset : offset + length].T
    return g.movedim(0, 1).flatten(1).contiguous()
