"""Forward-mode differentiation, of which a process has one level, from several threads at a time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import nn
from toy import ToyFeatures, ToySynth

from pnp import Features, value_and_jacobian
from pnp.synths import Restriction
from pnp.synths.with_gain import WithGain

N_THREADS = 4


class OwnWay(ToyFeatures):
    """Features that push tangents forward themselves, by PyTorch's means and without a lock."""

    def value_and_tangents(self, x, dx):
        pushed = [torch.func.jvp(self.forward, (x,), (dx[:, p],)) for p in range(dx.shape[1])]
        return pushed[0][0], torch.stack([tangent for _, tangent in pushed], dim=1)


class OwnWaySynth(ToySynth):
    """Synthesizer that does the same."""

    def value_and_tangents(self, theta):
        basis = torch.eye(theta.shape[1], dtype=theta.dtype)
        pushed = [torch.func.jvp(self.forward, (theta,), (row.expand_as(theta),)) for row in basis]
        return pushed[0][0], torch.stack([tangent for _, tangent in pushed], dim=1)


def in_threads(work):
    """Call from four threads that begin together, several times each."""
    barrier = Barrier(N_THREADS)

    def several():
        barrier.wait()
        return [work() for _ in range(6)]

    with ThreadPoolExecutor(N_THREADS) as pool:
        return [
            result for done in [pool.submit(several) for _ in range(N_THREADS)] for result in done.result()
        ]


@pytest.mark.parametrize(
    ("synth", "features"),
    [
        (ToySynth(), OwnWay()),
        (ToySynth(), Features(OwnWay())),
        (ToySynth(), Features(ToyFeatures())),
        (OwnWaySynth(), OwnWay()),
        (Restriction(OwnWaySynth(), {"decay": 4.0}), ToyFeatures()),
        (WithGain(OwnWaySynth(), 0.1, 10.0), ToyFeatures()),
    ],
    ids=["own", "compressed own", "compressed", "both own", "restriction", "gain"],
)
def test_threads_differentiate_as_one_does(synth, features):
    u = torch.zeros(2, len(synth.space), dtype=torch.float64)
    S, J = value_and_jacobian(synth, features, u)
    for value, jacobian in in_threads(lambda: value_and_jacobian(synth, features, u)):
        assert torch.equal(value, S)
        torch.testing.assert_close(jacobian, J, rtol=1e-12, atol=0)


def test_features_whose_tangents_are_products_do_not_wait_for_each_other():
    """A thread that waits inside for another one would never end, if the second had to wait for its turn."""

    class Meeting(nn.Module):
        forward_mode = False

        def __init__(self):
            super().__init__()
            self.barrier = Barrier(2)

        def forward(self, x):
            return x[:, :3]

        def value_and_tangents(self, x, dx):
            self.barrier.wait(timeout=20)
            return x[:, :3], dx[..., :3]

    features = Features(Meeting())
    u = torch.zeros(1, 2, dtype=torch.float64)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(value_and_jacobian, ToySynth(), features, u) for _ in range(2)]
        assert torch.equal(calls[0].result()[1], calls[1].result()[1])
