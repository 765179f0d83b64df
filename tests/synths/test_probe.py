"""The probe accepts correct synthesizers and names the defect of broken ones."""

import logging
import math

import pytest
import torch
from torch import nn

from pnp import Parameter, ParameterSpace
from pnp.synths import probe

N = 2048


def tone(theta):
    t = torch.arange(N, dtype=theta.dtype, device=theta.device) / 8000
    return theta[..., 1:] * torch.sin(2 * math.pi * theta[..., :1] * t)


def swapped(theta, **columns):
    """theta with the columns f or a replaced."""
    return torch.stack([columns.get("f", theta[..., 0]), columns.get("a", theta[..., 1])], dim=-1)


class Tone(nn.Module):
    sample_rate = 8000
    n_samples = N

    def __init__(self, forward) -> None:
        super().__init__()
        self.space = ParameterSpace([Parameter("f", 100, 1000, "log", "Hz"), Parameter("a", 0.5, 1)])
        self.forward = forward


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def theta(request):
    space = Tone(tone).space
    return space.from_unit(space.sample(2)).to(request.param)


def test_a_correct_synthesizer_passes(theta):
    probe(Tone(tone), theta)


DEFECTS = {
    "shape": (lambda theta: tone(theta)[..., :-1], r"\(2, 2048\), got \(2, 2047\)"),
    "batch": (lambda theta: tone(theta)[:1], r"\(2, 2048\), got \(1, 2048\)"),
    "NaN": (lambda theta: tone(theta) * torch.nan, r"samples \(2048 of 2048\) at theta = \['257"),
    "silence": (lambda theta: 0 * tone(theta), r"silent at theta = \['257"),
    "randomness": (lambda theta: tone(theta) + 0.01 * torch.rand(N, dtype=theta.dtype), "not deterministic"),
    "mixed rows": (lambda theta: tone(theta) / tone(theta).max(), "mixes the rows of a batch"),
    "detach": (lambda theta: tone(swapped(theta, f=theta[..., 0].detach())), "drops the gradient of 'f'"),
    "rounding": (lambda theta: tone(swapped(theta, f=theta[..., 0].round())), "drops the gradient of 'f'"),
    "part detached": (lambda theta: theta[..., 1:].detach() * tone(theta), "wrong derivative .* to 'a'"),
    "NaN gradient": (
        lambda theta: tone(theta) + (theta[..., 1:] - theta[..., 1:].detach()).sqrt(),
        "NaN or infinite derivative with respect to '",
    ),
}


def test_a_synthesizer_without_derivatives_is_differentiated_by_differences(theta, caplog):
    synth = Tone(lambda theta: torch.from_numpy(tone(theta).detach().numpy()))
    with caplog.at_level(logging.WARNING):
        probe(synth, theta)
    assert "cannot be differentiated" in caplog.text
    assert "finite differences are used" in caplog.text


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_named(defect, theta):
    forward, message = DEFECTS[defect]
    with pytest.raises(ValueError, match=message):
        probe(Tone(forward), theta)


def seeded(theta, seed, shape):
    noise = torch.rand(*shape, N, generator=torch.Generator().manual_seed(int(seed)), dtype=theta.dtype)
    return tone(theta) + noise


MIXTURES = {
    "maximum": (
        lambda theta: tone(theta) / tone(theta).max(),
        "a maximum, mean or branch over the whole batch",
    ),
    "mean": (
        lambda theta: tone(theta) - tone(theta).mean(),
        "a maximum, mean or branch over the whole batch",
    ),
    "any": (
        lambda theta: tone(theta) * (2 if (theta[..., 0] > 500).any() else 1),
        "a maximum, mean or branch",
    ),
    "first row": (
        lambda theta: tone(theta) * (1 + (theta.reshape(-1, 2)[0, 1] > 0.75)),
        "a value of one row",
    ),
    "seed of the first row": (
        lambda theta: seeded(theta, theta.reshape(-1, 2)[0, 0], (1,)),
        "a value of one row",
    ),
    "seed of all rows": (lambda theta: seeded(theta, theta.sum(), (1,)), "noise that is seeded by all rows"),
    "a row of noise each": (
        lambda theta: seeded(theta, 0, theta.shape[:-1]),
        "noise that is drawn for the whole",
    ),
}


@pytest.mark.parametrize("mixture", MIXTURES)
def test_the_cause_of_rows_that_depend_on_each_other_is_named(mixture, theta):
    forward, cause = MIXTURES[mixture]
    with pytest.raises(ValueError, match=f"mixes the rows of a batch: .* likely {cause}"):
        probe(Tone(forward), theta)


@pytest.mark.parametrize("resolution", [1e3, 1e9])
def test_noise_of_each_row_that_its_parameters_seed_is_named(resolution):
    def forward(theta):
        rows = [tone(row) + 0.1 * seeded(row, row[0] * resolution, ()) for row in theta.reshape(-1, 2)]
        return torch.stack(rows).reshape(*theta.shape[:-1], N)

    with pytest.raises(ValueError, match=r"jumps with 'f': .* % of their norm; likely noise that is seeded"):
        probe(Tone(forward))


def test_waveforms_with_edges_pass():
    probe(Tone(lambda theta: 2 * (theta[..., :1] * torch.arange(N) / 8000 % 1) * theta[..., 1:] - 1))


def test_another_dtype_than_asked_for_is_named():
    with pytest.raises(TypeError, match=r"dtype of theta, torch.float64, got torch.float32"):
        probe(Tone(lambda theta: tone(theta).float()))


def test_what_is_not_a_tensor_is_named():
    with pytest.raises(TypeError, match=r"must return a torch.Tensor, got list"):
        probe(Tone(lambda theta: tone(theta).tolist()))


def test_what_is_not_a_synthesizer_is_named():
    with pytest.raises(TypeError, match="'Linear' needs an attribute 'space'"):
        probe(nn.Linear(1, 1))


def test_points_must_be_a_batch_inside_the_range(theta):
    with pytest.raises(ValueError, match=r"shape \(B, 2\), got \(2,\)"):
        probe(Tone(tone), theta[0])
    with pytest.raises(ValueError, match="'f' must lie in"):
        probe(Tone(tone), 100 * theta)
