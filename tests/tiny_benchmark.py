"""Benchmark of a tiny configuration, and a peer under Kymatio's name."""

import sys
from pathlib import Path

import torch

from pnp.bench import Configuration
from pnp.bench.sweep import Sweep
from pnp.synths import BlackBox, Chirp

SETTINGS = {"J": 6, "Q": (4, 1), "J_fr": 2, "Q_fr": 1, "T": "global", "F": "global"}
TINY = Configuration("tiny", "chirp", SETTINGS, {"n_samples": 1024})
# The same chirps, of a length that is no power of two, from a program of which nothing else is known.
BOX = Configuration("box", "tiny_benchmark:box", {**SETTINGS, "pad_mode": "zero"}, {"n_samples": 1000})
SWEEP = Sweep("P", (1, 2), {"N": 512, "P": 1, "Q": 4}, {"J": 5, "J_fr": 2, "T": "global", "F": "global"})

# Under Kymatio's name, so that the peer's side can be run where Kymatio's development version is not installed.
STAND_IN = """
import sys, types, torch, pnp
class TimeFrequencyScattering(torch.nn.Module):
    def __init__(self, out_type, **options):
        super().__init__()
        self.transform = pnp.TimeFrequencyScattering(**options, normalization="kymatio")
    def forward(self, x):
        print("libraries print")
        return GAIN * self.transform(x)
module = types.ModuleType("kymatio.torch")
module.TimeFrequencyScattering = TimeFrequencyScattering
sys.modules["kymatio.torch"] = module
"""


def box(n_samples: int) -> BlackBox:
    """Chirps as a black box."""
    chirp = Chirp(n_samples=n_samples)

    def render(**parameters: float):
        return chirp(torch.tensor([list(parameters.values())], dtype=torch.float64))[0].numpy()

    return BlackBox(render, chirp.space, chirp.sample_rate, n_samples)


def stand_in(folder: Path, monkeypatch, gain: float = 1.0) -> str:
    """An interpreter whose Kymatio is this package, `gain` times as loud."""
    root = Path(__file__).parents[1]
    (folder / "scrapl.py").write_text(STAND_IN.replace("GAIN", str(gain)))
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{root}")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    return sys.executable
