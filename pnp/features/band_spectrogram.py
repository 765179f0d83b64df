"""Coarse spectrograms: power in bands and frames, at several window lengths, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp._arguments import whole_number
from pnp._torch.modes import full_precision

__all__ = ["BandSpectrogram"]

# Windows as parts of a sound's length, and the shortest.
_PARTS, _SHORTEST = (64, 16, 4), 16
# Bands an octave, and frames over the whole sound, about.
_PER_OCTAVE, _FRAMES = 8, 32


class BandSpectrogram(nn.Module):
    r"""Power spectrograms of three window lengths, averaged over bands and frames.

    With powers p, features are log(1 + p / p_0). Windows are Hann's, of a quarter, a 16th and a 64th of a sound, and
    half of each is the hop. Bands are triangles, eight an octave where the window tells them apart. Frames are
    averaged, so that there are at most 64. The sound is silent beyond its ends.

    They tell sounds apart less finely than scattering does. They cost little, and vary smoothly where partials
    interfere, so that a search gets far on them.

    Args:
        n_samples: Length N of sounds in samples.
        floor: Power p_0 in units of the mean square of samples.

    Raises:
        ValueError: If there are no samples, or the floor is not positive.

    Examples:
        >>> BandSpectrogram(1024, floor=0.01)(torch.ones(2, 1024)).shape
        torch.Size([2, 2074])
    """

    # Its own tangents are products.
    forward_mode = False

    def __init__(self, n_samples: int, floor: float) -> None:
        super().__init__()
        self.n_samples, self.floor = whole_number("n_samples", n_samples, least=1), float(floor)
        if not 0.0 < self.floor < math.inf:
            raise ValueError(f"floor must be a positive power, got {floor}")
        self.windows = _windows(self.n_samples)
        for window in self.windows:
            self.register_buffer(f"bands_{window}", _bands(window), persistent=False)

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON can hold them."""
        return {"n_samples": self.n_samples, "floor": self.floor}

    def forward(self, x: Shaped[Tensor, "B N"]) -> Float[Tensor, "B C"]:
        """Features of sounds.

        Args:
            x: Sounds, shape (B, N).

        Returns:
            Logarithms of powers, shape (B, C), weighted so that each window counts alike.
        """
        scales = []
        for window in self.windows:
            z = self._transform(x, window)
            p = self._averaged(z.real.square() + z.imag.square(), window)
            scales.append(self._compressed(p))
        return torch.cat(scales, dim=-1)

    @torch.no_grad()
    def value_and_tangents(
        self, x: Shaped[Tensor, "B N"], dx: Shaped[Tensor, "B P N"]
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B P C"]]:
        """Features and their directional derivatives.

        Args:
            x: Sounds, shape (B, N).
            dx: Tangents of the sounds, shape (B, P, N).

        Returns:
            Features, shape (B, C), and their tangents, shape (B, P, C).
        """
        values, tangents = [], []
        for window in self.windows:
            z = self._transform(x, window)[:, None]
            dz = self._transform(dx.flatten(0, 1), window).unflatten(0, dx.shape[:2])
            p = self._averaged((z.real.square() + z.imag.square())[:, 0], window)
            dp = self._averaged((2.0 * (z.real * dz.real + z.imag * dz.imag)).flatten(0, 1), window)
            values.append(self._compressed(p))
            slope = _weight(p) / (p + self.floor)
            tangents.append((dp.unflatten(0, dx.shape[:2]) * slope[:, None]).flatten(2))
        return torch.cat(values, dim=-1), torch.cat(tangents, dim=-1)

    def _transform(self, x: Tensor, window: int) -> Tensor:
        hann = torch.hann_window(window, dtype=x.dtype, device=x.device)
        with full_precision(x):
            return torch.stft(
                x,
                window,
                window // 2,
                window=hann,
                pad_mode="constant",
                normalized=True,
                return_complex=True,
            )

    def _compressed(self, power: Tensor) -> Tensor:
        return (torch.log1p(power / self.floor) * _weight(power)).flatten(1)

    def _averaged(self, power: Tensor, window: int) -> Tensor:
        """Averages over bands and frames, shape (B, bands, frames)."""
        with full_precision(power):
            bands = torch.matmul(getattr(self, f"bands_{window}").to(power), power)
        together = max(1, bands.shape[-1] // _FRAMES)
        return nn.functional.avg_pool1d(bands, together) if together > 1 else bands


def _windows(n_samples: int) -> Sequence[int]:
    """Window lengths whose transforms are fast, the shortest first."""
    from scipy.fft import next_fast_len

    wanted = [max(n_samples // part, _SHORTEST) for part in _PARTS]
    return sorted({2 * int(next_fast_len((length + 1) // 2, real=True)) for length in wanted})


def _bands(window: int) -> Float[Tensor, "bands F"]:
    """Weights of the bins of a window in each band, of sum 1."""
    step = 2.0 ** (1.0 / _PER_OCTAVE)
    count = 1 + int(_PER_OCTAVE * math.log2(window / 4))
    centres = 2.0 * step ** torch.arange(count, dtype=torch.float64)[:, None]
    # At least as wide as from one bin to the next.
    low = torch.minimum(centres / step, centres - 1.0)
    high = torch.maximum(centres * step, centres + 1.0)
    bins = torch.arange(window // 2 + 1, dtype=torch.float64)
    triangles = torch.minimum((bins - low) / (centres - low), (high - bins) / (high - centres)).clamp_min(0.0)
    return (triangles / triangles.sum(1, keepdim=True)).float()


def _weight(p: Tensor) -> float:
    return 1.0 / math.sqrt(p[0].numel())
