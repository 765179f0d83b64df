"""Magnitudes of short-time Fourier transforms at several window lengths: what spectrogram losses compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp._arguments import whole_numbers
from pnp._torch.modes import full_precision

__all__ = ["MultiscaleSpectrogram"]


class MultiscaleSpectrogram(nn.Module):
    r"""Magnitude spectrograms at several scales, flattened to one axis.

    Each scale is divided by its number of coefficients and by the number of scales, so that the sum of absolute
    differences is the multiscale spectrogram loss

    .. math:: \frac{1}{K} \sum_{k=1}^{K} \mathrm{mean}\big|\,|X_k| - |Y_k|\,\big|.

    Windows are Hann's, a quarter of which is the hop; signals are reflected at their ends.

    Args:
        windows: Window lengths in samples, multiples of 4.

    Raises:
        ValueError: If there is no window, or one is not a positive multiple of 4.

    Source:
        Vahidi et al., "Mesostructures: Beyond spectrogram loss in differentiable time-frequency analysis", JAES
        2023, equation 2; windows of 32 to 1024 samples as in the software of that paper.

    Examples:
        >>> MultiscaleSpectrogram((64, 32))(torch.ones(2, 128)).shape
        torch.Size([2, 586])
    """

    # Its own tangents are products.
    forward_mode = False

    def __init__(self, windows: Sequence[int] = (1024, 512, 256, 128, 64, 32)) -> None:
        super().__init__()
        self.windows = whole_numbers("windows", windows, least=4)
        for window in self.windows:
            if window % 4:
                raise ValueError(f"window lengths must be multiples of 4 samples, got {window}")

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON can hold them."""
        return {"windows": list(self.windows)}

    def forward(self, x: Shaped[Tensor, "*batch N"]) -> Float[Tensor, "*batch C"]:
        """Spectrograms of sounds.

        Args:
            x: Sounds, shape (..., N).

        Returns:
            Scaled magnitudes, shape (..., C).

        Raises:
            ValueError: If a sound is too short to be reflected by half of the longest window.
        """
        signals = x.reshape(-1, x.shape[-1])
        scales = [self._weigh(_modulus(self._transform(signals, window))) for window in self.windows]
        magnitudes = torch.cat(scales, dim=-1)
        return magnitudes.reshape(*x.shape[:-1], magnitudes.shape[-1])

    @torch.no_grad()
    def value_and_tangents(
        self, x: Shaped[Tensor, "B N"], dx: Shaped[Tensor, "B P N"]
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B P C"]]:
        """Spectrograms and their directional derivatives.

        Args:
            x: Sounds, shape (B, N).
            dx: Tangents of the sounds, shape (B, P, N).

        Returns:
            Scaled magnitudes, shape (B, C), and their tangents, shape (B, P, C). Where a magnitude is 0, so is its
            tangent.
        """
        stacked = torch.cat([x.unsqueeze(1), dx], dim=1)
        values, tangents = [], []
        for window in self.windows:
            Z = self._transform(stacked.flatten(0, 1), window).unflatten(0, stacked.shape[:2])
            z, dz = Z[:, :1], Z[:, 1:]
            magnitude = z.abs()
            values.append(self._weigh(magnitude[:, 0]))
            # Below the smallest normal number a division by the modulus overflows.
            audible = magnitude > torch.finfo(magnitude.dtype).tiny
            phase = torch.where(audible, z.conj() / magnitude, 0.0)
            tangents.append(self._weigh((phase * dz).real.flatten(0, 1)).unflatten(0, dx.shape[:2]))
        return torch.cat(values, dim=-1), torch.cat(tangents, dim=-1)

    def _transform(self, x: Tensor, window: int) -> Tensor:
        if x.shape[-1] <= window // 2:
            raise ValueError(
                f"a window of {window} samples needs sounds of more than {window // 2} samples, got {x.shape[-1]}"
            )
        hann = torch.hann_window(window, dtype=x.dtype, device=x.device)
        with full_precision(x):
            return torch.stft(x, window, window // 4, window=hann, return_complex=True)

    def _weigh(self, magnitude: Tensor) -> Tensor:
        flat = magnitude.flatten(1)
        return flat / (flat.shape[1] * len(self.windows))


def _modulus(z: Tensor) -> Tensor:
    """|z|, whose derivative at 0 is 0."""
    silent = z == 0
    return torch.where(silent, 0.0, torch.where(silent, 1.0, z).abs())
