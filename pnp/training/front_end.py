"""Front end of the encoder: spectrograms of several window lengths on one axis of log-frequency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import finite_number, whole_number, whole_numbers
from pnp._torch.modes import KeepingModule

__all__ = ["LogFrequencySpectrogram", "log_frequency_bank"]

# Bands times samples of a window: the weights of a bank take four bytes each for half of that.
_MOST_WEIGHTS = 2**27


def log_frequency_bank(
    sample_rate: float, n_fft: int, n_bands: int, n_octaves: float
) -> Float[Tensor, "K bins"]:
    """Triangular weights that pool the bins of a real FFT into bands spaced evenly in log-frequency.

    Args:
        sample_rate: Sampling rate in Hz.
        n_fft: Length of the FFT.
        n_bands: Number of bands K, the first of them n_octaves below the Nyquist frequency.
        n_octaves: Range of the bands.

    Returns:
        Weights, float64, shape (K, n_fft // 2 + 1), each row summing to 1.
    """
    bin_width = sample_rate / n_fft
    octaves = torch.linspace(-n_octaves, 0.0, n_bands + 1, dtype=torch.float64)[:-1]
    centres = sample_rate / 2 * 2.0**octaves
    # Half of a triangle reaches to the next centre; where bands are closer than bins, to the next bin.
    widths = (centres * (2.0 ** (n_octaves / n_bands) - 1)).clamp(min=bin_width)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * bin_width
    weights = (1 - (bins - centres[:, None]).abs() / widths[:, None]).clamp(min=0)
    return torch.nn.functional.normalize(weights, p=1.0, dim=-1)


class LogFrequencySpectrogram(KeepingModule):
    """Spectrograms with several window lengths, pooled onto bands even in log-frequency and compressed.

    Short windows resolve modulations in time, long ones pitch; all share hop and bands, so that they stack as
    the channels of an image, which is what a convolutional network wants. Its cost is that of one FFT a frame
    and window, far below that of a scattering transform; it is the network's ear, not the metric's.

    Args:
        sample_rate: Sampling rate in Hz.
        n_bands: Number of bands K.
        n_octaves: Octaves from the lowest band to the Nyquist frequency.
        frame_rate: Frames a second; the hop is the nearest power of two samples. Modulations up to half of it
            show.
        windows: Lengths of the W Hann windows, in hops.
        gain: Factor before compression: an amplitude of 1/gain is where it turns from linear to logarithmic.
    """

    bank: Tensor

    def __init__(
        self,
        sample_rate: float,
        *,
        n_bands: int = 48,
        n_octaves: float = 8.0,
        frame_rate: float = 128.0,
        windows: Sequence[int] = (2, 16),
        gain: float = 1e3,
    ) -> None:
        super().__init__()
        self.sample_rate = finite_number("sample_rate", sample_rate, above=0)
        self.n_bands = n_bands = whole_number("n_bands", n_bands, least=1)
        self.n_octaves = n_octaves = finite_number("n_octaves", n_octaves, above=0)
        # A hop is one sample or more.
        self.frame_rate = finite_number("frame_rate", frame_rate, above=0, most=self.sample_rate)
        self.windows = whole_numbers("windows", windows, least=1)
        self.gain = finite_number("gain", gain, above=0)
        self.hop = 2 ** round(math.log2(self.sample_rate / self.frame_rate))
        self.n_fft = max(self.windows) * self.hop
        if n_bands * self.n_fft > _MOST_WEIGHTS:
            raise ValueError(
                f"{n_bands} bands of windows of {self.n_fft} samples take more memory than any sound needs; expected "
                f"at most {_MOST_WEIGHTS:,} for their product. Likely cause: a frame rate far below one a second."
            )
        for length in self.windows:
            # Padded with zeros to a common length, so that one bank of bands serves all windows. Divided by
            # its sum: a sinusoid of amplitude A has magnitude A/2 whatever the window.
            window = torch.hann_window(length * self.hop)
            self.register_buffer(f"window_{length}", window / window.sum(), persistent=False)
        bank = log_frequency_bank(sample_rate, self.n_fft, n_bands, n_octaves)
        self.register_buffer("bank", bank.float(), persistent=False)

    def config(self) -> dict[str, Any]:
        """Options, JSON-able: front ends with the same ones make the same of a sound."""
        names = ("sample_rate", "n_bands", "n_octaves", "frame_rate", "gain")
        return {name: getattr(self, name) for name in names} | {"windows": list(self.windows)}

    def forward(self, x: Tensor) -> Float[Tensor, "B W K frames"]:
        """Compressed band magnitudes.

        Args:
            x: Sounds, shape (B, N).

        Returns:
            log(1 + gain · magnitude), shape (B, W, K, ⌊N / hop⌋).

        Raises:
            ValueError: If `x` does not have two axes, or is shorter than a hop.
        """
        if x.ndim != 2 or x.shape[-1] < self.hop:
            raise ValueError(
                f"Sounds must have shape (B, N) with N at least one hop, {self.hop} samples; got "
                f"{tuple(x.shape)}."
            )
        bands = []
        for length in self.windows:
            spectrum = torch.stft(
                x,
                self.n_fft,
                self.hop,
                win_length=length * self.hop,
                window=self.get_buffer(f"window_{length}").to(x.dtype),
                pad_mode="constant",
                return_complex=True,
            )
            bands.append(torch.matmul(self.bank.to(x.dtype), spectrum.abs()))
        # The last frame is centred on the end of the sound; without it their number is a power of two if N
        # is.
        return torch.log1p(self.gain * torch.stack(bands, dim=1)[..., : x.shape[-1] // self.hop])
