"""Blocks of rows: each sound fails for itself, with its reason."""

from pathlib import Path

import numpy as np
import pytest
import torch
from caches import BLOCK, SIZE, run
from torch import Tensor, nn
from toy import ToyFeatures, ToySynth

import pnp.offline.block
from pnp import Parameter, ParameterSpace
from pnp._torch.pushforward import pushforward
from pnp.errors import SynthesisError
from pnp.jacobian import sound_and_jacobian
from pnp.offline.block import compute_block
from pnp.store import Status


def test_exception_of_one_sound_does_not_take_its_block_along(monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(synth: nn.Module, features: nn.Module, u: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
        if bool((u[:, 0] > 0.9).any()):
            raise ArithmeticError("too high\nfor me")
        return sound_and_jacobian(synth, features, u)

    monkeypatch.setattr(pnp.offline.block, "sound_and_jacobian", picky)
    u = np.array([[0.0, 0.0], [0.95, 0.0], [0.5, 0.5]])
    columns = compute_block(ToySynth(), ToyFeatures(), u, 7, torch.float32, "cpu")
    assert columns["status"].tolist() == [Status.OK, Status.EXCEPTION, Status.OK]
    assert columns["reason"].tolist() == [b"", b"ArithmeticError: too high for me", b""]
    for name in ("S", "J", "M", "R", "sigma"):
        assert np.isnan(columns[name][1]).all()
        assert np.isfinite(columns[name][[0, 2]]).all()


def test_long_reasons_are_cut_between_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    def verbose(
        synth: nn.Module, features: nn.Module, u: Tensor, *_: object
    ) -> tuple[Tensor, Tensor, Tensor]:
        raise ValueError("é" * 300)

    monkeypatch.setattr(pnp.offline.block, "sound_and_jacobian", verbose)
    columns = compute_block(ToySynth(), ToyFeatures(), np.zeros((1, 2)), 7, torch.float32, "cpu")
    reason = columns["reason"][0].decode()
    assert set(reason.removeprefix("ValueError: ").removesuffix("…")) == {"é"}


def test_long_reasons_are_cut_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def verbose(
        synth: nn.Module, features: nn.Module, u: Tensor, *_: object
    ) -> tuple[Tensor, Tensor, Tensor]:
        raise ValueError("a frequency of 123.456789 " * 20)

    monkeypatch.setattr(pnp.offline.block, "sound_and_jacobian", verbose)
    columns = compute_block(ToySynth(), ToyFeatures(), np.zeros((1, 2)), 7, torch.float32, "cpu")
    *words, last = columns["reason"][0].decode().split(" ")
    assert set(words) <= {"ValueError:", "a", "frequency", "of", "123.456789"}
    assert last.removesuffix("…") in words


def wrapped(fault: Exception) -> Exception:
    """A fault as a synthesizer that catches everything passes it on."""
    try:
        raise SynthesisError(f"the program raised {fault}") from fault
    except SynthesisError as error:
        return error


FAULTS = [
    MemoryError("no room"),
    OSError(24, "Too many open files"),
    RuntimeError("Trying to set a forward gradient that has a different size"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    torch.OutOfMemoryError("no room"),
]


@pytest.mark.parametrize("fault", [*FAULTS, *map(wrapped, FAULTS)], ids=repr)
def test_faults_of_the_machine_are_not_blamed_on_the_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    calls = [0]

    def failing(
        synth: nn.Module, features: nn.Module, u: Tensor, *_: object
    ) -> tuple[Tensor, Tensor, Tensor]:
        calls[0] += 1
        if calls[0] > 1:
            raise fault
        return sound_and_jacobian(synth, features, u)

    with monkeypatch.context() as patch:
        patch.setattr(pnp.offline.block, "sound_and_jacobian", failing)
        with pytest.raises(
            SynthesisError, match=r"block 1 could not be computed here .* fault of the machine"
        ):
            run(tmp_path / "toy.h5")
    summary = run(tmp_path / "toy.h5")
    assert (summary.n_resumed, summary.n_done, summary.n_failed) == (BLOCK, SIZE, 0)


def _demand(x):
    if not (torch.isfinite(x).all() and x.any(-1).all()):
        raise ValueError("features want finite sounds that are not silent")


class Demanding(ToyFeatures):
    """Features that refuse what is no sound, as many do."""

    def forward(self, x):
        _demand(x)
        return super().forward(x)

    def value_and_tangents(self, x, dx):
        _demand(x)
        if not torch.isfinite(dx).all():
            raise ValueError("features want finite tangents")
        return pushforward(super().forward, x, dx)


class InfiniteSlope(ToySynth):
    """Sounds with a root whose derivative is infinite at high decays."""

    def forward(self, theta):
        zero = torch.where(theta[..., 1:] > 16.0, 0.0 * theta[..., 1:], 1.0)
        return super().forward(theta) + zero.sqrt()


class Whole(ToySynth):
    """Sounds that are NaN with four voices."""

    def __init__(self):
        super().__init__()
        self.space = ParameterSpace([*self.space, Parameter("voices", 1, 4, kind="integer")])

    def forward(self, theta):
        return torch.where(theta[..., 2:] >= 4, torch.nan, super().forward(theta[..., :2]))


class Options(ToySynth):
    """Sounds that are NaN with one of two waves."""

    def __init__(self):
        super().__init__()
        self.space = ParameterSpace([*self.space, Parameter("wave", choices=("sine", "broken"))])

    def forward(self, theta):
        return torch.where(theta[..., 2:] >= 1, torch.nan, super().forward(theta[..., :2]))


U = np.array([[0.0, -0.5], [0.1, 0.95], [-0.3, 0.2]])


def block(synth, features, u=U):
    return compute_block(synth, features, u, 7, torch.float64, "cpu")


@pytest.mark.parametrize(
    ("synth", "status", "reason"),
    [
        (ToySynth(trouble="nan"), Status.NOT_FINITE, "the sound is NaN or infinite, first at sample 0"),
        (ToySynth(trouble="silence"), Status.SILENT, "the sound is silent"),
        (
            InfiniteSlope(),
            Status.NOT_FINITE,
            "J is NaN or infinite, though sound and features are finite: a derivative of either is not",
        ),
    ],
)
def test_features_never_meet_what_is_no_sound(synth, status, reason):
    columns = block(synth, Demanding())
    assert columns["status"].tolist() == [Status.OK, status, Status.OK]
    assert columns["reason"][1].decode() == reason
    for name in ("S", "J", "M", "R"):
        assert np.isnan(columns[name][1]).all()
    alone = block(synth, Demanding(), U[[0, 2]])
    np.testing.assert_allclose(columns["J"][[0, 2]], alone["J"], rtol=1e-12)


def test_a_neighbour_that_is_no_sound_is_to_blame_and_not_the_features():
    u = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1 / 3]])
    columns = block(Whole(), Demanding(), u)
    assert columns["status"].tolist() == [Status.OK, Status.NOT_FINITE]
    expected = b"with the next whole 'voices', the sound is NaN or infinite, first at sample 0"
    assert columns["reason"][1] == expected


def test_an_option_that_is_no_sound_is_to_blame_and_not_the_features():
    columns = block(Options(), Demanding(), np.array([[0.0, 0.0, -1.0]]))
    assert columns["status"].tolist() == [Status.NOT_FINITE]
    assert columns["reason"][0] == b"with wave = 'broken': the sound is NaN or infinite, first at sample 0"
