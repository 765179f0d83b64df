"""A small synthesizer with every kind of parameter, whose derivatives and distances are known in closed form."""

import math

import torch
from torch import Tensor, nn

from pnp.parameters import Parameter, ParameterSpace


class Organ(nn.Module):
    """Sum of `voices` partials of a note, with a decay, in one of three waves; louder with velocity."""

    def __init__(self, n_samples: int = 256) -> None:
        super().__init__()
        self.space = ParameterSpace(
            [
                Parameter("wave", choices=("sine", "square", "soft_square")),
                Parameter("decay", 2.0, 20.0, "log", "1/s"),
                Parameter("voices", 1, 4, kind="integer"),
            ],
            conditions=[Parameter("note", 40, 60, kind="integer"), Parameter("velocity", 0.2, 1.0)],
        )
        self.sample_rate, self.n_samples = 2000.0, n_samples

    def forward(self, theta: Tensor) -> Tensor:
        decay, voices, wave, note, velocity = theta.unsqueeze(-2).unbind(-1)
        t = torch.arange(self.n_samples, dtype=theta.dtype, device=theta.device) / self.sample_rate
        f0 = 440.0 * 2.0 ** ((note - 69.0) / 12.0)
        partials = torch.stack(
            [torch.sin(2 * math.pi * (k + 1) * f0 * t) * (voices > k + 0.5) for k in range(4)]
        ).sum(0)
        hardness = torch.where(wave < 0.5, 0.0, torch.where(wave < 1.5, 8.0, 7.5))
        shaped = torch.where(hardness > 0, torch.tanh(hardness * partials), partials)
        return velocity * torch.exp(-decay * t) * shaped


class Spectrum(nn.Module):
    """Magnitudes of a real Fourier transform, compressed; smooth everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(x)
        return torch.log1p(spectrum.real.square() + spectrum.imag.square())
