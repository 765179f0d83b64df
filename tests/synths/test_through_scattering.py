"""Every synthesizer through scattering: right Jacobians, and the silent direction of the drum."""

import logging

import pytest
import torch

from pnp import RiemannianMetric, value_and_jacobian
from pnp.features.standard import standard_features
from pnp.synths import make

_log = logging.getLogger(__name__)

NAMES = ["chirp", "drum", "ripple", "string"]

# Steps of a central difference, in unit coordinates. A parameter that is hardly heard takes a long one to
# rise above rounding; one that moves partials a very short one, since a modulus bends sharply near its zeros.
STEPS = (3e-4, 1e-5, 1e-7, 1e-8, 1e-9)


def central_difference(phi, u, column, step):
    """Central difference along one axis of the cube."""
    offset = torch.zeros_like(u)
    offset[:, column] = step
    return (phi(u + offset) - phi(u - offset)) / (2 * step)


def spectrum(synth, features, u):
    _, J = value_and_jacobian(synth, features, u)
    return RiemannianMetric.from_jacobian(J)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_jacobians_match_central_differences_over_the_whole_range(name):
    synth = make(name, n_samples=4096)
    features = standard_features(synth).double()
    u = 0.99 * synth.space.sample(8, seed=3)
    _, J = value_and_jacobian(synth, features, u)

    def phi(v):
        return features(synth(synth.space.from_unit(v)))

    errors = torch.full(J.shape[::2], torch.inf, dtype=torch.float64)
    for column in range(len(synth.space)):
        exact = J[..., column]
        for step in STEPS:
            difference = central_difference(phi, u, column, step)
            error = (difference - exact).norm(dim=-1) / exact.norm(dim=-1)
            errors[:, column] = torch.minimum(errors[:, column], error)
    # To see it: pytest -m slow --log-cli-level=INFO
    for parameter, worst in zip(synth.space.names, errors.amax(0).tolist(), strict=True):
        _log.info("%s, %s: worst relative error %.1e", name, parameter, worst)
    assert errors.max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(
    ("options", "alpha"), [({"modes": "diagonal"}, 0.0), ({}, 1.0)], ids=["diagonal sum", "square membrane"]
)
def test_the_drum_s_silent_direction_has_eigenvalue_zero_and_no_eigenvalue_is_negative(options, alpha, dtype):
    synth = make("drum", **options)
    features = standard_features(synth).to(dtype)
    u = torch.tensor([[0.0, 0.0, 0.0, 0.0, alpha]], dtype=dtype)
    metric = spectrum(synth, features, u)
    eigenvalues = metric.eigenvalues[0]
    assert (eigenvalues >= 0).all()
    assert eigenvalues[0] > 500.0
    # They are squared singular values, which are never negative; the smallest is the rounding of the largest.
    assert eigenvalues[-1] < (16 * torch.finfo(dtype).eps) ** 2 * eigenvalues[0]
    assert eigenvalues[-2] > 1e-5
    # Along it nothing else than alpha, but what pβ and Dβ take to stay where they are.
    direction = metric.eigenvectors[0, :, -1].abs()
    assert direction[4] > 0.99
    assert direction[:2].max() < 1e-3


@pytest.mark.slow
def test_a_rectangular_drum_has_five_directions_that_are_heard():
    synth = make("drum")
    eigenvalues = spectrum(synth, standard_features(synth), torch.zeros(1, 5)).eigenvalues[0]
    assert eigenvalues[-1] > 1e-5
