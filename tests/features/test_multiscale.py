"""Multiscale spectrograms as features, against auraloss itself."""

import sys

import pytest
import torch
from task import Tones

from pnp.features.multiscale import MultiscaleSTFT
from pnp.losses import SpectralLoss

SMALL = {"fft_sizes": (64, 128), "hop_sizes": (16, 30), "win_lengths": (48, 100)}


@pytest.mark.parametrize(("power", "distance"), [(1, "L1"), (2, "L2")])
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.5, 2.0)])
def test_the_loss_of_a_pair_is_auraloss(power, distance, weights):
    freq = pytest.importorskip("auraloss.freq")
    synth = Tones()
    u = torch.tensor([[0.2, -0.4], [-0.3, 0.5]])
    u_hat = u + 0.2
    features = MultiscaleSTFT(**SMALL, log_weight=weights[0], linear_weight=weights[1], power=power)
    # μ/2 ‖·‖² under power 2
    ours = SpectralLoss(synth, features, power=power, reduction="none", scale=float(power))(u_hat, u)
    theirs = freq.MultiResolutionSTFTLoss(
        *SMALL.values(), w_sc=0.0, w_log_mag=weights[0], w_lin_mag=weights[1], mag_distance=distance
    )
    sounds, truth = (synth(synth.space.from_unit(v)).unsqueeze(1) for v in (u_hat, u))
    expected = torch.stack([theirs(a[None], b[None]) for a, b in zip(sounds, truth, strict=True)])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def test_gradients_reach_the_prediction():
    pytest.importorskip("auraloss")
    u_hat = torch.zeros(2, 2, requires_grad=True)
    SpectralLoss(Tones(), MultiscaleSTFT(**SMALL), power=1)(u_hat, torch.full((2, 2), 0.3)).backward()
    assert (u_hat.grad != 0).all()


def test_works_in_double_precision():
    pytest.importorskip("auraloss")
    assert MultiscaleSTFT(**SMALL)(torch.randn(1, 512, dtype=torch.float64)).dtype == torch.float64


def test_bad_input_is_named():
    pytest.importorskip("auraloss")
    for options, message in [
        ({"hop_sizes": (16,)}, "got 2, 1 and 2 of them"),
        ({"log_weight": -1.0}, "log_weight must be a finite number of at least 0"),
        ({"log_weight": 0.0}, "must not both be 0"),
        ({"power": 3}, "power must be a whole number from 1 to 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            MultiscaleSTFT(**(SMALL | options))
    with pytest.raises(ValueError, match="N above half the longest FFT, 64"):
        MultiscaleSTFT(**SMALL)(torch.zeros(1, 64))
    with pytest.raises(ValueError, match="power must be a whole number from 1 to 2"):
        SpectralLoss(Tones(), torch.nn.Identity(), power=3)


def test_without_auraloss_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "auraloss", None)
    monkeypatch.setitem(sys.modules, "auraloss.freq", None)
    with pytest.raises(ImportError, match=r"pip install pnp-metric\[train\]"):
        MultiscaleSTFT()
