"""A synthesizer around a black box: what is known of the box's derivatives holds for it, too."""

import numpy as np
import pytest
import torch
from toy import ToyFeatures

from pnp import MetricCache, Parameter, ParameterSpace, precompute
from pnp.jacobian import value_and_jacobian
from pnp.matching.unknowns import Unknowns
from pnp.synths import BlackBox
from pnp.synths.restriction import Restriction
from pnp.synths.with_gain import WithGain
from pnp.synths.with_noise import WithNoise
from pnp.synths.with_window import WithWindow

SPACE = ParameterSpace(
    [Parameter("f", 100, 400, "log", "Hz"), Parameter("decay", 1, 20), Parameter("depth", 0.2, 0.9)],
    conditions=[Parameter("phase", 0.0, 1.0)],
)


def coarse(f, decay, depth, phase):
    """A tone whose frequency lies on a grid of 10 Hz: no derivative, but differences over a longer step."""
    t = np.arange(64) / 1000
    return depth * np.exp(-decay * t) * np.sin(2 * np.pi * round(f, -1) * t + phase)


def box():
    return BlackBox(coarse, SPACE, sample_rate=1000, n_samples=64)


AROUND = {
    "restriction": (lambda: Restriction(box(), {"depth": 0.5}), [0.0, 0.0, 0.3], ["f", "decay"]),
    "gain": (lambda: WithGain(box(), 0.5, 2.0), [0.0, 0.0, -1 / 7, 0.0, 0.3], ["f", "decay", "depth"]),
    "noise": (
        lambda: WithNoise(box(), torch.zeros(64), 0.5, 2.0),
        [0.0, 0.0, -1 / 7, 0.0, 0.3],
        ["f", "decay", "depth"],
    ),
    "window": (lambda: WithWindow(box(), torch.ones(64)), [0.0, 0.0, -1 / 7, 0.3], ["f", "decay", "depth"]),
    "unknowns": (lambda: Unknowns(box(), {}), [0.0, 0.0, -1 / 7, 0.3], ["f", "decay", "depth"]),
}


@pytest.mark.parametrize("around", AROUND)
def test_columns_are_those_of_the_box(around) -> None:
    make, u, shared = AROUND[around]
    synth, features = make(), ToyFeatures().double()
    J = value_and_jacobian(synth, features, torch.tensor([u], dtype=torch.float64))[1]
    inside = torch.tensor([[0.0, 0.0, -1 / 7, 0.3]], dtype=torch.float64)
    expected = value_and_jacobian(box(), features, inside)[1]
    assert J[..., 0].any()
    for name in shared:
        torch.testing.assert_close(
            J[..., synth.space.names.index(name)],
            expected[..., SPACE.names.index(name)],
            rtol=1e-6,
            atol=1e-9,
        )


def test_a_cache_says_how_its_derivatives_were_made(tmp_path) -> None:
    summary = precompute(
        WithGain(box(), 0.5, 2.0), ToyFeatures(), tmp_path / "a.h5", size=4, block=4, progress=False
    )
    assert summary.n_failed == 0
    with MetricCache(tmp_path / "a.h5") as cache:
        described = cache.header.derivatives
    assert described["secants"] == {"f": 0.1}
    assert set(described["measured_steps"]) == {"f", "decay", "depth"}
