"""Cross-entropy of choices: the baseline beside P-loss."""

import math

import pytest
import torch

from pnp.losses import ChoiceCrossEntropy


def test_it_is_minus_the_logarithm_of_the_true_options_summed_over_choices():
    options = {"wave": torch.tensor([2, 0]), "sync": torch.tensor([0, 1])}
    loss = ChoiceCrossEntropy(options, {"wave": 3, "sync": 2}, reduction="none")
    p = {
        "wave": torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]]),
        "sync": torch.tensor([[0.1, 0.9], [1.0, 0.0]]),
    }
    value = loss(p, torch.tensor([1, 0]))
    assert value.tolist() == pytest.approx([-math.log(0.5 * 0.9), -math.log(0.5 * 1.0)])
    # A probability of zero has a finite loss.
    assert torch.isfinite(loss(p, torch.tensor([0, 1]))).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"'wave' must be in 0 … 1; got 0 … 2"):
        ChoiceCrossEntropy({"wave": torch.tensor([0, 2])}, {"wave": 2})
    loss = ChoiceCrossEntropy({"wave": torch.tensor([0, 1])}, {"wave": 2})
    with pytest.raises(ValueError, match="Likely cause: logits"):
        loss({"wave": torch.tensor([[3.0, -1.0]])}, torch.tensor([0]))
    with pytest.raises(ValueError, match="with the choices wave; got none"):
        loss({}, torch.tensor([0]))
    with pytest.raises(IndexError, match="0 … 1"):
        loss({"wave": torch.tensor([[0.5, 0.5]])}, torch.tensor([2]))
