"""Search on coarse spectrograms first: what it finds, what it costs, and that it is never worse than its starts."""

import math

import numpy as np
import pytest
import torch
from chirps import SYNTH, U, catalogue_of_chirps

from pnp.matching.catalogue import Catalogue
from pnp.matching.coarse_to_fine import coarse_to_fine
from pnp.matching.problem import Problem
from pnp.matching.recording import as_recording
from pnp.matching.search import Search


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return catalogue_of_chirps(tmp_path_factory.mktemp("coarse"), size=64)


@pytest.fixture(scope="module")
def problem(catalogue: Catalogue) -> Problem:
    x = SYNTH(SYNTH.space.from_unit(U[None]))[0]
    return Problem(catalogue, as_recording(x.numpy(), SYNTH.sample_rate), None, True)


def test_the_coarse_problem_is_least_where_the_sound_was_made(problem: Problem) -> None:
    coarse = problem.in_bands()
    assert coarse.space.names == problem.space.names
    _, (point,) = problem.nearest(1)
    gain = float(problem.space[3:4].to_unit(torch.tensor([[problem.scale]], dtype=torch.float64)))
    best = coarse.residual(np.append(U.numpy(), gain))
    moved = coarse.residual(np.append(U.numpy() + 0.05, gain))
    # float32 features of norm 1, about.
    assert np.linalg.norm(best) < 1e-4 < 0.1 * np.linalg.norm(moved)
    # Its Jacobian is that of differences.
    J, h = coarse.jacobian(point), 1e-4
    for column, axis in enumerate(np.eye(4)):
        difference = (coarse.residual(point + h * axis) - coarse.residual(point - h * axis)) / (2 * h)
        assert np.linalg.norm(J[:, column] - difference) < 0.02 * np.linalg.norm(difference)


def test_the_sound_is_found(problem: Problem) -> None:
    _, points = problem.nearest(4)
    ends = coarse_to_fine(problem, points, 60, False)
    best = min(ends, key=lambda end: end.distance)
    assert best.distance < 1e-3 * problem.target_norm
    np.testing.assert_allclose(best.u[:3], U.numpy(), atol=1e-3)


def test_distances_are_those_of_the_features_and_no_end_is_worse_than_its_start(problem: Problem) -> None:
    _, points = problem.nearest(6)
    for evaluations in (2, 7, 60):
        ends = coarse_to_fine(problem, points, evaluations, False, long_steps=evaluations > 2)
        assert len(ends) == len(points)
        for point, end in zip(points, ends, strict=True):
            assert end.distance == pytest.approx(np.linalg.norm(problem.residual(end.u)), rel=1e-5, abs=1e-4)
            assert end.distances[0] == pytest.approx(np.linalg.norm(problem.residual(point)), rel=1e-6)
            assert end.distance <= end.distances[0]
            assert end.distances[-1] == end.distance


class _Fails(torch.nn.Module):
    """The chirp, which fails in half of its cube."""

    def __init__(self) -> None:
        super().__init__()
        self.space, self.sample_rate, self.n_samples = SYNTH.space, SYNTH.sample_rate, SYNTH.n_samples

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        if (self.space.to_unit(theta)[:, 0] < 0).any():
            raise RuntimeError("no such chirp")
        return SYNTH(theta)


def test_starts_at_which_the_synthesizer_fails_are_given_up(catalogue: Catalogue, problem: Problem) -> None:
    from dataclasses import replace

    failing = Problem(replace(catalogue, synth=_Fails()), problem.recording, None, True)
    _, points = problem.nearest(2)
    bad = points[0].copy()
    bad[0] = -0.5
    ends = coarse_to_fine(failing, np.stack([bad, points[0]]), 20, False)
    assert math.isinf(ends[0].distance)
    assert ends[1].distance < np.linalg.norm(problem.residual(points[0]))


def test_the_option_leaves_the_coarse_search_out(catalogue: Catalogue, problem: Problem, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("searched on coarse spectrograms")

    monkeypatch.setattr("pnp.matching.search.coarse_to_fine", refuse)
    few = {"starts": 2, "max_evaluations": 4, "align": False, "long_steps": False}
    assert len(Search(catalogue, **few, coarse=False).match(problem.recording).starts) == 2
    assert len(Search(catalogue, **(few | {"max_evaluations": 1})).match(problem.recording).starts) == 2
    with pytest.raises(AssertionError, match="coarse"):
        Search(catalogue, **few).match(problem.recording)
