"""Terminal of a user: no warning of this package, and none that it causes in another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DERIVATIVE = """
import torch
import pnp

synth = pnp.synths.make("chirp", n_samples=1024)
jtfs = pnp.TimeFrequencyScattering(shape=synth.n_samples, J=6, Q=(4, 1), J_fr=3, Q_fr=1, T="global", F=4)
pnp.value_and_jacobian(synth, pnp.Features(jtfs), torch.zeros(1, 3))
"""

# Each is the first derivative of a process: by a synthesizer's own way, by that of features, by differences.
FIRST = {
    "synthesizer": """
class Voice(ToySynth):
    def value_and_tangents(self, theta):
        pushed = [torch.func.jvp(self.forward, (theta,), (row.expand_as(theta),)) for row in torch.eye(2)]
        return pushed[0][0], torch.stack([tangent for _, tangent in pushed], dim=1)

along_axes(Voice(), torch.tensor([[200.0, 4.0]]))
""",
    "features": """
class Ear(ToyFeatures):
    def value_and_tangents(self, x, dx):
        value, tangent = torch.func.jvp(self.forward, (x,), (dx[:, 0],))
        return value, tangent[:, None]

Features(Ear()).value_and_tangents(torch.ones(1, 64), torch.ones(1, 1, 64))
""",
    "black box": """
def tone(f, decay):
    return np.sin(np.arange(64) * f * 0.01) * decay

BlackBox(tone, ToySynth().space, 1000, 64, steps={"f": 0.1, "decay": 0.1}).value_and_tangents(
    torch.tensor([[200.0, 4.0]])
)
""",
}
IMPORTS = """
import numpy as np
import torch
from pnp import Features
from pnp._torch.pushforward import along_axes
from pnp.synths import BlackBox
from toy import ToyFeatures, ToySynth
"""

OWN_USE = """
import warnings
import torch

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    torch.jit.script(torch.nn.Identity())
print(*(warning.message for warning in caught))
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )


def test_the_first_derivative_of_a_process_warns_of_nothing(tmp_path):
    assert run("-c", DERIVATIVE, cwd=tmp_path).stderr == ""


@pytest.mark.parametrize("way", FIRST)
def test_the_first_derivative_warns_of_nothing_in_whatever_way_it_is_taken(way, tmp_path):
    assert run("-c", IMPORTS + FIRST[way], cwd=tmp_path).stderr == ""


def test_a_user_is_still_warned_of_their_own_use_of_torch_jit_script(tmp_path):
    assert run("-c", DERIVATIVE + OWN_USE, cwd=tmp_path).stdout == run("-c", OWN_USE, cwd=tmp_path).stdout


@pytest.mark.slow
def test_the_demo_and_its_workers_warn_of_nothing(tmp_path):
    done = run(
        "-m", "pnp", "demo", "--size", "40", "--epochs", "1", "--jobs", "2", "--out", "demo", cwd=tmp_path
    )
    assert "Warning" not in done.stdout + done.stderr
