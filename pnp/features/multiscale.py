"""Multiscale spectrograms as a feature map, with auraloss's windows. Needs the extra `pnp-metric[train]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp._arguments import finite_number, whole_number, whole_numbers
from pnp._torch.modes import full_precision, ordinary

__all__ = ["MultiscaleSTFT"]


class MultiscaleSTFT(nn.Module):
    """Magnitudes of short-time Fourier transforms at several resolutions, those of auraloss's multi-resolution loss.

    Under `SpectralLoss(synth, MultiscaleSTFT(), power=1)` two sounds are as far apart as
    `auraloss.freq.MultiResolutionSTFTLoss(w_sc=0)` says: each resolution is divided by its number of bins and by the
    number of resolutions, so that sums become its means. Its spectral convergence is left out: divided by the norm of
    the target, it is a distance of no feature map. Under `power=2` it is the same with squares in place of absolute
    values.

    Args:
        fft_sizes: Lengths of the Fourier transforms in samples, one a resolution.
        hop_sizes: Hops in samples.
        win_lengths: Lengths of the Hann windows in samples.
        log_weight: Weight of the logarithms of the magnitudes.
        linear_weight: Weight of the magnitudes themselves.
        power: The power that the differences are raised to, 1 or 2: weights are of the distance, not of the features.

    Raises:
        ImportError: If auraloss is not installed.
        ValueError: If the lists differ in length, a weight is negative, both are 0, or `power` is not 1 or 2.

    Source:
        Yamamoto, Song, Kim, "Parallel WaveGAN", ICASSP 2020, section 2.2; resolutions and magnitudes as in Steinmetz,
        Reiss, "auraloss", DMRN+15, 2020.

    Examples:
        >>> features = MultiscaleSTFT(fft_sizes=(64,), hop_sizes=(16,), win_lengths=(32,))  # doctest: +SKIP
        >>> features(torch.randn(2, 256)).shape  # doctest: +SKIP
        torch.Size([2, 561])
    """

    def __init__(
        self,
        fft_sizes: Sequence[int] = (1024, 2048, 512),
        hop_sizes: Sequence[int] = (120, 240, 50),
        win_lengths: Sequence[int] = (600, 1200, 240),
        *,
        log_weight: float = 1.0,
        linear_weight: float = 0.0,
        power: int = 1,
    ) -> None:
        super().__init__()
        self.fft_sizes = whole_numbers("fft_sizes", fft_sizes, least=2)
        self.hop_sizes = whole_numbers("hop_sizes", hop_sizes, least=1)
        self.win_lengths = whole_numbers("win_lengths", win_lengths, least=1)
        self.log_weight = finite_number("log_weight", log_weight, least=0)
        self.linear_weight = finite_number("linear_weight", linear_weight, least=0)
        self.power = whole_number("power", power, least=1, most=2)
        if not len(fft_sizes) == len(hop_sizes) == len(win_lengths) >= 1:
            raise ValueError(
                "Each resolution needs an FFT size, a hop size and a window length; got "
                f"{len(fft_sizes)}, {len(hop_sizes)} and {len(win_lengths)} of them."
            )
        if not 0 < self.log_weight + self.linear_weight < math.inf:
            raise ValueError(
                f"log_weight and linear_weight must not both be 0, and their sum must be finite, got {log_weight} and "
                f"{linear_weight}"
            )
        for size, length in zip(self.fft_sizes, self.win_lengths, strict=True):
            if length > size:
                raise ValueError(f"a window must not be longer than its FFT of {size} samples, got {length}")
        try:
            from auraloss.freq import MultiResolutionSTFTLoss
        except ImportError as error:
            raise ImportError(
                "Multiscale spectrograms need auraloss; install it with `pip install pnp-metric[train]`."
            ) from error
        # A resolution keeps its window, which must serve in training whatever mode it is made in.
        with ordinary():
            loss = MultiResolutionSTFTLoss(list(self.fft_sizes), list(self.hop_sizes), list(self.win_lengths))
        self.resolutions: nn.ModuleList = loss.stft_losses

    def config(self) -> dict[str, Any]:
        """Options, as JSON can hold them."""
        return {
            "fft_sizes": list(self.fft_sizes),
            "hop_sizes": list(self.hop_sizes),
            "win_lengths": list(self.win_lengths),
            "log_weight": self.log_weight,
            "linear_weight": self.linear_weight,
            "power": self.power,
        }

    def forward(self, x: Tensor) -> Float[Tensor, "B C"]:
        """Weighted magnitudes of all resolutions in a row.

        Args:
            x: Sounds, shape (B, N).

        Returns:
            Features, shape (B, C).

        Raises:
            ValueError: If `x` does not have two axes, or is too short to be reflected at its ends.
        """
        if x.ndim != 2 or x.shape[-1] <= max(self.fft_sizes) // 2:
            raise ValueError(
                f"Sounds must have shape (B, N) with N above half the longest FFT, {max(self.fft_sizes) // 2} "
                f"samples; got {tuple(x.shape)}."
            )
        parts = []
        for resolution in self.resolutions:
            # A plain attribute there, which does not follow its module.
            with ordinary():
                resolution.window = resolution.window.to(x)
            with full_precision(x):
                magnitude = resolution.stft(x)[0].flatten(1)  # type: ignore[operator]  # modules are typed as tensors
            share = 1 / (magnitude.shape[-1] * len(self.resolutions))
            for weight, values in ((self.log_weight, magnitude.log), (self.linear_weight, magnitude.clone)):
                if weight:
                    parts.append((weight * share) ** (1 / self.power) * values())
        return torch.cat(parts, dim=1)
