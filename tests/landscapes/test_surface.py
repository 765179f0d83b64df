"""Losses over a grid: their gradients, the smooth model, and what the published claims say at a small grid."""

import pytest
import torch

import pnp
from pnp.features.spectrogram import MultiscaleSpectrogram
from pnp.features.standard import standard_features
from pnp.landscapes.descent import descend
from pnp.landscapes.statistics import measure
from pnp.landscapes.surface import Landscape, SmoothGrid, compare, grid, streamed
from pnp.synths import Restriction, make


@pytest.mark.parametrize("distance", ["squares", "absolute"])
def test_the_gradient_is_that_of_automatic_differentiation(distance, generator) -> None:
    A = torch.randn(7, 2, generator=generator, dtype=torch.float64)
    target = torch.randn(7, generator=generator, dtype=torch.float64)
    u = torch.tensor([0.3, -0.2], dtype=torch.float64)

    def loss(u):
        return compare((A @ u).sin(), A * (A @ u).cos()[:, None], target, distance)[0]

    gradient = compare((A @ u).sin(), A * (A @ u).cos()[:, None], target, distance)[1]
    torch.testing.assert_close(gradient, torch.func.grad(loss)(u))


def polynomial(u):
    a, b = u.unbind(-1)
    return torch.stack([a**3 - 2 * b**3 + a * b, a**2 + 3 * b], dim=-1)


def test_the_smooth_model_is_exact_for_cubics_with_a_constant_mixed_derivative(generator) -> None:
    n = 5
    axis = torch.linspace(-1, 1, n, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1)
    jacobian = torch.func.vmap(torch.func.jacfwd(polynomial))
    model = SmoothGrid(polynomial(points), jacobian(points.reshape(-1, 2)).reshape(n, n, 2, 2))
    u = 2 * torch.rand(20, 2, generator=generator, dtype=torch.float64) - 1
    u[0], u[1] = 1.0, -1.0
    S, J = model.value_and_jacobian(u)
    torch.testing.assert_close(S, polynomial(u))
    torch.testing.assert_close(J, jacobian(u))


def test_a_grid_needs_two_parameters() -> None:
    with pytest.raises(ValueError, match="over two parameters, the space has 3"):
        grid(make("chirp").space, 5)


def chirp(shift: float = 0.0) -> Restriction:
    """The chirplets of the paper, sampled at a quarter of its rate and two octaves lower."""
    synth = make("chirp", sample_rate=2048.0, n_samples=8192, shift=shift, ranges={"f_c": [128.0, 256.0]})
    return Restriction(synth, {"f_c": 128.0})


@pytest.mark.slow
def test_claims_of_mesostructures_under_a_time_shift() -> None:
    """Shift of 2^10 samples at 8192 Hz: JTFS loss can be descended to the target, spectrogram loss cannot."""
    synth, n = chirp(), 8
    theta = torch.tensor([8.49, 1.49])
    delayed = chirp(shift=256.0)(theta)[None]
    points = grid(synth.space, n)
    target = synth.space.to_unit(theta.double())
    starts = points[::2, ::2].reshape(-1, 2)
    found = {}
    for name, features, distance in (
        ("jtfs", standard_features(make("chirp", sample_rate=2048.0, n_samples=8192), J=10), "squares"),
        ("mss", MultiscaleSpectrogram((256, 128, 64, 32, 16, 8)), "absolute"),
    ):
        goal = features(delayed)
        loss, gradient = streamed(synth, features, points.reshape(-1, 2), goal, distance)
        landscape = Landscape(synth.space, target, points, loss.reshape(n, n), gradient.reshape(n, n, 2))

        def evaluate(u, rows, features=features, goal=goal, distance=distance):
            loss, gradient = streamed(synth, features, u, goal, distance)
            return loss[:, 0], gradient[:, 0]

        found[name] = measure(landscape, descend(evaluate, starts, steps=30).end)
    assert found["jtfs"].minimum_at_target
    assert not found["mss"].minimum_at_target
    assert found["jtfs"].reached > 0.5 > found["mss"].reached
    assert found["jtfs"].downhill > found["mss"].downhill
    assert found["jtfs"].cosine > found["mss"].cosine


def test_a_shift_moves_spectrograms_far_and_scattering_little() -> None:
    """Relative to what another event rate does, which is why one loss has its minimum elsewhere."""
    theta = torch.tensor([[8.49, 1.49], [11.0, 1.49]])
    plain, other = chirp()(theta)
    delayed = chirp(shift=256.0)(theta[0])
    ratio = {}
    for name, features, order in (
        ("jtfs", standard_features(make("chirp", n_samples=8192)), 2),
        ("mss", MultiscaleSpectrogram((256, 64, 16)), 1),
    ):
        with torch.no_grad():
            at, shifted, moved = features(torch.stack([plain, delayed, other]))
        ratio[name] = float((shifted - at).norm(p=order) / (moved - at).norm(p=order))
    assert ratio["jtfs"] < 0.2
    assert ratio["mss"] > 1.0


def test_a_restriction_has_the_sounds_and_tangents_of_the_whole() -> None:
    whole = make("chirp", n_samples=2048)
    part = Restriction(whole, {"f_c": 700.0})
    theta = torch.tensor([[5.0, 1.0], [9.0, 2.0]], dtype=torch.float64)
    full = torch.cat([torch.full((2, 1), 700.0, dtype=torch.float64), theta], dim=1)
    x, dx = part.value_and_tangents(theta)
    expected, tangents = whole.value_and_tangents(full)
    torch.testing.assert_close(x, expected)
    torch.testing.assert_close(part(theta), expected)
    torch.testing.assert_close(dx, tangents[:, 1:])
    S, J = pnp.value_and_jacobian(part, MultiscaleSpectrogram((64,)), part.space.to_unit(theta))
    assert J.shape == (*S.shape, 2)
    with pytest.raises(ValueError, match="fixed 'f_c' must be between 512 and 1024"):
        Restriction(whole, {"f_c": 100.0})


def test_a_shifted_ripple_is_the_ripple_later() -> None:
    theta = torch.tensor([0.7, 5.0], dtype=torch.float64)
    plain, later = (make("ripple", n_samples=4096, shift=s)(theta) for s in (0, 300))
    torch.testing.assert_close(later[300:], plain[:-300])
