"""Second searches of a match: by long steps, and with an equalizer."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from chirps import SYNTH, U, catalogue_of_chirps

import pnp
from pnp.features.standard import standard_features
from pnp.matching.catalogue import Catalogue
from pnp.matching.multistart import Refinement
from pnp.matching.problem import Problem
from pnp.matching.recording import as_recording
from pnp.matching.search import Search
from pnp.synths.with_equalizer import with_equalizer


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return catalogue_of_chirps(tmp_path_factory.mktemp("searches"), size=32)


@pytest.fixture(scope="module")
def coloured() -> torch.Tensor:
    """A chirp through an equalizer: 6 dB up at 150 Hz, 9.5 dB down at 600 Hz and above."""
    theta = torch.cat([SYNTH.space.from_unit(U), torch.tensor([2.0, 1 / 3], dtype=torch.float64)])
    return with_equalizer(SYNTH, (150.0, 600.0), 4.0)(theta[None])[0]


@pytest.mark.slow
def test_an_equalizer_explains_what_the_synthesizer_cannot_make(catalogue, coloured) -> None:
    recording = as_recording(coloured.numpy(), SYNTH.sample_rate)
    plain = Search(catalogue, starts=4, align=False, fit_noise=False).match(recording)
    found = Search(catalogue, starts=4, align=False, fit_noise=False, equalize=True).match(recording)
    assert found.distance_flat == plain.distance_after
    assert plain.distance_flat is None
    assert plain.equalizer == {}
    # At the true equalizer nothing is left but its cost, 3 % of the norm for 12 dB, and the search ends no higher.
    cost = 0.03 * math.hypot(math.log(2), math.log(3)) / math.log(4)
    assert found.distance_after < cost * found.target_norm < plain.distance_after
    # Gain and equalizer have a direction in common: differences between bands are what is heard. These are 15.6 dB,
    # of which the cost of an equalizer takes some away.
    low, high = found.equalizer["band_150_Hz"], found.equalizer["band_600_Hz"]
    assert 8.0 < low - high < 20 * np.log10(6)
    # The sound that is returned has passed through the equalizer.
    phi = catalogue.features
    scale = catalogue.level / float(found.target.norm())
    away = phi(scale * found.sound[None].float()) - phi(scale * found.target[None].float())
    assert float(away.norm()) == pytest.approx(found.distance_after, rel=1e-3)
    assert "distance_flat" in found.to_dict()


def test_points_of_the_flat_problem_are_points_at_0_dB(catalogue, coloured) -> None:
    flat = Problem(catalogue, as_recording(coloured.numpy(), SYNTH.sample_rate), None, True, fit_noise=True)
    equalized = flat.equalized()
    u = np.array([0.1, 0.2, 0.3, 0.4, -0.5])
    assert list(equalized.space.names) == [*SYNTH.space.names, "gain", "band_150_Hz", "band_600_Hz", "noise"]
    assert equalized.flat(u).tolist() == [0.1, 0.2, 0.3, 0.4, 0.0, 0.0, -0.5]
    np.testing.assert_allclose(equalized.residual(equalized.flat(u)), flat.residual(u), atol=1e-3)
    assert equalized.decibels(equalized.flat(u)) == {"band_150_Hz": 0.0, "band_600_Hz": 0.0}
    assert equalized.noise_to_sound(equalized.flat(u)) == pytest.approx(flat.noise_to_sound(u), rel=1e-5)
    assert equalized.complete(equalized.flat(u)).tolist() == flat.complete(u).tolist()


def test_an_equalizer_needs_two_bands() -> None:
    slow = pnp.synths.make("chirp", n_samples=1024, sample_rate=1024.0, ranges={"f_c": (128.0, 256.0)})
    features = standard_features(slow, J=6, Q=(8, 1), Q_fr=1, J_fr=3)
    sound = slow(slow.space.from_unit(torch.zeros(1, 3)))
    zeros = np.zeros((1, 1), np.float32)
    catalogue = Catalogue(slow, features, torch.zeros(1), torch.zeros(1, 3), zeros, 1.0, 1.0, 1.0, 0, (0, 0), 1)
    with pytest.raises(ValueError, match=r"needs two of them below a quarter .* got 1024 Hz"):
        Problem(catalogue, as_recording(sound[0].numpy(), 1024.0), None, True, equalize=True)


def test_long_steps_are_for_sounds_that_were_missed_and_can_be_made(catalogue) -> None:
    x = SYNTH(SYNTH.space.from_unit(U[None]))[0]
    problem = Problem(catalogue, as_recording(x.numpy(), SYNTH.sample_rate), None, True)
    norm, usual = problem.target_norm, catalogue.neighbour_distance
    assert usual is not None

    def end(start: float, distance: float) -> list[Refinement]:
        return [Refinement(np.zeros(4), distance * norm, (start * norm, distance * norm), 9, "")]

    search = Search(catalogue)
    assert search._searches_again(problem, end(0.9 * usual, 0.02))
    assert not search._searches_again(problem, end(0.9 * usual, 0.005))
    assert not search._searches_again(problem, end(1.1 * usual, 0.02))
    assert not Search(catalogue, max_evaluations=1)._searches_again(problem, end(0.9 * usual, 0.02))


def test_a_search_by_long_steps_is_never_worse(catalogue) -> None:
    x = SYNTH(SYNTH.space.from_unit(U[None]))[0]
    recording = as_recording(x.numpy(), SYNTH.sample_rate)
    few = {"starts": 1, "max_evaluations": 3, "align": False}
    short = Search(catalogue, **few, long_steps=False).match(recording)
    long = Search(catalogue, **few, long_steps=True).match(recording)
    assert long.distance_after < short.distance_after
    assert [s.row for s in long.starts] == [s.row for s in short.starts]
    assert [s.before for s in long.starts] == [s.before for s in short.starts]
    assert long.evaluations == sum(s.evaluations for s in long.starts)


def test_a_saved_encoder_is_read_again(tmp_path: Path) -> None:
    from pnp.training.checkpoint import load_encoder, save_encoder
    from pnp.training.encoder import Encoder

    encoder = Encoder(SYNTH.space, SYNTH.sample_rate).eval()
    save_encoder(tmp_path / "tuned.pt", encoder)
    x = torch.randn(1, 4096)
    with torch.no_grad():
        torch.testing.assert_close(load_encoder(tmp_path / "tuned.pt")(x), encoder(x))
