"""A real external synthesizer: Faust, compiled and played by DawDreamer."""

import numpy as np
import pytest
import torch

from pnp import Parameter, ParameterSpace
from pnp.synths import BlackBox, probe

RATE, N = 8000, 4000
SPACE = ParameterSpace([Parameter("f0", 200, 400, "log", "Hz"), Parameter("decay", 0.1, 0.5, "log", "s")])
# Sliders are placed on a grid, from which short steps of a finite difference must not be lost.
SOURCE = """
import("stdfaust.lib");
f0 = hslider("f0", 200, 50, 1000, 1e-9);
decay = hslider("decay", 0.2, 0.01, 2, 1e-9);
t = ba.time / ma.SR;
process = 0.5 * exp(-t / decay) * sin(2 * ma.PI * f0 * t);
"""


def bell(f0, decay):
    dawdreamer = pytest.importorskip("dawdreamer")
    engine = dawdreamer.RenderEngine(RATE, 512)
    faust = engine.make_faust_processor("bell")
    faust.set_dsp_string(SOURCE)
    faust.compile()
    faust.set_parameter("/dawdreamer/f0", f0)
    faust.set_parameter("/dawdreamer/decay", decay)
    engine.load_graph([(faust, [])])
    engine.render(N / RATE)
    return engine.get_audio()[0, :N]


def exact(theta):
    f0, decay = theta.unsqueeze(-2).unbind(-1)
    t = torch.arange(N, dtype=torch.float64) / RATE
    return 0.5 * torch.exp(-t / decay) * torch.sin(2 * torch.pi * f0 * t)


@pytest.mark.slow
def test_faust_s_sound_and_derivatives_are_those_of_its_formula():
    box = BlackBox(bell, SPACE, RATE, N)
    probe(box)
    theta = SPACE.from_unit(0.9 * SPACE.sample(3))
    x, tangents = box.value_and_tangents(theta)
    np.testing.assert_allclose(x, exact(theta), atol=1e-4)
    basis = torch.eye(2, dtype=torch.float64)
    for column in (0, 1):
        expected = torch.func.jvp(exact, (theta,), (basis[column].expand(3, -1),))[1]
        error = (tangents[:, column] - expected).norm(dim=-1) / expected.norm(dim=-1)
        assert error.max() < 0.01
