"""Trials before the first block: what cannot work is refused before a file is made."""

from pathlib import Path

import pytest
import torch
from caches import SIZE, run
from torch import Tensor, nn
from toy import ToySynth

from pnp.errors import SynthesisError


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
