"""The compiled kernels and their twins in plain PyTorch do the same."""

import pytest
import torch

from pnp import TimeFrequencyScattering
from pnp.features.scattering import kernels

pytest.importorskip("numba")

LOW, BAND, TIME = 3, 5, 37


@pytest.fixture
def twins(monkeypatch):
    """Run a function on both, and return both results."""

    def run(function):
        results = []
        for available in (True, False):
            monkeypatch.setattr(kernels, "available", lambda available=available: available)
            results.append(function())
        return results

    return run


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def dtype(request):
    return request.param


def spins(buffer):
    """Moduli of the low-pass rows and of both spins, as their definition reads."""
    zero, p, q = buffer[:LOW], buffer[LOW : LOW + BAND], buffer[LOW + BAND :]
    squares = [
        zero.square().sum(1),
        (p[:, 0] - q[:, 1]) ** 2 + (p[:, 1] + q[:, 0]) ** 2,
        (p[:, 0] + q[:, 1]) ** 2 + (p[:, 1] - q[:, 0]) ** 2,
    ]
    return torch.cat(squares).sqrt()


def check(pair):
    compiled, plain = pair
    for a, b in zip(compiled, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5 if a.dtype == torch.float32 else 1e-13, atol=1e-6)


@pytest.mark.parametrize("signals", [1, 4])
def test_projections_and_their_sums(dtype, signals, twins):
    buffer = torch.randn(LOW + 2 * BAND, signals, 2, TIME, dtype=dtype)

    def run():
        moduli = torch.zeros(LOW + 2 * BAND, signals, TIME, dtype=dtype)
        sums = torch.ones(signals, LOW + 2 * BAND, dtype=dtype)
        kernels.projections(buffer, LOW, moduli)
        kernels.projection_sums(buffer, LOW, sums)
        torch.testing.assert_close(moduli.sum(-1).T + 1, sums, rtol=1e-4, atol=1e-5)
        return moduli, sums

    pair = twins(run)
    check(pair)
    values, tangents = torch.func.jvp(spins, (buffer[:, 0],), (buffer[:, -1],))
    torch.testing.assert_close(pair[0][0][:, 0], values)
    if signals > 1:
        torch.testing.assert_close(pair[0][0][:, -1], tangents, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("length", [1, TIME])
def test_cotangents_are_those_of_automatic_differentiation(dtype, twins, length):
    buffer = torch.randn(LOW + 2 * BAND, 2, TIME, dtype=dtype)
    gradient = torch.randn(LOW + 2 * BAND, length, dtype=dtype)

    def run():
        out = torch.zeros_like(buffer)
        kernels.cotangents(buffer, LOW, gradient, out)
        return (out,)

    pair = twins(run)
    check(pair)
    z = buffer.clone().requires_grad_()
    (spins(z) * gradient).sum().backward()
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


def test_modulus_cotangent(dtype, twins):
    z = torch.randn(3, 700, dtype=dtype.to_complex())
    z[0, 7] = 0
    gradient = torch.randn(3, 700, dtype=dtype)

    def run():
        out = z.clone()
        kernels.modulus_cotangent(out, gradient)
        return (out,)

    pair = twins(run)
    check(pair)
    w = z.clone().requires_grad_()
    (w.abs() * gradient).sum().backward()
    torch.testing.assert_close(pair[0][0], w.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [{"T": "global", "F": "global"}, {"T": "global", "F": 2}, {"T": 30, "F": 4}, {"T": 0, "F": 0}],
    ids=str,
)
def test_whole_transform(settings, twins):
    jtfs = TimeFrequencyScattering(shape=600, J=6, Q=(8, 2), J_fr=2, **settings)
    x, dx = torch.randn(2, 600, dtype=torch.float64), torch.randn(2, 2, 600, dtype=torch.float64)
    check(twins(lambda: jtfs.value_and_tangents(x, dx)))

    def gradient():
        y = x.clone().requires_grad_()
        return torch.autograd.grad(jtfs(y).square().sum(), y)

    check(twins(gradient))
