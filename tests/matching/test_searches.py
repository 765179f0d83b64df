"""Second searches of a match: by long steps, and with an equalizer."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chirps import SYNTH, U, catalogue_of_chirps

import pnp
from pnp.features.standard import standard_features
from pnp.matching.catalogue import Catalogue
from pnp.matching.likelihood import distance_by_noise
from pnp.matching.multistart import Refinement
from pnp.matching.onset import find_onset
from pnp.matching.problem import Problem
from pnp.matching.recording import as_recording
from pnp.matching.search import Search
from pnp.matching.searches import aligned
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
    catalogue = Catalogue(
        slow, features, torch.zeros(1), torch.zeros(1, 3), zeros, 1.0, 1.0, 1.0, 0, (0, 0), False, 1
    )
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


@pytest.mark.parametrize("length", [600, 820])
def test_a_recording_that_was_cut_while_it_rang_is_matched_by_sounds_that_are_cut(catalogue, length) -> None:
    x = SYNTH(SYNTH.space.from_unit(U[None]))[0]
    cut = as_recording(x[:length].numpy(), SYNTH.sample_rate)
    found = Search(catalogue, starts=4).match(cut)
    assert any("stops while it rings" in note for note in found.notes)
    assert float(50 * (found.u - U).abs().max()) < 0.5
    # What is listened to is whole.
    assert float(found.sound[length:].norm()) > 0.05 * float(found.sound.norm())
    assert not found.target[length:].any()


def test_a_delayed_recording_is_laid_upon_its_match_although_features_forgive_the_delay(catalogue) -> None:
    # Later by 10 ms than it was made, as a recording that may begin there: its end is missing.
    x = torch.cat([torch.zeros(40, dtype=torch.float64), SYNTH(SYNTH.space.from_unit(U[None]))[0, :-40]])
    found = Search(catalogue).match(as_recording(x.numpy(), SYNTH.sample_rate))
    # Where it was left, the nearest sound was further away by 6 % of a range.
    assert float(50 * (found.u - U).abs().max()) < 2.0
    assert found.distance_after < 0.005 * found.target_norm


@pytest.mark.parametrize("length", [350, 450, 600, 820])
def test_a_cut_recording_is_not_laid_upon_what_was_cut(catalogue, length: int) -> None:
    x = SYNTH(SYNTH.space.from_unit(U[None]))[0]
    cut = as_recording(x[:length].numpy(), SYNTH.sample_rate)
    problem = Problem(catalogue, cut, find_onset(cut.samples, SYNTH.sample_rate), False)
    assert np.linalg.norm(problem.residual(U.numpy())) < 1e-4 * problem.target_norm
    assert problem.realigned(U.numpy()) is None


def test_a_long_recording_is_matched_by_sounds_that_are_faded_like_it(catalogue) -> None:
    longer = pnp.synths.make("chirp", n_samples=2048, sample_rate=SYNTH.sample_rate)
    x = SYNTH(SYNTH.space.from_unit(U[None]))[0]
    rings_on = torch.cat([x, longer(SYNTH.space.from_unit(U[None]))[0, 1024:]])
    problem = Problem(catalogue, as_recording(rings_on.numpy(), SYNTH.sample_rate), None, False)
    # Nothing is left at the true parameters, although the end of the recording is faded.
    assert problem.window is not None
    assert np.linalg.norm(problem.residual(U.numpy())) < 1e-4 * problem.target_norm


def test_another_draw_of_the_noise_tells_how_near_a_match_can_be(catalogue) -> None:
    x = SYNTH(SYNTH.space.from_unit(U[None]))[0]
    noise = torch.randn(len(x), generator=torch.Generator().manual_seed(31), dtype=torch.float64)
    noisy = x + noise * (0.1 * x.norm() / noise.norm())
    problem = Problem(catalogue, as_recording(noisy.numpy(), SYNTH.sample_rate), None, True, fit_noise=True)
    share = 0.1 / (1 + 0.1**2) ** 0.5
    nuisances = torch.tensor([problem.norm / float(noisy.norm()), share], dtype=torch.float64)
    truth = torch.cat([U, problem.space[3:].to_unit(nuisances)]).numpy()
    usual, own = distance_by_noise(problem, truth), float(np.linalg.norm(problem.residual(truth)))
    assert 0.5 * usual < own < 2.0 * usual
    # What noise explains is not missed, although it is more than a 100th of the norm.
    ends = [Refinement(truth, 1.1 * usual, (1.2 * usual, 1.1 * usual), 9, "")]
    assert usual > 0.01 * problem.target_norm
    assert not Search(catalogue)._searches_again(problem, ends)
    assert Search(catalogue)._searches_again(problem, [replace(ends[0], distance=1.3 * usual)])


@pytest.mark.parametrize("late", [0, 40])
def test_a_noisy_recording_is_laid_upon_its_match(catalogue, late: int) -> None:
    x = SYNTH(SYNTH.space.from_unit(U[None]))[0]
    noise = torch.randn(len(x), generator=torch.Generator().manual_seed(31), dtype=torch.float64)
    noisy = as_recording((x + noise * (0.1 * x.norm() / noise.norm())).numpy(), SYNTH.sample_rate)
    begins = find_onset(noisy.samples, SYNTH.sample_rate)
    problem = Problem(catalogue, noisy, begins + late, True, fit_noise=True)
    truth = problem._with_nuisances(U.numpy()[None], np.array([problem._gain_of(U)]))[0]
    ends = [Refinement(truth, 1.0, (2.0, 1.0), 9, "")]
    moved, found = aligned(problem, truth[None], ends)
    # To 2 ms.
    assert moved.onset == pytest.approx(begins, abs=8)
    if late:
        assert found[0].distance == float(np.linalg.norm(moved.residual(truth)))
        # The start is the truth, too.
        assert found[0].distances == (found[0].distance, found[0].distance)
    else:
        assert found == ends


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
