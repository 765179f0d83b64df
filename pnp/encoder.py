"""A small network from sound to synthesizer parameters, for demonstrations and comparisons of losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp.parameters import ParameterSpace


class LogFrequencySpectrogram(nn.Module):
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
        n_bands: int = 64,
        n_octaves: float = 8.0,
        frame_rate: float = 64.0,
        windows: Sequence[int] = (2, 8),
        gain: float = 1e3,
    ) -> None:
        super().__init__()
        self.sample_rate = float(sample_rate)
        self.n_bands = n_bands
        self.n_octaves = float(n_octaves)
        self.frame_rate = float(frame_rate)
        self.windows = tuple(windows)
        self.gain = float(gain)
        self.hop = 2 ** round(math.log2(sample_rate / frame_rate))
        self.n_fft = max(self.windows) * self.hop
        for length in self.windows:
            # Padded with zeros to a common length, so that one bank of bands serves all windows. Divided by
            # its sum: a sinusoid of amplitude A has magnitude A/2 whatever the window.
            window = torch.hann_window(length * self.hop)
            self.register_buffer(f"window_{length}", window / window.sum(), persistent=False)
        self.register_buffer("bank", self._bank(), persistent=False)

    def _bank(self) -> Tensor:
        """Triangular weights of FFT bins in each band, shape (K, n_fft/2 + 1), each row summing to 1."""
        nyquist, bin_width = self.sample_rate / 2, self.sample_rate / self.n_fft
        octaves = torch.linspace(-self.n_octaves, 0.0, self.n_bands + 1, dtype=torch.float64)[:-1]
        centres = nyquist * 2.0**octaves
        # Half of a triangle reaches to the next centre; where bands are closer than bins, to the next bin.
        widths = (centres * (2.0 ** (self.n_octaves / self.n_bands) - 1)).clamp(min=bin_width)
        bins = torch.arange(self.n_fft // 2 + 1, dtype=torch.float64) * bin_width
        weights = (1 - (bins - centres[:, None]).abs() / widths[:, None]).clamp(min=0)
        return torch.nn.functional.normalize(weights, p=1.0, dim=-1).float()

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


class Encoder(nn.Module):
    """Convolutional network from sounds to parameters in the unit cube.

    Spectrograms, standardized per channel and band; four convolutions that halve both axes; mean and maximum
    over time, which make it indifferent to where in the recording a sound is; two dense layers; a tanh onto
    the cube.

    `forward` is `body(front_end(x))`: a training loop computes the front end, which has nothing to learn,
    once.

    Args:
        space: Parameters to predict, P of them.
        sample_rate: Sampling rate of the sounds in Hz.
        n_channels: Channels of the convolutions.
        n_hidden: Units of the dense layer.
        front_end: Options of `LogFrequencySpectrogram`.
    """

    offset: Tensor
    deviation: Tensor

    def __init__(
        self,
        space: ParameterSpace,
        sample_rate: float,
        *,
        n_channels: Sequence[int] = (16, 32, 48, 64),
        n_hidden: int = 128,
        front_end: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.space = space
        self.sample_rate = float(sample_rate)
        self.n_channels = tuple(n_channels)
        self.n_hidden = n_hidden
        self.front_end_options = dict(front_end or {})
        self.front_end = LogFrequencySpectrogram(sample_rate, **self.front_end_options)
        n_windows, n_bands = len(self.front_end.windows), self.front_end.n_bands
        self.register_buffer("offset", torch.zeros(n_windows, n_bands, 1))
        self.register_buffer("deviation", torch.ones(n_windows, n_bands, 1))
        layers: list[nn.Module] = []
        n_inputs = n_windows
        for n_outputs in self.n_channels:
            kernel = 5 if n_inputs == n_windows else 3
            layers += [
                nn.Conv2d(n_inputs, n_outputs, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(n_outputs),
                nn.ReLU(),
            ]
            n_inputs = n_outputs
            n_bands = (n_bands + 1) // 2
        self.convolutions = nn.Sequential(*layers)
        last = nn.Linear(n_hidden, len(space))
        # Begin at the centre of the cube. From anywhere near its faces the tanh lets hardly any gradient
        # through, and what the metric weighs little stays there for most of a short training.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.dense = nn.Sequential(nn.Linear(2 * n_inputs * n_bands, n_hidden), nn.ReLU(), last, nn.Tanh())

    def standardize(self, spectrograms: Tensor) -> None:
        """Set offset and scale of the input from the front end's output over training sounds.

        Args:
            spectrograms: Output of `front_end`, shape (n, W, K, frames).
        """
        self.offset.copy_(spectrograms.mean((0, 3))[..., None])
        # One scale a channel: bands that hold nothing but the tails of others are not blown up to equal size.
        centred = spectrograms - self.offset
        self.deviation.copy_(centred.square().mean((0, 2, 3), keepdim=True)[0].sqrt().clamp(min=1e-6))

    def body(self, spectrograms: Tensor) -> Float[Tensor, "B P"]:
        """Predict parameters from spectrograms.

        Args:
            spectrograms: Output of `front_end`, shape (B, W, K, frames).

        Returns:
            û in (−1, 1), shape (B, P).
        """
        maps = self.convolutions((spectrograms - self.offset) / self.deviation)
        u_hat: Tensor = self.dense(torch.cat([maps.mean(-1), maps.amax(-1)], dim=1).flatten(1))
        return u_hat

    def forward(self, x: Tensor) -> Float[Tensor, "B P"]:
        """Predict parameters from sounds.

        Args:
            x: Sounds, shape (B, N).

        Returns:
            û in (−1, 1), shape (B, P).
        """
        return self.body(self.front_end(x))

    def config(self) -> dict[str, Any]:
        """Options from which `from_config` builds the same network, JSON-able."""
        return {
            "space": self.space.to_dict(),
            "sample_rate": self.sample_rate,
            "n_channels": list(self.n_channels),
            "n_hidden": self.n_hidden,
            "front_end": self.front_end_options,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Encoder:
        """Build a network from what `config` returned, with fresh weights.

        Args:
            config: Options.

        Returns:
            The network.
        """
        options = dict(config)
        return cls(ParameterSpace.from_dict(options.pop("space")), options.pop("sample_rate"), **options)
