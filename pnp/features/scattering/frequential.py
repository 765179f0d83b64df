"""The frequential half of scattering: wavelets along log-frequency, modulus, averages.

Nearly all of the time of a scattering transform goes by here. The log-frequency axis is short, so convolution along it
is a small matrix W applied at each time step, and both spins come from one pass because W- = conj(W+):

    y[r, t] = sum_n W[r, n] Y[n, t],      z[r] = mean_t |y[r, t]|.

A tangent of Y goes to a tangent of z as dz[r] = mean_t Re(conj(y / |y|) W dY)[r, t], a cotangent of z to one of Y as
W^H (dz y / |y|). Both are computed chunk by chunk of time, while the moduli and phases are still in cache, and nothing
of the size (rows, time) is ever in memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from pnp._torch.modes import full_precision
from pnp.features.scattering import kernels
from pnp.features.scattering.paths import FrequentialFilter
from pnp.features.scattering.temporal import AverageTables, blocks_to_frames, modulus
from pnp.features.scattering.threads import workspace

__all__ = [
    "FrequentialTables",
    "averaged_modulus",
    "averaged_modulus_and_tangents",
    "averaged_modulus_cotangent",
    "chunk_length",
    "rows_to_outputs",
]

# Bytes of a band buffer. On a CPU it shares a level-2 cache of one or two megabytes with its operands; on a GPU a chunk
# should be large enough to fill the device.
_BUFFER_BYTES = {"cpu": 2**20, "cuda": 2**30}
# Below this length a chunk of time costs more to start than to compute.
_MIN_CHUNK = 128


@dataclass(frozen=True)
class FrequentialTables:
    """Tensors of the frequential filters of one path.

    Attributes:
        weights: Real parts of the stacked filters, low-pass first, then the imaginary parts of those that are
            band-pass; shape (rows + rows_band, n1).
        rows: Number of rows of each filter, low-pass first.
        outputs: For each output filter, in the order n_fr: its spin, the filter it comes from, and its average over
            rows, shape (outputs, rows).
    """

    weights: Tensor
    rows: tuple[int, ...]
    outputs: tuple[tuple[int, int, Tensor], ...]

    @classmethod
    def from_plan(
        cls,
        filters: Sequence[FrequentialFilter],
        spins: Sequence[int],
        dtype: torch.dtype,
        device: torch.device,
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
        filters = [f.pruned(float(torch.finfo(dtype).eps)) for f in filters]
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


class _Product(torch.autograd.Function):
    """Product with a constant matrix, on its left or its right.

    PyTorch's own is computed in half precision where the backward pass runs under autocast.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor, z: Tensor, left: bool) -> Tensor:
        return _product(matrix, z, left)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])
        ctx.left = inputs[2]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        return None, _Product.apply(ctx.saved_tensors[0].mT, gradients[0], ctx.left), None  # type: ignore[no-untyped-call, unused-ignore]

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _product(ctx.saved_tensors[0], tangents[1], ctx.left)


def _product(matrix: Tensor, z: Tensor, left: bool) -> Tensor:
    with full_precision(z):
        return matrix @ z if left else z @ matrix


def _multiply(matrix: Tensor, z: Tensor) -> Tensor:
    """Multiply `z` by a constant matrix on its left."""
    product: Tensor = _Product.apply(matrix, z, True)  # type: ignore[no-untyped-call, unused-ignore]
    return product


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
    real, imag = _multiply(tables.weights, y.real), _multiply(tables.weights, y.imag)
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
    blocks = modulus(z).unflatten(-1, (-1, average.size))
    averages: Tensor = _Product.apply(average.weights, blocks, False)  # type: ignore[no-untyped-call, unused-ignore]
    return averages


def chunk_length(n_time: int, n_signals: int, tables: FrequentialTables, average: AverageTables) -> int:
    """Samples to process at once, a divisor of all, so that the band buffers of all signals fit in cache."""
    weights = tables.weights
    samples = _BUFFER_BYTES.get(weights.device.type, 2**26) // (
        2 * n_signals * weights.nbytes // weights.shape[1]
    )
    longest = max(_MIN_CHUNK, 1 << (max(samples, 1).bit_length() - 1))
    if average.uniform is None:
        # Blocks of time are powers of two: a chunk has whole blocks, or a block whole chunks.
        return n_time if n_time <= longest else math.gcd(n_time, longest)
    count = -(-n_time // longest)
    while n_time % count:
        count += 1
    return n_time // count


def averaged_modulus_and_tangents(
    planes: Float[Tensor, "chunks n1 signals 2 length"], tables: FrequentialTables, average: AverageTables
) -> Float[Tensor, "signals moduli blocks taps"]:
    """Filter, take the modulus and its tangents, and average, at the speed of the machine. Not differentiable.

    Args:
        planes: Sub-bands of the scalogram and of its tangents, from `temporal.second_order_planes`.
        tables: The filters.
        average: The average over time.

    Returns:
        Block averages, then their tangents, along the first axis.
    """
    n_chunks, n1, n_signals, _, length = planes.shape
    z = planes.new_zeros(n_signals, tables.n_moduli, n_chunks * length // average.size, average.taps)
    buffer = _memory("buffer", (tables.n_moduli, n_signals, 2, length), planes)
    flat = buffer.view(tables.n_moduli, -1)
    # What a step takes in Python, other threads wait for: as little as can be.
    operands = planes.view(n_chunks, n1, -1).unbind()
    if average.uniform is not None:
        sums = z[:, :, 0, 0]
        for operand in operands:
            torch.mm(tables.weights, operand, out=flat)
            kernels.projection_sums(buffer, tables.low, sums)
        return z.mul_(average.uniform)
    moduli = _memory("moduli", (tables.n_moduli, n_signals, length), planes)
    rows_first = z.transpose(0, 1)
    for i, operand in enumerate(operands):
        torch.mm(tables.weights, operand, out=flat)
        kernels.projections(buffer, tables.low, moduli)
        _accumulate(rows_first, moduli, i * length, average)
    return z


def averaged_modulus_cotangent(
    planes: Float[Tensor, "chunks n1 1 2 length"],
    gradient: Float[Tensor, "moduli blocks taps"],
    tables: FrequentialTables,
    average: AverageTables,
) -> None:
    """Cotangent of the input of `averaged_modulus` from one of its output. Not differentiable.

    Args:
        planes: Sub-bands of the scalogram, from `temporal.second_order_planes`; their cotangents are written to it, in
            the convention of PyTorch for complex tensors.
        gradient: Cotangent of the block averages.
        tables: The filters.
        average: The average over time.
    """
    n_chunks, n1, _, _, length = planes.shape
    buffer = _memory("buffer", (tables.n_moduli, 2, length), planes)
    cotangent = _memory("cotangent", (tables.n_moduli, 2, length), planes)
    flat, flat_cotangent = buffer.view(tables.n_moduli, -1), cotangent.view(tables.n_moduli, -1)
    weights, transposed = tables.weights, tables.weights.T
    spread = None if average.uniform is None else (average.uniform * gradient[:, 0]).contiguous()
    for i, operand in enumerate(planes.view(n_chunks, n1, -1).unbind()):
        torch.mm(weights, operand, out=flat)
        chunk = _spread(gradient, i * length, length, average) if spread is None else spread
        kernels.cotangents(buffer, tables.low, chunk, cotangent)
        torch.mm(transposed, flat_cotangent, out=operand)


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
    rows = list(tables.rows)
    positive = frames[..., : sum(rows), :].split(rows, dim=-2)
    negative = frames[..., sum(rows) :, :].split(rows[1:], dim=-2)
    return [
        _multiply(matrix, negative[index - 1] if spin < 0 else positive[index])
        for spin, index, matrix in tables.outputs
    ]


def _memory(name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
    return workspace(name, shape, like.dtype) if like.device.type == "cpu" else like.new_empty(shape)


def _accumulate(z: Tensor, moduli: Tensor, start: int, average: AverageTables) -> None:
    """Add what a chunk of moduli, shape (rows, signals, length), brings to (rows, signals, blocks, taps)."""
    length, size = moduli.shape[-1], average.size
    if length >= size:
        blocks = slice(start // size, (start + length) // size)
        z[:, :, blocks] = moduli.unflatten(-1, (-1, size)) @ average.weights
    else:
        offset = start % size
        z[:, :, start // size] += moduli @ average.weights[offset : offset + length]


def _spread(gradient: Tensor, start: int, length: int, average: AverageTables) -> Tensor:
    """Cotangent of a chunk of moduli, shape (rows, length), from that of the block averages."""
    size = average.size
    if length >= size:
        blocks = slice(start // size, (start + length) // size)
        return (gradient[:, blocks] @ average.weights.T).flatten(1).contiguous()
    offset = start % size
    return (gradient[:, start // size] @ average.weights[offset : offset + length].T).contiguous()
