"""Refinement of a match under noise: whitening, draws in four phases, and what both are good for."""

from pathlib import Path

import numpy as np
import pytest
import torch

import pnp
from pnp.features.standard import standard_features
from pnp.matching.catalogue import Catalogue
from pnp.matching.likelihood import _variance, likelier
from pnp.matching.noise import four_phases, noise_draw, noise_draws
from pnp.matching.problem import Problem
from pnp.matching.recording import as_recording
from pnp.matching.whitening import Whitening

SYNTH = pnp.synths.make("chirp", n_samples=2048, sample_rate=1024.0, ranges={"f_c": (128.0, 256.0)})
U = torch.tensor([0.31, -0.42, 0.17], dtype=torch.float64)


def test_whitening_divides_by_the_square_root_of_the_shrunk_covariance() -> None:
    generator = np.random.default_rng(3)
    draws = generator.normal(size=(12, 30)) @ generator.normal(size=(30, 30))
    white, covariance = Whitening(draws), np.cov(draws.T)
    shrunk = 0.8 * covariance + 0.2 * np.diag(np.diag(covariance))
    values = generator.normal(size=(30, 4))
    expected = values.T @ np.linalg.solve(shrunk, values)
    # Not to rounding: a ten thousandth of the mean variance is added.
    assert white(values).T @ white(values) == pytest.approx(expected, rel=1e-2, abs=1e-3)
    assert white(values[:, 0]) == pytest.approx(white(values)[:, 0])


def test_four_phases_of_a_draw_cancel_and_keep_its_spectrum() -> None:
    draws = noise_draws(torch.ones(1024, dtype=torch.float64), 3, seed=1)
    phases = four_phases(draws).unflatten(0, (3, 4))
    assert phases.sum(1).abs().max() < 1e-12
    power = torch.fft.rfft(phases).abs()[..., 1:-1]
    # Zero and the Nyquist frequency are missing in two of them, which changes the norm a little.
    torch.testing.assert_close(power[:, 1], power[:, 0], rtol=5e-3, atol=0)
    # A quarter turn: no correlation at lag 0.
    assert (phases[:, 0] * phases[:, 1]).sum(-1).abs().max() < 1e-3


def test_draws_are_zero_where_the_recording_is_padded_and_differ_from_the_fixed_one() -> None:
    x = torch.nn.functional.pad(torch.ones(500, dtype=torch.float64), (20, 60))
    draws = four_phases(noise_draws(x, 2, seed=5))
    assert not draws[:, :20].any()
    assert not draws[:, 520:].any()
    torch.testing.assert_close(draws.norm(dim=-1), torch.ones(8, dtype=torch.float64))
    assert (draws @ noise_draw(x)).abs().max() < 0.3


def noisy_problem(tmp_path: Path, ratio: float) -> tuple[Problem, np.ndarray]:
    """A chirp under noise of a seed of its own, and its parameters with the gain and the noise that were given it."""
    phi = standard_features(SYNTH, J=8, Q=(8, 1), Q_fr=1, J_fr=3, pad_mode="zero")
    pnp.precompute(SYNTH, phi, tmp_path / "chirp.h5", size=16, store=("S",), progress=False)
    with pnp.MetricCache(tmp_path / "chirp.h5") as cache:
        catalogue = Catalogue.from_cache(cache, SYNTH, phi)
    sound = SYNTH(SYNTH.space.from_unit(U[None]))[0]
    noise = torch.randn(2048, generator=torch.Generator().manual_seed(31), dtype=torch.float64)
    x = sound + noise * (ratio * sound.norm() / noise.norm())
    problem = Problem(catalogue, as_recording(x.numpy(), 1024.0), None, True, {}, True)
    share = ratio / (1 + ratio**2) ** 0.5
    gain = problem.norm / float(x.norm())
    nuisances = problem.space[3:].to_unit(torch.tensor([gain, share], dtype=torch.float64))
    return problem, torch.cat([U, nuisances]).numpy()


@pytest.mark.slow
def test_a_match_under_noise_comes_nearer_and_is_never_less_likely(tmp_path: Path) -> None:
    problem, truth = noisy_problem(tmp_path, 0.1)
    start = truth + np.array([0.008, -0.012, 0.01, 0.0, 0.0])
    found = likelier(problem, start)
    assert found is not None
    assert found.after < found.before
    # Noise explains all that is left.
    assert found.after < 2.0
    away = np.abs(found.u - truth)[:3].max()
    assert away < 0.5 * 0.012
    assert found.jacobian.shape == (len(problem.phi) + len(problem.in_bands().phi), 5)

    # The error is one that the deviation tells of, which is of the order of the step from the start.
    deviation = np.sqrt(found.variance)
    assert (np.abs(found.u - truth) < 4 * deviation)[:3].all()
    assert deviation[:3].max() < 0.02


def test_the_variance_is_that_of_least_squares_for_white_noise() -> None:
    generator = np.random.default_rng(11)
    J = generator.normal(size=(400, 3)) @ np.diag([1.0, 5.0, 0.2])
    J = np.concatenate([J, np.zeros((400, 1))], axis=1)
    variance = _variance(J, generator.normal(size=(400, 2000)))
    # A quarter more for the mean of four draws; nothing is known of the last one, which is not heard.
    expected = 1.25 * np.linalg.inv(J[:, :3].T @ J[:, :3]).diagonal()
    assert variance[:3] == pytest.approx(expected, rel=0.15)
    assert variance[3] < 1e-20
    # Nor does a pair of columns that are next to parallel change the others.
    pair = np.concatenate([J[:, :3], J[:, :1] * (1 + 1e-9) + 1e-8 * J[:, 2:3]], axis=1)
    assert _variance(pair, generator.normal(size=(400, 2000)))[2] == pytest.approx(expected[2], rel=0.15)


def test_a_sound_that_noise_does_not_explain_is_left_alone(tmp_path: Path) -> None:
    problem, truth = noisy_problem(tmp_path, 0.03)
    assert likelier(problem, np.clip(truth + 0.6, -1.0, 1.0)) is None


def test_features_under_other_draws_are_those_of_the_sum(tmp_path: Path) -> None:
    problem, truth = noisy_problem(tmp_path, 0.1)
    draws = noise_draws(problem.recorded, 2, seed=9)
    other = problem.with_draw(draws[1])
    assert problem.under(truth, draws)[1] - problem.phi == pytest.approx(other.residual(truth), abs=1e-4)
    # The problem itself keeps its draw.
    own = problem.under(truth, noise_draw(problem.recorded)[None])[0] - problem.phi
    assert own == pytest.approx(problem.residual(truth), abs=1e-4)
