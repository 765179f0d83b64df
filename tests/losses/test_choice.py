"""Choice loss: an expectation, in the units of PNP loss, that knows which mistakes are audible."""

import pytest
import torch

from pnp.losses import ChoiceLoss

DISTANCES = {
    "wave": torch.tensor([[0.0, 4.0, 0.1], [9.0, 0.0, 1.0], [float("nan")] * 3]),
    "mode": torch.tensor([[0.0, 2.0], [3.0, 0.0], [float("nan")] * 2]),
}
INDEX = torch.tensor([1, 0])


def probabilities(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(2, stored.shape[1], generator=generator, dtype=torch.float64).softmax(-1).to(dtype)
        for name, stored in DISTANCES.items()
    }


def test_it_is_half_the_expected_squared_distance():
    p = probabilities()
    expected = [
        0.5 * sum(float((p[name][i] * DISTANCES[name][row].double()).sum()) for name in DISTANCES)
        for i, row in enumerate(INDEX.tolist())
    ]
    loss = ChoiceLoss(DISTANCES, reduction="none")(p, INDEX)
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=0)


def test_the_true_option_costs_nothing_and_a_like_one_little():
    certain = {"wave": torch.eye(3)[[1, 0]], "mode": torch.eye(2)[[1, 0]]}
    assert ChoiceLoss(DISTANCES)(certain, INDEX) == 0
    alike, different = (certain | {"wave": torch.eye(3)[[1, k]]} for k in (2, 1))
    loss = ChoiceLoss(DISTANCES, reduction="sum")
    torch.testing.assert_close(loss(alike, INDEX), torch.tensor(0.05))
    torch.testing.assert_close(loss(different, INDEX), torch.tensor(2.0))


def test_the_gradient_in_a_probability_is_half_its_squared_distance():
    p = {name: value.requires_grad_() for name, value in probabilities().items()}
    ChoiceLoss(DISTANCES, reduction="sum")(p, INDEX).backward()
    torch.testing.assert_close(p["wave"].grad, 0.5 * DISTANCES["wave"][INDEX].double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_comes_out_in_single(dtype):
    loss = ChoiceLoss(DISTANCES)(probabilities(dtype=dtype), INDEX)
    assert loss.dtype == torch.float32


def test_bad_calls_are_named():
    loss = ChoiceLoss(DISTANCES)
    p = probabilities()
    with pytest.raises(ValueError, match="choices wave, mode; got wave"):
        loss({"wave": p["wave"]}, INDEX)
    with pytest.raises(ValueError, match=r"'mode' must have shape \(B, 2\)"):
        loss(p | {"mode": p["wave"]}, INDEX)
    with pytest.raises(ValueError, match=r"'wave' must be at least 0 and sum to 1.*softmax"):
        loss(p | {"wave": 3 * p["wave"]}, INDEX)
    with pytest.raises(TypeError, match="'wave' must be a floating-point tensor"):
        loss(p | {"wave": p["wave"].long()}, INDEX)
    with pytest.raises(IndexError, match="rows \\[2\\]"):
        loss(p, torch.tensor([0, 2]))
    with pytest.raises(IndexError, match="0 … 2"):
        loss(p, torch.tensor([0, 3]))


def test_bad_distances_are_named():
    with pytest.raises(ValueError, match="at least one choice"):
        ChoiceLoss({})
    with pytest.raises(ValueError, match="same number of sounds"):
        ChoiceLoss({"a": torch.zeros(2, 2), "b": torch.zeros(3, 2)})
    with pytest.raises(ValueError, match="two options or more"):
        ChoiceLoss({"a": torch.zeros(2, 1)})
    with pytest.raises(ValueError, match="at least 0"):
        ChoiceLoss({"a": torch.tensor([[0.0, -1.0]])})
