"""Blocks of rows: each sound fails for itself, with its reason."""

from pathlib import Path

import numpy as np
import pytest
import torch
from caches import BLOCK, SIZE, run
from torch import Tensor, nn
from toy import ToyFeatures, ToySynth

import pnp.offline.block
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
