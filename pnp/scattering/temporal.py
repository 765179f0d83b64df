"""The temporal half of scattering: wavelets along time, in the Fourier domain.

Every function is linear or pointwise, works on any leading axes, and is safe under `torch.func` transforms. A linear
function serves signals and their tangents alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor

from . import kernels
from .kernels import EPSILON
from .plan import FirstOrderGroup, SecondOrderPath, TimeAverage

@dataclass(frozen=True)
class GroupTables:
    """Tensors of a `FirstOrderGroup`."""

    log2_stride: int
    psi: Tensor
    psi_negative: Tensor
    low_pass: Tensor

    @classmethod
    def from_plan(cls, group: FirstOrderGroup, dtype: torch.dtype, device: torch.device) -> GroupTables:
        """Copy the arrays of the plan to a dtype and a device."""
        low_pass = torch.as_tensor(group.low_pass).to(device, dtype.to_complex())
        psi, negative = (torch.as_tensor(a).to(device, dtype) for a in (group.psi, group.psi_negative))
        return cls(group.log2_stride, psi, negative, low_pass)

    def rows(self, start: int, stop: int) -> GroupTables:
        """Some of the wavelets of the group."""
        return replace(self, psi=self.psi[start:stop], psi_negative=self.psi_negative[start:stop])


@dataclass(frozen=True)
class AverageTables:
    """Tensors of a `TimeAverage`.

    Attributes:
        weights: Shape (size, taps).
        source: Shape (frames, taps).
        uniform: The weight, where one frame weighs all samples alike; otherwise None.
    """

    weights: Tensor
    source: Tensor
    uniform: float | None

    @classmethod
    def from_plan(cls, average: TimeAverage, dtype: torch.dtype, device: torch.device) -> AverageTables:
        """Copy the arrays of the plan to a dtype and a device."""
        weight = float(average.weights[0, 0])
        whole = average.source.size == 1 and bool((average.weights == weight).all())
        return cls(
            weights=torch.as_tensor(average.weights).to(device, dtype).contiguous(),
            source=torch.as_tensor(average.source).to(device),
            uniform=weight if whole else None,
        )

    @property
    def size(self) -> int:
        """Samples in a block."""
        return self.weights.shape[0]

    @property
    def taps(self) -> int:
        """Frames that a block contributes to."""
        return self.weights.shape[1]


@dataclass(frozen=True)
class PathTables:
    """Tensors of the temporal half of a `SecondOrderPath`."""

    n1_max: int
    psi: Tensor
    psi_negative: Tensor

    @classmethod
    def from_plan(cls, path: SecondOrderPath, dtype: torch.dtype, device: torch.device) -> PathTables:
        """Copy the arrays of the plan to a dtype and a device."""
        psi, negative = (torch.as_tensor(a).to(device, dtype) for a in (path.psi, path.psi_negative))
        return cls(path.n1_max, psi, negative)


def pad(x: Float[Tensor, "*batch samples"], left: int, right: int, mode: str) -> Float[Tensor, "*batch padded"]:
    """Extend a signal at both ends, by reflection or by zeros."""
    if mode == "zero":
        return F.pad(x, (left, right))
    # torch reflects tensors of two or three axes only.
    flat = F.pad(x.reshape(-1, x.shape[-1]), (left, right), mode="reflect")
    return flat.reshape(*x.shape[:-1], flat.shape[-1])


def first_order(x_hat: Complex[Tensor, "*batch N"], group: GroupTables) -> Complex[Tensor, "*batch n1 M"]:
    """Convolve with the wavelets of a group and subsample.

    Args:
        x_hat: Fourier transform of the padded signal.
        group: The wavelets.

    Returns:
        The analytic sub-bands, at the stride of the group.
    """
    n = group.psi.shape[-1]
    u_hat = x_hat[..., None, :n] * group.psi
    if group.log2_stride:
        folded = u_hat[..., n // 2 :] + x_hat[..., None, x_hat.shape[-1] - n // 2 :] * group.psi_negative
        u_hat = torch.cat([u_hat[..., : n // 2], folded], dim=-1)
    return torch.fft.ifft(u_hat)


class _Modulus(torch.autograd.Function):
    """|z|, with derivative z / (|z| + EPSILON): that of Kymatio, which is zero at zero and fades out in rounding noise."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor) -> Tensor:
        return z.abs()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)
        ctx.save_for_forward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        z, r = ctx.saved_tensors
        return torch.as_tensor(z * (gradients[0] / (r + EPSILON)))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        z, r = ctx.saved_tensors
        return torch.as_tensor((z.real * tangents[0].real + z.imag * tangents[0].imag) / (r + EPSILON))


def modulus(z: Complex[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Complex modulus, differentiable everywhere and under every `torch.func` transform."""
    r: Tensor = _Modulus.apply(z)
    return r


def modulus_and_tangents(z: Complex[Tensor, "tangents *shape"]) -> Float[Tensor, "tangents *shape"]:
    """Modulus of the first entry of `z`, and its tangents along the others. Not differentiable."""
    out = torch.empty(z.shape, dtype=z.dtype.to_real(), device=z.device)
    kernels.modulus_tangents(z.flatten(1), out.flatten(1))
    return out


def coefficients(u: Float[Tensor, "*batch M"]) -> Complex[Tensor, "*batch bins"]:
    """Fourier coefficients of a real signal, normalized so that they do not depend on its sampling rate."""
    return torch.fft.rfft(u, norm="forward")


def low_pass(c: Complex[Tensor, "*batch bins"], weights: Complex[Tensor, "kept frames"]) -> Float[Tensor, "*batch frames"]:
    """Local averages of a real signal from its Fourier coefficients."""
    return (c[..., : weights.shape[0]] @ weights).real


def second_order(
    c: Sequence[Complex[Tensor, "*batch _ _"]], path: PathTables
) -> Complex[Tensor, "*batch n1 M"]:
    """Convolve the scalogram with a second-order wavelet along time and subsample.

    Args:
        c: Fourier coefficients of the modulus of first-order sub-bands, one tensor for each group in turn.
        path: The wavelet. It takes the first `n1_max` rows of the groups.

    Returns:
        The analytic sub-bands of the scalogram.
    """
    n = path.psi.shape[-1]
    left, parts = path.n1_max, []
    for group in c:
        if left <= 0:
            break
        rows = group[..., :left, :]
        left -= rows.shape[-2]
        if rows.shape[-1] < n:  # the group is sampled no faster than this path: complete its bins by symmetry
            rows = torch.cat([rows, rows[..., 1 : n - rows.shape[-1] + 1].flip(-1).conj()], dim=-1)
        parts.append(rows[..., :n])
    c_low = torch.cat(parts, dim=-2)
    y_hat = c_low * path.psi
    mirrored = c_low[..., 1 : n // 2 + 1].flip(-1).conj() * path.psi_negative
    y_hat = torch.cat([y_hat[..., : n // 2], y_hat[..., n // 2 :] + mirrored], dim=-1)
    return torch.fft.ifft(y_hat, norm="forward")


def blocks_to_frames(z: Float[Tensor, "*batch blocks taps"], average: AverageTables) -> Float[Tensor, "*batch frames"]:
    """Sum the contributions of blocks of samples to each frame; see `plan.TimeAverage`."""
    if average.source.numel() == 1:
        return z[..., 0, :]
    index = average.source * average.taps + torch.arange(average.taps, device=z.device)
    return z.flatten(-2)[..., index].sum(-1)
