"""Noise floor of a recording: one draw of white noise, its level, and a recording without it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "NOISE_HIGHEST",
    "NOISE_LOWEST",
    "NOISY",
    "four_phases",
    "noise_draw",
    "noise_draws",
    "noise_floor",
    "noise_share",
    "without_noise",
]

# Range of the norm of the noise relative to that of the recording. The lowest is silence: −80 dB.
NOISE_LOWEST, NOISE_HIGHEST = 1e-4, 1.0
# A noise floor is looked for where the recording seems to have one of this part of its norm: −50 dB.
NOISY = 3e-3
_SEED = 2024
_WINDOW, _FEWEST_WINDOWS = 256, 4
# A sound fills some cells of a spectrogram, noise all of them: of their magnitudes, this quantile is the noise's. The
# median is not: drums and strings fill more than half of the cells.
_QUANTILE = 0.1
# A magnitude of noise is below this multiple of that quantile in all but 0.01 % of cells: Rayleigh's distribution.
_GATE = math.sqrt(math.log(1e-4) / math.log(1.0 - _QUANTILE))


def noise_draw(x: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Return white noise of norm 1, float64: the same for every recording of that length.

    Args:
        x: Recording, shape (N,). Where it is padded with zeros, there is no noise either.
    """
    return noise_draws(x, 1, seed=_SEED)[0]


def noise_floor(x: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Return white noise as loud as the floor of a recording, float64; silence where it seems to have none.

    Args:
        x: Recording, shape (N,).
    """
    share = noise_share(x)
    level = share * float(torch.linalg.vector_norm(x.double())) if share > NOISY else 0.0
    return level * noise_draw(x)


def noise_draws(x: Float[Tensor, " N"], count: int, seed: int) -> Float[Tensor, "K N"]:
    """Return draws of white noise of norm 1, float64.

    Args:
        x: Recording, shape (N,). Where it is padded with zeros, there is no noise either.
        count: Number of draws K.
        seed: Seed of all.
    """
    first, end = _extent(x)
    draws = torch.zeros(count, len(x), dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    for draw in draws:
        draw[first:end] = torch.randn(len(x), generator=generator, dtype=torch.float64)[first:end]
    unit: Tensor = draws / torch.linalg.vector_norm(draws, dim=-1, keepdim=True)
    return unit


def four_phases(draws: Float[Tensor, "K N"]) -> Float[Tensor, "K4 N"]:
    """Return each draw with all its partials turned by 0, 90, 180 and 270 degrees, one after another.

    Args:
        draws: Draws of noise of norm 1, shape (K, N).
    """
    n = draws.shape[-1]
    spectrum = torch.fft.rfft(draws)
    # Partials at zero and at the Nyquist frequency have no quarter turn.
    spectrum[..., 0] = 0.0
    spectrum[..., n // 2 :] *= n % 2
    turned = torch.fft.irfft(-1j * spectrum, n=n) * (draws != 0)
    turned = turned / torch.linalg.vector_norm(turned, dim=-1, keepdim=True)
    return torch.stack([draws, turned, -draws, -turned], dim=1).flatten(0, 1)


def noise_share(x: Float[Tensor, " N"]) -> float:
    """Estimate the norm of white noise in a recording relative to the norm of the whole.

    A sound fills some cells of a spectrogram, noise all of them: the lowest tenth of the magnitudes is that of the
    noise. Where a sound leaves fewer than a tenth of the cells free, the estimate is too high.

    Args:
        x: Recording, shape (N,); zeros at its ends are not counted.

    Returns:
        Share between `NOISE_LOWEST` and `NOISE_HIGHEST`; the lowest for one that is silent or too short to tell.
    """
    first, end = _extent(x)
    if end - first < _FEWEST_WINDOWS * _WINDOW or not x.any():
        return NOISE_LOWEST
    heard = x[first:end].double()
    # Of noise with variance 1, each squared magnitude has an exponential distribution with the window's energy as mean.
    energy = float(torch.hann_window(_length(heard), dtype=heard.dtype).square().sum())
    level = _lowest(heard) / math.sqrt(-math.log(1.0 - _QUANTILE) * energy)
    share = level * math.sqrt(len(heard)) / float(torch.linalg.vector_norm(heard))
    return min(max(share, NOISE_LOWEST), NOISE_HIGHEST)


def without_noise(x: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Return a recording less its noise floor, to look it up among sounds that have none.

    Each cell of a spectrogram loses the power that noise has at most.

    Args:
        x: Recording, shape (N,).

    Returns:
        Shape (N,); the recording itself where nothing would be left.

    Source:
        Boll, "Suppression of acoustic noise in speech using spectral subtraction", IEEE TASSP 27 (1979).
    """
    first, end = _extent(x)
    heard = x[first:end]
    length = _length(heard)
    Z = _spectrogram(heard)
    magnitude = Z.abs()
    floor = _GATE * _lowest(heard)
    gain = (1.0 - (floor / magnitude.clamp_min(torch.finfo(x.dtype).tiny)).square()).clamp_min(0.0)
    window = torch.hann_window(length, dtype=x.dtype)
    quiet = torch.zeros_like(x)
    quiet[first:end] = torch.istft(Z * gain, length, length // 4, window=window, length=len(heard))
    return quiet if float(torch.linalg.vector_norm(quiet)) else x


def _extent(x: Tensor) -> tuple[int, int]:
    """Return the samples between which there is more than padding."""
    heard = x.nonzero()
    return (int(heard[0]), int(heard[-1]) + 1) if len(heard) else (0, len(x))


def _lowest(x: Tensor) -> float:
    """Return the quantile of the magnitudes at which noise is alone."""
    magnitudes = _spectrogram(x).abs().flatten()
    return float(magnitudes.kthvalue(1 + int(_QUANTILE * (len(magnitudes) - 1))).values)


def _spectrogram(x: Tensor) -> Tensor:
    window = torch.hann_window(_length(x), dtype=x.dtype)
    spectrogram: Tensor = torch.stft(
        x, _length(x), _length(x) // 4, window=window, pad_mode="constant", return_complex=True
    )
    return spectrogram


def _length(x: Tensor) -> int:
    """Return the window length: a power of two that is at most a quarter of the sound."""
    return min(_WINDOW, 1 << int(math.log2(max(len(x) // 4, 4))))
