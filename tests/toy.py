"""A tiny synthesizer and feature map, for tests of what lies around the real ones."""

import math
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pnp.parameters import Parameter, ParameterSpace


class ToySynth(nn.Module):
    """Decaying sinusoid that can be told to go wrong.

    Args:
        n_samples: Length of a sound.
        trouble: What happens to sounds with a decay above 16/s: "nan", "silence", "clipped" or "detached" (no
            gradient).
        seconds: Duration of a call, to leave time for being interrupted.
        deadly: File that makes a call in another process than this one die; it is removed first if `once`.
        once: Whether to die once only.
    """

    def __init__(
        self,
        n_samples: int = 64,
        trouble: str = "",
        seconds: float = 0.0,
        deadly: str = "",
        once: bool = True,
    ) -> None:
        super().__init__()
        self.space = ParameterSpace(
            [Parameter("f", 100.0, 400.0, scale="log", unit="Hz"), Parameter("decay", 1.0, 20.0, unit="1/s")]
        )
        self.sample_rate = 1000.0
        self.n_samples = n_samples
        self.trouble = trouble
        self.seconds = seconds
        self.deadly = deadly
        self.once = once
        self.owner = os.getpid()

    def forward(self, theta: Tensor) -> Tensor:
        self._disturb()
        f, decay = theta[..., 0:1], theta[..., 1:2]
        t = torch.arange(self.n_samples, dtype=theta.dtype, device=theta.device) / self.sample_rate
        x = torch.exp(-decay * t) * torch.sin(2 * math.pi * f * t)
        chosen = decay > 16.0
        if self.trouble == "nan":
            return torch.where(chosen, torch.nan, x)
        if self.trouble == "silence":
            return torch.where(chosen, 0.0, x)
        if self.trouble == "clipped":
            return torch.where(chosen, (20 * x + 15).clamp(-1, 1), x)
        if self.trouble == "detached":
            return torch.where(chosen, x.detach(), x)
        return x

    def config(self) -> dict[str, Any]:
        return {"n_samples": self.n_samples, "trouble": self.trouble}

    def _disturb(self) -> None:
        time.sleep(self.seconds)
        if self.deadly and os.getpid() != self.owner and Path(self.deadly).exists():
            if self.once:
                Path(self.deadly).unlink()
            os.kill(os.getpid(), signal.SIGKILL)


class ToyFeatures(nn.Module):
    """Log energy of a sound on a few fixed cosines; without `config`, as a user's module may be."""

    def __init__(self, n_samples: int = 64, n_features: int = 7) -> None:
        super().__init__()
        cosines = torch.cos(
            torch.outer(torch.arange(1.0, n_features + 1), torch.arange(float(n_samples))) * 0.37
        )
        self.register_buffer("cosines", cosines / n_samples)

    def forward(self, x: Tensor) -> Tensor:
        return torch.log1p((x @ self.get_buffer("cosines").to(x.dtype).T).square() * 1e3)
