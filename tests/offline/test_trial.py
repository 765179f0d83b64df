"""Trials before the first block: what cannot work is refused before a file is made, and no work is done twice."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from caches import SIZE, run
from torch import Tensor, nn
from toy import ToyFeatures, ToySynth

from pnp._torch.memory import NUMBERS_AT_ONCE
from pnp._torch.pushforward import pushforward
from pnp.errors import SynthesisError
from pnp.jacobian.finite_differences import NODES
from pnp.offline import precompute as offline
from pnp.parameters import Parameter, ParameterSpace
from pnp.synths.black_box import BlackBox


def test_synthesizer_that_never_works_is_refused_before_a_file_is_made(tmp_path: Path) -> None:
    class Broken(ToySynth):
        def forward(self, theta: Tensor) -> Tensor:
            raise NotImplementedError("no oscillator")

    with pytest.raises(SynthesisError, match=r"none of the first 8 sounds .*Error: no oscillator"):
        run(tmp_path / "toy.h5", Broken())
    assert not list(tmp_path.iterdir())


def test_dropped_gradient_is_refused_before_a_file_is_made(tmp_path: Path) -> None:
    class Detached(ToySynth):
        def forward(self, theta: Tensor) -> Tensor:
            return super().forward(torch.stack([theta[..., 0], theta[..., 1].detach()], -1))

    with pytest.raises(ValueError, match=r"drops the gradient of 'decay'"):
        run(tmp_path / "toy.h5", Detached())
    with pytest.raises(SynthesisError, match=r"drops the gradient of parameter 'decay'"):
        run(tmp_path / "toy.h5", Detached(), probe=False)
    assert not list(tmp_path.iterdir())


def test_probe_refuses_a_synthesizer_that_drifts(tmp_path: Path) -> None:
    class Noisy(ToySynth):
        calls = 0

        def forward(self, theta: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(theta) * (1.0 + 0.1 * self.calls)

    with pytest.raises(ValueError, match="is not deterministic"):
        run(tmp_path / "toy.h5", Noisy())
    assert not list(tmp_path.iterdir())
    assert run(tmp_path / "toy.h5", Noisy(), probe=False).n_done == SIZE


def test_what_is_not_a_synthesizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="needs an attribute 'space'"):
        run(tmp_path / "toy.h5", nn.Identity())


class Counted(ToyFeatures):
    """Features that count the sounds and the tangents of their derivatives, which are their own."""

    def __init__(self, n_samples: int = 64) -> None:
        super().__init__(n_samples)
        self.batches: list[int] = []
        self.tangents = 0

    def value_and_tangents(self, x: Tensor, dx: Tensor) -> tuple[Tensor, Tensor]:
        self.batches.append(len(x))
        self.tangents += dx.shape[0] * dx.shape[1]
        return pushforward(self, x, dx)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_jacobian_of_a_short_first_sound_is_computed_twice_and_of_every_other_once(
    tmp_path: Path, precision: str
) -> None:
    features = Counted()
    # The first time for the number of features, the probe of their derivative and the time that a sound takes; again
    # together with the other short sounds of its block, where sums are rounded otherwise.
    run(tmp_path / "toy.h5", features=features, precision=precision)
    assert features.batches[0] == 1
    assert sum(features.batches[1:]) == SIZE


def many(n: int) -> tuple[ParameterSpace, int]:
    """Space of n parameters, and as many samples as let each row be computed alone."""
    return ParameterSpace([Parameter(f"a{i}", 0.1, 1.0) for i in range(n)]), NUMBERS_AT_ONCE // n


class Program:
    """Sum of partials that leaves a byte in a file each time that it is called, whatever the process."""

    def __init__(self, n_samples: int, counter: Path) -> None:
        self.t, self.counter = np.arange(n_samples) / 8000.0, str(counter)

    def __call__(self, **amplitudes: float) -> np.ndarray:
        file = os.open(self.counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, b".")
        os.close(file)
        total = sum((i % 7 + 1) * a for i, a in enumerate(amplitudes.values()))
        return np.sin(total + 700.0 * self.t)


@pytest.mark.parametrize(
    ("n", "jobs", "block", "short"),
    [
        (31, 1, 1, False),
        (80, 1, 1, False),
        (31, 1, 2, True),
        (80, 1, 1, True),
        pytest.param(31, 2, 1, False, marks=pytest.mark.slow),
        pytest.param(31, 2, 2, True, marks=pytest.mark.slow),
    ],
)
def test_a_program_renders_the_first_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int, jobs: int, block: int, short: bool
) -> None:
    space, n_samples = many(n)
    n_samples = 512 if short else n_samples
    counter = tmp_path / "counter"
    before_row = list[int]()
    write = offline.CacheWriter.write_block

    def count(self: Any, number: int, columns: Any) -> None:
        before_row.append(counter.stat().st_size)
        write(self, number, columns)

    monkeypatch.setattr(offline.CacheWriter, "write_block", count)
    box = BlackBox(Program(n_samples, counter), space, 8000, n_samples, steps=1e-3)
    run(tmp_path / "a.h5", box, ToyFeatures(n_samples), size=2, block=block, jobs=jobs)
    # A row takes its sound and those around it. Probes that the program is repeatable take two points four times, then
    # three twice, the first of them two more times after two distant sounds.
    row, probes = 1 + len(NODES) * n, 8 + 6 + 4
    assert before_row[-1] == 2 * row + probes
    if jobs == block == 1:
        assert before_row[0] == row + probes


@pytest.mark.parametrize("n", [31, 80])
def test_no_tangent_is_taken_twice(tmp_path: Path, n: int) -> None:
    space, n_samples = many(n)

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.space, self.sample_rate, self.n_samples = space, 8000.0, n_samples
            self.tangents = 0

        def forward(self, theta: Tensor) -> Tensor:
            t = torch.arange(n_samples, dtype=theta.dtype) / 8000.0
            weights = torch.arange(n) % 7 + 1.0
            return torch.sin((theta * weights.to(theta)).sum(-1, keepdim=True) + 700.0 * t)

        def value_and_tangents(self, theta: Tensor) -> tuple[Tensor, Tensor]:
            self.tangents += theta.numel()
            return pushforward(self.forward, theta, torch.eye(n).to(theta).expand(len(theta), -1, -1))

    synth, features = Linear(), Counted(n_samples)
    run(tmp_path / "a.h5", synth, features, size=2)
    # The derivative of the features is probed along one tangent, in a copy; the synthesizer's at two points.
    assert features.tangents == 2 * n
    assert synth.tangents == 4 * n
