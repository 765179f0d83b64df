"""Bell by frequency modulation of one oscillator by another."""

from __future__ import annotations

import math

import torch
from torch import Tensor

import pnp

from .voice import Voice

__all__ = ["Bell"]


class Bell(Voice):
    """Two-operator FM: carrier, frequency ratio, modulation index, and a decay of each.

    Source:
        Chowning, "The Synthesis of Complex Audio Spectra by Means of Frequency Modulation", J. Audio Eng. Soc. 21
        (1973).
    """

    name = "bell"

    parameters = (
        pnp.Parameter("f0", 80.0, 400.0, "log", "Hz"),
        pnp.Parameter("ratio", 0.5, 4.0, "log"),
        pnp.Parameter("index", 0.3, 5.0, "log"),
        pnp.Parameter("decay", 0.1, 1.0, "log", "s"),
        pnp.Parameter("index_decay", 0.05, 0.5, "log", "s"),
    )

    def synthesize(self, theta: Tensor) -> Tensor:
        """Sound of carrier and modulator, shape (..., N)."""
        f0, ratio, index, decay, index_decay = theta.double().unsqueeze(-2).unbind(-1)
        t = torch.arange(self.n_samples, dtype=torch.float64, device=theta.device) / self.sample_rate
        turn = 2.0 * math.pi * f0 * t
        modulator = index * torch.exp(-t / index_decay) * torch.sin(ratio * turn)
        return (torch.exp(-t / decay) * torch.sin(turn + modulator)).to(theta.dtype)
