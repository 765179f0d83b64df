"""Scalogram for pictures: how strong a sound is at each time and log-frequency."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pnp._arguments import finite_number, whole_number

__all__ = ["scalogram"]


def scalogram(
    x: Shaped[Tensor, " N"],
    sample_rate: float,
    low: float,
    high: float,
    bins_per_octave: int = 24,
    quality: float = 16.0,
) -> tuple[Float[Tensor, "K N"], Float[Tensor, " K"]]:
    r"""Modulus of convolutions with analytic Gaussian wavelets of constant quality.

    Wavelet k has the frequency response :math:`\exp(-\tfrac12 ((f - f_k) / \sigma_k)^2)` for f > 0, with
    :math:`\sigma_k = f_k / (2 q \sqrt{2 \ln 2})`: its response is half as large half a bandwidth f_k/(2q) away.

    Args:
        x: Sound, shape (N,).
        sample_rate: Sampling rate in Hz.
        low: Lowest centre frequency in Hz.
        high: No centre frequency is higher, in Hz.
        bins_per_octave: Wavelets per octave.
        quality: Centre frequency over bandwidth, q.

    Returns:
        Moduli, shape (K, N), and centre frequencies in Hz, ascending, shape (K,).

    Raises:
        ValueError: If the frequencies are not 0 < low < high <= sample_rate / 2.

    Examples:
        >>> t = torch.arange(1024) / 1024
        >>> moduli, frequencies = scalogram(torch.sin(2 * math.pi * 128 * t), 1024, 32, 512)
        >>> round(float(frequencies[moduli.mean(1).argmax()]))
        128
    """
    sample_rate = finite_number("sample_rate", sample_rate, above=0)
    low, high = finite_number("low", low, above=0), finite_number("high", high, above=0)
    bins_per_octave = whole_number("bins_per_octave", bins_per_octave, least=1)
    quality = finite_number("quality", quality, above=0)
    if not isinstance(x, Tensor) or x.ndim != 1 or not x.is_floating_point():
        raise TypeError("x must be a floating-point tensor of shape (N,)")
    if not 0 < low < high <= sample_rate / 2:
        raise ValueError(
            f"expected 0 < low < high <= {sample_rate / 2:g} Hz, half the sampling rate, got {low} and {high}"
        )
    k = torch.arange(math.floor(bins_per_octave * math.log2(high / low)) + 1, dtype=x.dtype)
    centres = low * torch.exp2(k / bins_per_octave)
    sigma = centres / (2.0 * quality * math.sqrt(2.0 * math.log(2.0)))
    f = torch.fft.fftfreq(len(x), 1.0 / sample_rate, dtype=x.dtype)
    response = torch.exp(-0.5 * ((f - centres[:, None]) / sigma[:, None]).square()) * (f > 0)
    return torch.fft.ifft(torch.fft.fft(x) * response).abs(), centres
