"""The compiled kernels and their twins in plain PyTorch do the same."""

import pytest
import torch

from pnp import TimeFrequencyScattering
from pnp.scattering import kernels

pytest.importorskip("numba")

LOW, BAND, TIME = 3, 5, 37


@pytest.fixture
def twins(monkeypatch):
    """Run a function on both, and return both results."""

    def run(function):
        results = []
        for available in (True, False):
            monkeypatch.setattr(kernels, "_numba_available", lambda available=available: available)
            results.append(function())
        return results

    return run


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def buffer(request):
    return torch.randn(LOW + 2 * BAND, 2, TIME, dtype=request.param)


def out_like(buffer, *shape):
    return torch.zeros(LOW + 2 * BAND, *shape, dtype=buffer.dtype)


def check(pair):
    compiled, plain = pair
    for a, b in zip(compiled, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5 if a.dtype == torch.float32 else 1e-13, atol=1e-6)


def test_moduli(buffer, twins):
    def run():
        moduli, sums = out_like(buffer, TIME), out_like(buffer)
        kernels.moduli(buffer, LOW, moduli)
        kernels.modulus_sums(buffer, LOW, sums)
        torch.testing.assert_close(moduli.sum(1), sums)
        return moduli, sums

    check(twins(run))


def test_phases_and_projections(buffer, twins):
    tangents = torch.randn(LOW + 2 * BAND, 4, 2, TIME, dtype=buffer.dtype)

    def run():
        moduli, phase, projected = out_like(buffer, TIME), torch.zeros_like(buffer), out_like(buffer, TIME)
        sums, totals = torch.zeros(4, LOW + 2 * BAND, dtype=buffer.dtype), out_like(buffer)
        kernels.phases(buffer, LOW, moduli, phase, totals)
        torch.testing.assert_close(moduli.sum(1), totals)
        kernels.project(phase, tangents[:, 2].contiguous(), LOW, projected)
        kernels.projection_sums(phase, tangents, LOW, sums)
        torch.testing.assert_close(projected.sum(1), sums[2], rtol=1e-4, atol=1e-5)
        return moduli, phase, projected, sums, totals

    check(twins(run))


@pytest.mark.parametrize("length", [1, TIME])
def test_cotangents_are_those_of_automatic_differentiation(buffer, twins, length):
    gradient = torch.randn(LOW + 2 * BAND, length, dtype=buffer.dtype)

    def run():
        out = torch.zeros_like(buffer)
        kernels.cotangents(buffer, LOW, gradient, out)
        return (out,)

    pair = twins(run)
    check(pair)
    z = buffer.clone().requires_grad_()
    zero, p, q = z[:LOW], z[LOW : LOW + BAND], z[LOW + BAND :]
    spins = [
        zero.square().sum(1),
        (p[:, 0] - q[:, 1]) ** 2 + (p[:, 1] + q[:, 0]) ** 2,
        (p[:, 0] + q[:, 1]) ** 2 + (p[:, 1] - q[:, 0]) ** 2,
    ]
    (torch.cat(spins).sqrt() * gradient).sum().backward()
    torch.testing.assert_close(pair[0][0], z.grad, rtol=1e-3, atol=1e-5)


def test_modulus_tangents(twins):
    z = torch.randn(4, 50, dtype=torch.complex128)
    z[0, 7] = 0

    def run():
        out = torch.zeros(4, 50, dtype=torch.float64)
        kernels.modulus_tangents(z, out)
        return (out,)

    pair = twins(run)
    check(pair)
    assert not pair[0][0][:, 7].any()


@pytest.mark.parametrize(
    "settings",
    [{"T": "global", "F": "global"}, {"T": "global", "F": 2}, {"T": 30, "F": 4}, {"T": 0, "F": 0}],
    ids=str,
)
def test_whole_transform(settings, twins):
    jtfs = TimeFrequencyScattering(shape=600, J=6, Q=(8, 2), J_fr=2, **settings)
    x, dx = torch.randn(2, 600, dtype=torch.float64), torch.randn(2, 2, 600, dtype=torch.float64)
    check(twins(lambda: jtfs.value_and_tangents(x, dx)))
