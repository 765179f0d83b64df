"""Features that cannot serve are refused by name before a file is made; those that can are not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toy import ToyFeatures, ToySynth

import pnp
from pnp import precompute


class Of(nn.Module):
    """Module of a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def stack(middle: nn.Module) -> nn.Module:
    return nn.Sequential(ToyFeatures(), middle, nn.Identity())


DEFECTS = {
    "detach": (stack(Of(lambda S: S.detach())), r"drop the gradient.*first in part '1' \(Of\)"),
    "no grad": (
        stack(Of(torch.no_grad()(lambda S: S.detach() * 2))),
        r"drop the gradient.*in part '1' \(Of\)",
    ),
    "dropout": (
        stack(Of(lambda S: nn.functional.dropout(S, 0.5, training=True))),
        r"are not deterministic.*first in part '1' \(Of\); likely dropout",
    ),
    "noise": (stack(Of(lambda S: S + torch.rand_like(S))), r"are not deterministic.*in part '1' \(Of\)"),
    "mean over the batch": (
        stack(Of(lambda S: S - S.mean(0, keepdim=True) + 1.0)),
        r"mix the rows of a batch.*first in part '1' \(Of\); likely a mean",
    ),
    "maximum over the batch": (stack(Of(lambda S: S / S.max())), r"mix the rows.*in part '1' \(Of\)"),
    "shape": (
        stack(Of(lambda S: S.flatten())),
        r".* to features of shape \(B, ...\), got \(7,\) for one sound",
    ),
    "sum over the batch": (
        stack(Of(lambda S: S.sum(0, keepdim=True))),
        r".*got \(1, 7\) for one sound and \(1, 7\) for 3",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_named_with_its_part(defect: str, tmp_path: Path) -> None:
    features, message = DEFECTS[defect]
    with pytest.raises(ValueError, match=f"features 'Sequential' {message}"):
        precompute(ToySynth(), features, tmp_path / "toy.h5", size=8, progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_gradient_that_is_dropped_in_part_is_named(precision: str, tmp_path: Path) -> None:
    features = stack(Of(lambda S: S * S.detach()))
    with pytest.raises(ValueError, match=r"features 'Sequential' have a wrong derivative: .* it is 50 % off"):
        precompute(ToySynth(), features, tmp_path / "toy.h5", size=8, precision=precision, progress=False)


def test_features_that_compute_in_single_precision_alone_pass(tmp_path: Path) -> None:
    kernel = torch.linspace(-1.0, 1.0, 7)
    for part in (lambda S: S.float() * kernel, lambda S: S * kernel if S.dtype == kernel.dtype else 1 / 0):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        assert precompute(ToySynth(), stack(Of(part)), out, size=2, progress=False).n_failed == 0


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", ["chirp", "ripple", "drum", "string"])
def test_features_of_this_package_pass(name: str, precision: str, tmp_path: Path) -> None:
    synth = pnp.synths.make(name, n_samples=2048)
    scattering = pnp.TimeFrequencyScattering(
        shape=2048, J=6, Q=(4, 1), J_fr=2, Q_fr=1, T="global", F="global", format="time"
    )
    features = pnp.Features(scattering)
    summary = precompute(synth, features, tmp_path / "a.h5", size=2, precision=precision, progress=False)
    assert summary.n_failed == 0


def test_training_mode_is_put_back_and_off_during_the_run(tmp_path: Path) -> None:
    features = nn.Sequential(ToyFeatures(), nn.Dropout(0.5), nn.BatchNorm1d(7))
    features[2].eval()
    precompute(ToySynth(), features, tmp_path / "toy.h5", size=8, progress=False)
    assert [part.training for part in features] == [True, True, False]
    assert not features[2].num_batches_tracked


@pytest.mark.parametrize("probe", [True, False])
def test_training_mode_is_put_back_after_a_refusal(tmp_path: Path, probe: bool) -> None:
    features, synth = ToyFeatures().train(), ToySynth(trouble="nan").train()
    with pytest.raises(ValueError, match="store must be"):
        precompute(synth, features, tmp_path / "toy.h5", size=8, store="all", probe=probe, progress=False)
    assert features.training
    assert synth.training
