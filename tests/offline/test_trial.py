"""Trials before the first block: what cannot work is refused before a file is made."""

from pathlib import Path

import pytest
import torch
from caches import SIZE, run
from torch import Tensor, nn
from toy import ToyFeatures, ToySynth

from pnp._torch.pushforward import pushforward
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


class Counted(ToyFeatures):
    """Features that count the sounds whose Jacobian they compute, with a derivative of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def value_and_tangents(self, x: Tensor, dx: Tensor) -> tuple[Tensor, Tensor]:
        self.batches.append(len(x))
        return pushforward(self, x, dx)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_jacobian_of_the_first_sound_is_computed_twice_and_of_every_other_once(
    tmp_path: Path, precision: str
) -> None:
    features = Counted()
    # The first time for the number of features, the probe of their derivative and the time that a sound takes.
    run(tmp_path / "toy.h5", features=features, precision=precision)
    assert features.batches[0] == 1
    assert sum(features.batches[1:]) == SIZE
