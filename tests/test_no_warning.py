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


def test_a_user_is_still_warned_of_their_own_use_of_torch_jit_script(tmp_path):
    assert run("-c", DERIVATIVE + OWN_USE, cwd=tmp_path).stdout == run("-c", OWN_USE, cwd=tmp_path).stdout


@pytest.mark.slow
def test_the_demo_and_its_workers_warn_of_nothing(tmp_path):
    done = run(
        "-m", "pnp", "demo", "--size", "40", "--epochs", "1", "--jobs", "2", "--out", "demo", cwd=tmp_path
    )
    assert "Warning" not in done.stdout + done.stderr
