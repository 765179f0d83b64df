"""Morlet filterbanks and padding: the constants of the scattering network, as Kymatio has them.

This is the only module that imports Kymatio, and it imports its NumPy filter formulas alone: `kymatio.torch`
does not import with SciPy >= 1.17, and none of Kymatio's transforms is used here.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Shaped
from kymatio.scattering1d.filter_bank import (
    compute_sigma_psi,
    compute_temporal_support,
    compute_xi_max,
    gauss_1d,
    get_max_dyadic_subsampling,
    morlet_1d,
)

__all__ = [
    "SIGMA0",
    "WaveletBank",
    "as_applied",
    "gauss",
    "impulse_response",
    "max_subsampling",
    "morlet",
    "padded_length",
    "padded_length_fr",
    "periodize",
    "short_padded_length",
    "wanted_length",
    "wavelet_bank",
    "without_subnormals",
]

# Constants of ScatNet and Kymatio. They are not options: the centre frequencies, and so the meaning of every
# scattering path, depend on them.
R_PSI = math.sqrt(0.5)  # adjacent wavelets peak at 1 and meet at this height
SIGMA0 = 0.1  # the low-pass filter of support T has bandwidth SIGMA0 / T
ALPHA = 5.0  # a filter ends ALPHA bandwidths away from its centre frequency

# Values below this fraction of the largest one are set to zero, so that no product is a subnormal number.
SUBNORMAL = 1e-20


@dataclass(frozen=True)
class WaveletBank:
    """Centre frequencies, bandwidths and subsampling of a wavelet bank, from high to low frequency.

    Attributes:
        xi: Centre frequency of each wavelet, in cycles per sample, in (0, 0.5).
        sigma: Bandwidth of each wavelet, in cycles per sample.
        j: Base-2 logarithm of the subsampling that each wavelet allows.
    """

    xi: tuple[float, ...]
    sigma: tuple[float, ...]
    j: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.xi)


def wavelet_bank(J: int, Q: int) -> WaveletBank:
    """Centre frequencies and bandwidths of a bank with `Q` wavelets per octave and maximal scale `2**J`.

    Constant-Q above an elbow frequency and constant-bandwidth below it, so that no wavelet is longer than `2**J`.

    Args:
        J: Base-2 logarithm of the maximal scale, in samples.
        Q: Wavelets per octave.

    Returns:
        The bank, from high to low frequency.

    Source:
        Andén and Mallat, "Deep scattering spectrum", IEEE TSP 2014, section II; Lostanlen, PhD thesis, 2017.
    """
    xi = compute_xi_max(Q)
    sigma = compute_sigma_psi(xi, Q, r=R_PSI)
    sigma_min = SIGMA0 / 2**J
    ratio = 2 ** (1 / Q)

    xis: list[float] = []
    sigmas: list[float] = []
    if sigma <= sigma_min:
        elbow = sigma
    else:
        xis.append(xi)
        sigmas.append(sigma)
        while sigma > sigma_min * ratio:
            xi, sigma = xi / ratio, sigma / ratio
            xis.append(xi)
            sigmas.append(sigma)
        elbow = xi
    for q in range(1, Q):
        xis.append(elbow * (1 - q / Q))
        sigmas.append(sigma_min)
    js = [max_subsampling(xi, sigma) for xi, sigma in zip(xis, sigmas, strict=True)]
    return WaveletBank(tuple(xis), tuple(sigmas), tuple(js))


def max_subsampling(xi: float, sigma: float) -> int:
    """Base-2 logarithm of the subsampling after which a filter at `±xi` is still free of aliasing."""
    return int(get_max_dyadic_subsampling(abs(xi), sigma, ALPHA))


def morlet(n: int, xi: float, sigma: float) -> Float[np.ndarray, " n"]:
    """Fourier transform of a Morlet wavelet on `n` bins, normalized to unit mass of its modulus in time.

    Args:
        n: Number of samples, and of Fourier bins in the order of `numpy.fft.fftfreq`.
        xi: Centre frequency in cycles per sample; negative for a negative spin.
        sigma: Bandwidth in cycles per sample.

    Returns:
        The real-valued Fourier transform, shape `(n,)`.
    """
    return np.asarray(morlet_1d(n, xi, sigma), dtype=np.float64)


def gauss(n: int, sigma: float) -> Float[np.ndarray, " n"]:
    """Fourier transform of a Gaussian low-pass filter on `n` bins, normalized to unit mass in time.

    Args:
        n: Number of samples.
        sigma: Bandwidth in cycles per sample.

    Returns:
        The real-valued Fourier transform, shape `(n,)`.
    """
    return np.asarray(gauss_1d(n, sigma), dtype=np.float64)


def periodize(filter_hat: Float[np.ndarray, " n"], log2_subsampling: int) -> Float[np.ndarray, " m"]:
    """Fourier transform of a filter sampled `2**log2_subsampling` times more coarsely in time."""
    return np.asarray(filter_hat.reshape(2**log2_subsampling, -1).sum(axis=0))


def impulse_response(filter_hat: Float[np.ndarray, " n"]) -> Complex[np.ndarray, " n"]:
    """Filter in time (or along log-frequency) from its Fourier transform."""
    return np.asarray(np.fft.ifft(filter_hat))


def without_subnormals(values: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
    """Set values to zero that are invisible beside the largest one."""
    return np.where(np.abs(values) > SUBNORMAL * np.abs(values).max(), values, 0)


def as_applied(filter_hat: Float[np.ndarray, "*shape"], normalization: str) -> Float[np.ndarray, "*shape"]:
    """Filters as they are applied.

    Kymatio keeps its filters in float32, even to compute in float64; its values include that rounding. The far tails of
    a Gaussian are subnormal numbers, on which processors are a hundred times slower: they are zero here.

    Args:
        filter_hat: Fourier transforms of filters.
        normalization: "mean", or "kymatio" for its rounding.

    Returns:
        The Fourier transforms, in float64.
    """
    if normalization == "kymatio":
        filter_hat = filter_hat.astype(np.float32).astype(np.float64)
    return without_subnormals(filter_hat)


def wanted_length(n: int, T: float) -> int:
    """Length at which filters of support `T` do not wrap around a signal of `n` samples."""
    with warnings.catch_warnings():
        # "Signal support is too small": expected and harmless for T close to n, where padding is bounded anyway.
        warnings.simplefilter("ignore", UserWarning)
        support = compute_temporal_support(gauss(n, SIGMA0 / T).reshape(1, -1), criterion_amplitude=1e-3)
    return int(n + 6 * support)


def short_padded_length(n: int, T: float, multiple: int) -> int:
    """Length that is fast to transform and leaves half of the signal's length to wide filters.

    Args:
        n: Length of the signal in samples.
        T: Support of the temporal low-pass filter in samples.
        multiple: Power of two that divides the length.

    Returns:
        1, 3, 5 or 9 times a power of two: blocks of time are cut by powers of two.
    """
    least = min(wanted_length(n, T), math.ceil(1.5 * n))
    return min(
        multiple * odd << math.ceil(math.log2(max(1, least / (multiple * odd)))) for odd in (1, 3, 5, 9)
    )


def padded_length(n: int, T: float) -> int:
    """Power of two to which a signal of `n` samples is padded, so that filters of support `T` do not wrap around.

    Args:
        n: Length of the signal in samples.
        T: Support of the temporal low-pass filter in samples.

    Returns:
        The padded length. It is below `3 n - 2`, so that reflection never needs more than the signal has.
    """
    wanted = math.ceil(math.log2(wanted_length(n, T)))
    allowed = math.floor(math.log2(3 * n - 2))
    return int(2 ** min(wanted, allowed))


def padded_length_fr(J: int, Q: int, J_fr: int, support: float) -> int:
    """Length to which the log-frequency axis is padded: a multiple of `2**J_fr` above the number of wavelets.

    Args:
        J: Base-2 logarithm of the maximal temporal scale.
        Q: First-order wavelets per octave.
        J_fr: Base-2 logarithm of the maximal scale along log-frequency.
        support: Support of the widest filter that must not wrap around, in first-order wavelets.

    Returns:
        The padded length, in first-order wavelets.
    """
    return int((((J + 1) * Q + 8 * support) // 2**J_fr) * 2**J_fr)
