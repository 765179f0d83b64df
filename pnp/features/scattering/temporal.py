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

from pnp.features.scattering import kernels
from pnp.features.scattering.kernels import EPSILON
from pnp.features.scattering.paths import FirstOrderGroup, SecondOrderPath, TimeAverage
from pnp.features.scattering.threads import workspace

__all__ = [
    "AverageTables",
    "GroupTables",
    "PathTables",
    "add_low_bins",
    "blocks_to_frames",
    "coefficients",
    "first_order",
    "from_planes",
    "low_pass",
    "modulus",
    "pad",
    "scalogram_cotangent",
    "scalogram_spectrum",
    "second_order",
    "second_order_cotangent",
    "second_order_planes",
    "to_planes",
]

# Sub-bands that a core computes together, in samples: enough Fourier transforms in a call to share its set-up, few
# enough to stay in cache.
SUBBAND_SAMPLES = 2**19


@dataclass(frozen=True)
class GroupTables:
    """Tensors of a `FirstOrderGroup`."""

    n_samples: int
    psi: Tensor
    psi_negative: Tensor
    low_pass: Tensor
    bins: int

    @classmethod
    def from_plan(cls, group: FirstOrderGroup, dtype: torch.dtype, device: torch.device) -> GroupTables:
        """Copy the arrays of the plan to a dtype and a device."""
        arrays = (group.psi, group.psi_negative, group.low_pass)
        psi, negative, low = (torch.as_tensor(array).to(device, dtype) for array in arrays)
        return cls(group.n_samples, psi, negative, low, group.bins)

    def parts(self, n_signals: int) -> list[GroupTables]:
        """The group, cut on a CPU into what a core computes together; n_signals go through each wavelet."""
        n1 = len(self.psi)
        step = (
            max(1, SUBBAND_SAMPLES // (self.n_samples * n_signals)) if self.psi.device.type == "cpu" else n1
        )
        cuts = [slice(start, start + step) for start in range(0, n1, step)]
        return [replace(self, psi=self.psi[cut], psi_negative=self.psi_negative[cut]) for cut in cuts]


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
        # One sample a block is no average: it may be the one frame that is kept of several.
        whole = average.source.size == 1 and average.size > 1 and bool((average.weights == weight).all())
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
    start: int
    stop: int

    @classmethod
    def from_plan(cls, path: SecondOrderPath, dtype: torch.dtype, device: torch.device) -> PathTables:
        """Copy the arrays of the plan to a dtype and a device."""
        psi, negative = (torch.as_tensor(a).to(device, dtype) for a in (path.psi, path.psi_negative))
        return cls(path.n1_max, psi, negative, path.start, path.stop)

    @property
    def n_samples(self) -> int:
        """Samples of a sub-band that are not silent."""
        return self.stop - self.start


def pad(
    x: Float[Tensor, "*batch samples"], left: int, right: int, mode: str
) -> Float[Tensor, "*batch padded"]:
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
    u: Tensor = torch.fft.ifft(_first_order_spectrum(x_hat, group))
    return u


def _first_order_spectrum(x_hat: Tensor, group: GroupTables) -> Tensor:
    n, half = group.psi.shape[-1], group.psi_negative.shape[-1]
    u_hat = x_hat[..., None, :n] * group.psi
    if group.n_samples > n:
        u_hat = F.pad(u_hat, (0, group.n_samples - n))
    if half:
        folded = u_hat[..., -half:] + x_hat[..., None, -half:] * group.psi_negative
        u_hat = torch.cat([u_hat[..., :-half], folded], dim=-1)
    return u_hat


class _Modulus(torch.autograd.Function):
    """|z|, with derivative z / (|z| + EPSILON): Kymatio's, which is zero at zero and fades out in rounding noise."""

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
    r: Tensor = _Modulus.apply(z)  # type: ignore[no-untyped-call, unused-ignore]
    return r


def scalogram_spectrum(
    x_hat: Complex[Tensor, "signals N"], group: GroupTables
) -> Complex[Tensor, "signals n1 bins"]:
    """Fourier coefficients of the scalogram of a signal, and of its tangents. Not differentiable.

    Args:
        x_hat: Fourier transforms of the padded signal, then of its tangents.
        group: Some wavelets.

    Returns:
        Non-negative Fourier coefficients of |x * psi|, then of its tangents.
    """
    if kernels.fused(x_hat):
        u_hat = workspace("u_hat", (len(x_hat), len(group.psi), group.n_samples), x_hat.dtype)
        kernels.first_order_spectrum(x_hat, group.psi, group.psi_negative, u_hat)
    else:
        u_hat = _first_order_spectrum(x_hat, group)
    u = torch.fft.ifft(u_hat)
    u1 = workspace("u1", u.shape, u.dtype.to_real()) if kernels.fused(u) else torch.empty_like(u.real)
    kernels.modulus_tangents(u.flatten(1), u1.view(u1.shape[0], -1))
    return coefficients(u1, group.bins)


def scalogram_cotangent(
    x_hat: Complex[Tensor, "1 N"], group: GroupTables, gradient: Complex[Tensor, "n1 bins"]
) -> Complex[Tensor, "N"]:
    """Cotangent of `x_hat` from that of the Fourier coefficients of its scalogram. Not differentiable.

    Args:
        x_hat: Fourier transform of the padded signal.
        group: Some wavelets.
        gradient: Cotangent of what `scalogram_spectrum` returned, in the convention of PyTorch for complex tensors.

    Returns:
        Cotangent of the Fourier transform.
    """
    n, half = group.psi.shape[-1], group.psi_negative.shape[-1]
    u = first_order(x_hat, group)[0]
    # The inverse real transform counts every bin but the first and the last twice, as a pair of conjugates.
    halves = gradient / 2
    halves[:, 0] *= 2
    if group.bins == group.n_samples // 2 + 1:
        halves[:, -1] *= 2
    kernels.modulus_cotangent(u, torch.fft.irfft(halves, group.n_samples))
    u_hat = torch.fft.fft(u, norm="forward")
    out = torch.zeros_like(x_hat[0])
    out[:n] = (u_hat[:, :n] * group.psi).sum(0)
    if half:
        out[-half:] += (u_hat[:, -half:] * group.psi_negative).sum(0)
    return out


def coefficients(u: Float[Tensor, "*batch M"], bins: int | None = None) -> Complex[Tensor, "*batch bins"]:
    """Fourier coefficients of a real signal, normalized so that they do not depend on its sampling rate.

    Args:
        u: The signal.
        bins: Number of coefficients, from 0 on; by default all.
    """
    c: Tensor = torch.fft.rfft(u, norm="forward")
    return c if bins is None or bins == c.shape[-1] else c[..., :bins].contiguous()


def low_pass(
    c: Complex[Tensor, "*batch bins"], weights: Float[Tensor, " kept"], n_averages: int
) -> Float[Tensor, "*batch averages"]:
    """Local averages of a real signal from its first Fourier coefficients, at most `n_averages` of them."""
    averages: Tensor = torch.fft.ifft(c[..., : len(weights)] * weights, n_averages, norm="forward").real
    return averages


def second_order(
    c: Sequence[Complex[Tensor, "*batch _ _"]], path: PathTables
) -> Complex[Tensor, "*batch n1 M"]:
    """Convolve the scalogram with a second-order wavelet along time and subsample.

    Args:
        c: Fourier coefficients of the modulus of first-order sub-bands, one tensor for each group in turn.
        path: The wavelet. It takes the first `n1_max` rows of the groups.

    Returns:
        The analytic sub-bands of the scalogram, where they are not silent.
    """
    n = path.psi.shape[-1]
    left, parts = path.n1_max, []
    for group in c:
        if left <= 0:
            break
        rows = _low_bins(group[..., :left, :], n)
        left -= rows.shape[-2]
        parts.append(rows)
    c_low = torch.cat(parts, dim=-2)
    y_hat = c_low * path.psi
    mirrored = c_low[..., 1 : n // 2 + 1].flip(-1).conj() * path.psi_negative
    y_hat = torch.cat([y_hat[..., : n // 2], y_hat[..., n // 2 :] + mirrored], dim=-1)
    y: Tensor = torch.fft.ifft(y_hat, norm="forward")[..., path.start : path.stop]
    return y


def _low_bins(c: Tensor, n: int) -> Tensor:
    """Bins 0 to n - 1 of the spectrum of a real signal of at least n samples, from its non-negative half."""
    missing = n - c.shape[-1]
    if missing > 0:  # the group is sampled no faster than the path: complete its bins by symmetry
        c = torch.cat([c, c[..., 1 : missing + 1].flip(-1).conj()], dim=-1)
    return c[..., :n]


def second_order_planes(
    c: Sequence[Complex[Tensor, "signals _ _"]], path: PathTables, length: int
) -> Float[Tensor, "chunks n1 signals 2 length"]:
    """`second_order` of a signal and its tangents, in real and imaginary planes, cut into chunks. Not differentiable.

    Args:
        c: Fourier coefficients of the scalogram and of its tangents, by groups of wavelets.
        path: The second-order wavelet.
        length: Samples in a chunk.

    Returns:
        The sub-bands. On a CPU, a workspace that the next call overwrites.
    """
    n_signals, n = c[0].shape[0], path.psi.shape[-1]
    shape = (path.n_samples // length, path.n1_max, n_signals, 2, length)
    if not kernels.fused(c[0]):
        return to_planes(second_order(c, path), length)
    planes = workspace("planes", shape, path.psi.dtype)
    step = min(path.n1_max, max(1, SUBBAND_SAMPLES // (n * n_signals)))
    y_hat = workspace("y_hat", (n_signals, step, n), c[0].dtype)
    done = filled = 0
    for group in c:
        if group.shape[-1] < n:
            group = _low_bins(group, n).contiguous()
        start = 0
        while start < group.shape[1] and done + filled < path.n1_max:
            rows = min(group.shape[1] - start, step - filled, path.n1_max - done - filled)
            kernels.second_order_spectrum(group, start, path.psi, path.psi_negative, y_hat, filled, rows)
            start, filled = start + rows, filled + rows
            if filled == step or done + filled == path.n1_max:
                y = torch.fft.ifft(y_hat[:, :filled], norm="forward")
                kernels.to_planes(y, path.start, planes, done)
                done, filled = done + filled, 0
    return planes


def from_planes(planes: Float[Tensor, "chunks n1 1 2 length"]) -> Complex[Tensor, "n1 M"]:
    """Inverse of `to_planes`, for one signal."""
    n_chunks, n1, _, _, length = planes.shape
    y = planes.new_empty(n1, n_chunks, length, 2)
    y.copy_(planes[:, :, 0].permute(1, 0, 3, 2))
    return torch.view_as_complex(y).flatten(1)


def second_order_cotangent(
    planes: Float[Tensor, "chunks n1 1 2 length"], path: PathTables
) -> Complex[Tensor, "n1 M"]:
    """Cotangent of the low bins of the scalogram's spectrum, 0 to M - 1, from that of a path's sub-bands.

    Args:
        planes: Cotangent of what `second_order_planes` returned, for one signal.
        path: The second-order wavelet.

    Returns:
        The cotangent, for `add_low_bins`.
    """
    n = path.psi.shape[-1]
    y_hat: Tensor = torch.fft.fft(F.pad(from_planes(planes), (path.start, n - path.stop)))
    mirrored = y_hat[:, n // 2 :] * path.psi_negative
    y_hat *= path.psi
    y_hat[:, 1 : n // 2 + 1] += mirrored.flip(-1).conj()
    return y_hat


def add_low_bins(c: Complex[Tensor, "n1 bins"], low: Complex[Tensor, "n1 M"]) -> None:
    """Add a cotangent of bins 0 to M - 1 of the spectrum of a real signal to that of its non-negative half."""
    bins, n = c.shape[-1], low.shape[-1]
    c[:, : min(n, bins)] += low[:, :bins]
    if n > bins:
        c[:, 1 : n - bins + 1] += low[:, bins:].flip(-1).conj()


def to_planes(y: Complex[Tensor, "signals n1 M"], length: int) -> Float[Tensor, "chunks n1 signals 2 length"]:
    """Sub-bands in real and imaginary planes, cut into chunks of time."""
    planes: Tensor = torch.view_as_real(y).unflatten(2, (-1, length)).permute(2, 1, 0, 4, 3).contiguous()
    return planes


def blocks_to_frames(
    z: Float[Tensor, "*batch blocks taps"], average: AverageTables
) -> Float[Tensor, "*batch frames"]:
    """Sum the contributions of blocks of samples to each frame; see `plan.TimeAverage`."""
    if average.source.numel() == 1:
        return z[..., 0, :]
    # Tap by tap: all contributions at once would be a tensor many times as large as the result. The taps are taken
    # apart in one step: the gradient of each selection from `z` would be as large as `z`.
    parts, sources = z.unbind(-1), average.source.unbind(-1)
    frames = parts[0].index_select(-1, sources[0])
    for part, source in zip(parts[1:], sources[1:], strict=True):
        frames = frames + part.index_select(-1, source)
    return frames
