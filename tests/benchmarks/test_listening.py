"""Ratings of listeners as a benchmark: reading, measuring, choosing."""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
import torch
from listening.agreement import agreement, distances, interval, pooled
from listening.choice import left_out, split_halves
from listening.elsewhere import settings_at
from listening.maps import Representation, custom, scattering
from listening.measure import Results, measure
from listening.page import as_markdown
from listening.studies import StudyError, read_studies
from listening.weights import Groups, Kept, held_out
from panelists.page import ears_table

ROOT = Path(__file__).parents[2]
RATE = 8000


def write_study(folder, name="A", n=4, *, rate=RATE, length=400, seed=0):
    """A study whose ratings are differences of frequency."""
    sounds = folder / "sounds" / name
    sounds.mkdir(parents=True)
    (folder / "ratings").mkdir(exist_ok=True)
    frequencies = np.sort(np.random.default_rng(seed).uniform(500, 3000, n))
    for index, frequency in enumerate(frequencies):
        t = np.arange(length - 10 * index) / rate
        soundfile.write(sounds / f"{index}.wav", 0.5 * np.sin(2 * np.pi * frequency * t), rate)
    ratings = np.abs(frequencies[:, None] - frequencies)
    np.savetxt(folder / "ratings" / f"{name}.txt", np.triu(ratings, 1))
    return sounds, folder / "ratings" / f"{name}.txt", ratings / ratings.max()


class TestStudies:
    def test_sounds_and_ratings(self, tmp_path):
        _, _, ratings = write_study(tmp_path, "Somebody1999_first")
        (study,) = read_studies(tmp_path, 380, 0.1)
        assert (study.name, study.publication) == ("Somebody1999_first", "Somebody1999")
        assert study.lengths == (370, 400)
        assert study.sounds.shape == (4, 380)
        np.testing.assert_allclose(study.ratings, ratings, rtol=1e-12)
        sizes = study.sounds[:2].square().mean(1).sqrt()
        torch.testing.assert_close(sizes, torch.full((2,), 0.1))
        assert (study.sounds[3, 370:] == 0).all()

    @pytest.mark.parametrize("half", [np.triu, np.tril, lambda x: x], ids=["upper", "lower", "whole"])
    def test_a_triangle_or_a_whole_matrix(self, tmp_path, half):
        _, path, ratings = write_study(tmp_path)
        np.savetxt(path, half(ratings))
        np.testing.assert_allclose(read_studies(tmp_path, 400, 0.1)[0].ratings, ratings, rtol=1e-12)

    def test_a_missing_sound(self, tmp_path):
        sounds, _, _ = write_study(tmp_path)
        (sounds / "2.wav").unlink()
        with pytest.raises(
            StudyError, match=r"A\.txt is 4 by 4, but study A has 3 sounds; .* may be missing"
        ):
            read_studies(tmp_path, 400, 0.1)

    def test_a_matrix_of_the_wrong_size(self, tmp_path):
        _, path, ratings = write_study(tmp_path)
        np.savetxt(path, ratings[:, :3])
        with pytest.raises(StudyError, match=r"A\.txt is 4 by 3, but study A has 4 sounds"):
            read_studies(tmp_path, 400, 0.1)

    def test_another_rate_within_a_study(self, tmp_path):
        sounds, _, _ = write_study(tmp_path)
        soundfile.write(sounds / "3.wav", np.ones(100) / 2, 16000)
        with pytest.raises(
            StudyError, match=r"3\.wav is at 16000 Hz and 0\.wav of the same study at 8000 Hz"
        ):
            read_studies(tmp_path, 400, 0.1)

    def test_another_rate_between_studies(self, tmp_path):
        write_study(tmp_path, "A")
        write_study(tmp_path, "B", rate=16000)
        with pytest.raises(StudyError, match="Study B is at 16000 Hz and A at 8000 Hz"):
            read_studies(tmp_path, 400, 0.1)

    def test_ratings_without_sounds_and_sounds_without_ratings(self, tmp_path):
        sounds, path, _ = write_study(tmp_path)
        (tmp_path / "sounds" / "C").mkdir()
        with pytest.raises(StudyError, match="has sounds of C, but there are no ratings"):
            read_studies(tmp_path, 400, 0.1)
        (tmp_path / "sounds" / "C").rmdir()
        np.savetxt(path.with_name("D.txt"), np.ones((2, 2)))
        with pytest.raises(StudyError, match="Study D has ratings but no sounds"):
            read_studies(tmp_path, 400, 0.1)
        with pytest.raises(StudyError, match="has no folder `ratings`"):
            read_studies(sounds, 400, 0.1)

    @pytest.mark.parametrize(
        ("matrix", "message"),
        [
            (-np.ones((4, 4)), "negative"),
            (np.full((4, 4), np.nan), "not finite"),
            (np.zeros((4, 4)), "no rating above 0"),
            (np.arange(16.0).reshape(4, 4), "not symmetric"),
        ],
    )
    def test_ratings_that_are_none(self, tmp_path, matrix, message):
        _, path, _ = write_study(tmp_path)
        np.savetxt(path, matrix)
        with pytest.raises(StudyError, match=message):
            read_studies(tmp_path, 400, 0.1)
        path.write_text("a b\nc d\n")
        with pytest.raises(StudyError, match="not a matrix of numbers"):
            read_studies(tmp_path, 400, 0.1)

    @pytest.mark.parametrize(
        ("samples", "message"), [(np.zeros(100), "are silent"), (np.ones((100, 2)) / 2, "has 2 channels")]
    )
    def test_sounds_that_cannot_be_compared(self, tmp_path, samples, message):
        sounds, _, _ = write_study(tmp_path)
        soundfile.write(sounds / "1.wav", samples, RATE)
        with pytest.raises(StudyError, match=rf"1\.wav.*{message}"):
            read_studies(tmp_path, 400, 0.1)
        (sounds / "1.wav").write_bytes(b"no sound")
        with pytest.raises(StudyError, match=r"1\.wav cannot be read"):
            read_studies(tmp_path, 400, 0.1)


class TestAgreement:
    def test_listeners_agree_with_themselves_and_not_with_their_opposite(self):
        x = np.random.default_rng(0).uniform(size=(6, 2))
        ratings = np.linalg.norm(x[:, None] - x, axis=-1)
        ratings /= ratings.max()
        assert agreement(ratings, ratings) == pytest.approx({"triplets": 1, "spearman": 1, "kendall": 1})
        assert agreement(-ratings, ratings) == pytest.approx({"triplets": 0, "spearman": -1, "kendall": -1})

    def test_pairs_within_the_margin_do_not_count(self):
        ratings = np.array([[0, 0.5, 0.55, 1], [0.5, 0, 0.5, 0.5], [0.55, 0.5, 0, 0.5], [1, 0.5, 0.5, 0]])
        found = np.array([[0, 0.6, 0.5, 0.4], [0.6, 0, 0.5, 0.5], [0.5, 0.5, 0, 0.5], [0.4, 0.5, 0.5, 0]])
        # Counted: (1, 3) and (2, 3) seen from 0, both the wrong way; (0, 1) and (0, 2) seen from 3, likewise; seen
        # from 1 and 2 all ratings are within the margin.
        assert agreement(found, ratings)["triplets"] == 0
        found[0, 3] = found[3, 0] = 0.7
        # From 0 both are right, from 3 both are right: two reference sounds of four.
        assert agreement(found, ratings)["triplets"] == 0.5

    def test_distances(self):
        x = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0))
        expected = torch.cdist(x.flatten(1).double(), x.flatten(1).double())
        np.testing.assert_allclose(distances(x, "euclidean"), expected, atol=1e-7)
        scaled = x * torch.arange(1.0, 6.0)[:, None, None]
        np.testing.assert_allclose(distances(scaled, "cosine"), distances(x, "cosine"), atol=1e-7)
        cosine = torch.nn.functional.cosine_similarity(x[0].flatten(), x[1].flatten(), 0)
        assert distances(x, "cosine")[0, 1] == pytest.approx(np.sqrt(2 - 2 * cosine.item()), abs=1e-6)

    def test_intervals(self):
        assert pooled([0.5, 1.0], [3, 1]) == 0.625
        assert interval([0.7] * 5, [3, 4, 5, 6, 7]) == pytest.approx((0.7, 0.7))
        low, high = interval([0.6, 0.7, 0.8], [1, 1, 1])
        assert 0.6 - 1e-9 <= low < 0.7 < high <= 0.8 + 1e-9


class Counted:
    """Representation that counts how often it is computed."""

    def __init__(self, fail_at=None):
        self.calls, self.fail_at = 0, fail_at

    def representation(self, **config):
        def function(x):
            self.calls += 1
            if self.calls == self.fail_at:
                raise KeyboardInterrupt
            return torch.fft.rfft(x).abs()

        return Representation(
            "spectrum", config, lambda: function, {"": lambda x: x, "scale 10": lambda x: torch.log1p(10 * x)}
        )


class TestMeasure:
    SETTINGS: ClassVar = {"samples": 400}

    @pytest.fixture
    def studies(self, tmp_path):
        for seed, name in enumerate(("A", "B", "C")):
            write_study(tmp_path, name, seed=seed)
        return read_studies(tmp_path, 400, 0.1)

    def test_goes_on_where_it_was_interrupted(self, studies, tmp_path):
        path = tmp_path / "results.json"
        interrupted = Counted(fail_at=3)
        with pytest.raises(KeyboardInterrupt):
            measure([interrupted.representation(a=1)], studies, Results(path, self.SETTINGS))
        later = Counted()
        names = measure([later.representation(a=1)], studies, Results(path, self.SETTINGS))
        assert names == ["spectrum", "spectrum, scale 10"]
        assert later.calls == 1
        assert list(json.loads(path.read_text())["maps"]["spectrum"]["studies"]) == ["A", "B", "C"]

    def test_other_settings_of_a_map_or_other_data_are_measured_again(self, studies, tmp_path):
        path = tmp_path / "results.json"
        measure([Counted().representation(a=1)], studies, Results(path, self.SETTINGS))
        other = Counted()
        measure([other.representation(a=2)], studies, Results(path, self.SETTINGS))
        assert other.calls == 3
        write_study(tmp_path / "again", "A", seed=7)
        other_data = read_studies(tmp_path / "again", 400, 0.1)
        measure([other.representation(a=2)], other_data, Results(path, self.SETTINGS))
        assert other.calls == 4

    def test_other_settings_of_the_measure_are_refused(self, studies, tmp_path):
        path = tmp_path / "results.json"
        measure([Counted().representation()], studies, Results(path, self.SETTINGS))
        with pytest.raises(ValueError, match="Choose another file"):
            Results(path, {"samples": 300})

    def test_kept_coefficients_serve_again(self, studies, tmp_path):
        counted = Counted()
        for _ in range(2):
            measure([counted.representation()], studies, Results(None, self.SETTINGS), tmp_path / "scratch")
        assert counted.calls == 3

    def test_features_that_are_none(self, studies):
        for function, message in ((lambda x: x[:2], "one row a sound"), (lambda x: x / 0, "NaN or infinite")):
            one = Representation("wrong", {}, lambda function=function: function)
            with pytest.raises(ValueError, match=message):
                measure([one], studies, Results(None, self.SETTINGS))

    def test_a_map_of_ones_own(self, studies, tmp_path):
        source = tmp_path / "mine.py"
        source.write_text("def make(n_samples, sample_rate):\n    return lambda x: x[:, : n_samples // 2]\n")
        results = Results(None, self.SETTINGS)
        (name,) = measure([custom(f"{source}:make", 400, RATE)], studies, results)
        assert results.content["maps"][name]["studies"]["A"]["features"] == 200
        with pytest.raises(ValueError, match="has no function other"):
            custom(f"{source}:other", 400, RATE)
        with pytest.raises(ValueError, match="there is no file"):
            custom("nowhere.py:make", 400, RATE)
        with pytest.raises(ValueError, match=r"FILE\.py:NAME"):
            custom("mine", 400, RATE)


SIZES = {"P_1": 10, "P_2": 10, "Q": 10, "R": 10}


def test_what_is_best_on_the_studies_left_out_is_not_chosen_for_it():
    table = {
        "even": dict.fromkeys(SIZES, 0.7),
        "lucky": {"P_1": 1.0, "P_2": 1.0, "Q": 0.5, "R": 0.5},
        "rival": dict.fromkeys(SIZES, 0.6),
    }
    result = left_out(table, ["even", "lucky"], "rival", SIZES)
    # Without P, "even" is chosen and has 0.7 there. Without Q or R, "lucky" is, and has 0.5.
    assert result.chosen == {"even": 1, "lucky": 2}
    assert result.score == pytest.approx((0.7 * 20 + 0.5 * 20) / 40)
    assert (result.rival, result.better) == (pytest.approx(0.6), pytest.approx(1 / 3))
    halves = split_halves(table, ["even"], "rival", SIZES, draws=20)
    assert (halves.score, halves.better) == (pytest.approx(0.7), 1)


def test_settings_cover_the_same_times_at_another_rate():
    settings = {"J": 12, "T": 8192, "F": 8}
    assert settings_at(settings, 44100, 22050, 65536) == {"J": 11, "T": 4096, "F": 8}
    assert settings_at({**settings, "T": "global"}, 44100, 8192, 4096) == {"J": 9, "T": "global", "F": 8}


def test_scattering_maps_are_those_of_the_package():
    import pnp

    options = {"J": 6, "Q": (4, 1), "J_fr": 2, "Q_fr": 1, "T": "global", "F": 2}
    one = scattering(1024, options)
    x = torch.randn(2, 1024, generator=torch.Generator().manual_seed(0))
    features = pnp.Features(pnp.TimeFrequencyScattering(1024, **options, pad_mode="zero"), scale=1e5)
    torch.testing.assert_close(one.heads["scale 1e+05"](one.build()(x)), features(x))


class TestWeights:
    def test_groups_divide_the_squared_distance(self):
        import pnp

        options = {"J": 6, "Q": (4, 1), "J_fr": 2, "Q_fr": 1, "T": 256, "F": 2, "first_order": "average"}
        transform = pnp.TimeFrequencyScattering(1024, **options, pad_mode="zero")
        groups = Groups.of(transform)
        features = transform(torch.randn(3, 1024, generator=torch.Generator().manual_seed(0)))
        whole = distances(features, "euclidean") ** 2
        np.testing.assert_allclose(groups.squares(features).sum(-1), whole, atol=1e-6 * whole.max())
        # One factor for the first order, and two for a path of the second: its rate and its scale.
        assert sorted(set(groups.factors.sum(1).tolist())) == [1, 2]

    def test_what_other_publications_heard_helps_where_it_is_heard_too(self):
        random = np.random.default_rng(0)
        studies = []
        for publication in "ABC":
            x = torch.from_numpy(random.standard_normal((10, 3, 2)))
            squares = torch.stack([torch.cdist(x[:, k], x[:, k]).square() for k in range(3)], -1)
            # Listeners hear the second group alone.
            ratings = squares[..., 1].sqrt().numpy()
            studies.append(Kept(publication, squares, ratings / ratings.max()))
        found = held_out(studies, torch.eye(3, dtype=torch.float64))
        for study, distance in zip(studies, found, strict=True):
            equal = agreement(study.squares.sum(-1).sqrt().numpy(), study.ratings)
            assert agreement(distance, study.ratings)["triplets"] > 0.95 > equal["triplets"]


def test_the_page_is_that_of_the_kept_results():
    content = json.loads((ROOT / "benchmarks" / "results" / "listeners.json").read_text("utf-8"))
    trained = json.loads((ROOT / "benchmarks" / "results" / "panel.json").read_text("utf-8"))
    page = (ROOT / "docs" / "evidence" / "listeners.md").read_text("utf-8")
    assert as_markdown(content, ears_table(trained)) == page
    assert "{{" not in page
