"""evaluate: errors mean what they say."""

import json
import math

import pytest
import torch
from task import SMALL, Energies, MemoryCache, Tones
from torch import nn

from pnp.training.encoder import Encoder
from pnp.training.evaluate import evaluate
from pnp.training.train import train


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


class _Answers(Encoder):
    """Encoder that answers with given parameters, in the order of the rows it is asked about."""

    def __init__(self, cache, answers):
        super().__init__(cache.space, 1024.0, **SMALL)
        self.answers, self.asked = answers, 0

    def body(self, spectrograms):
        start, self.asked = self.asked, self.asked + len(spectrograms)
        return self.answers[start : self.asked]


def _evaluate(cache, encoder, **options):
    return evaluate(encoder, cache, cache.synth, progress=False, **options)


@pytest.mark.parametrize("keeps_features", [True, False])
def test_a_perfect_encoder_has_no_error(keeps_features):
    cache = MemoryCache(keeps_features=keeps_features)
    rows = cache.rows("test")
    result = _evaluate(cache, _Answers(cache, cache.u[rows]), features=Energies())
    assert result.parameter_error == (0.0, 0.0)
    assert result.relative_feature_distance == pytest.approx(0.0, abs=1e-4)
    assert result.rows.tolist() == rows.tolist()


def test_parameter_error_is_mean_absolute_error_and_percent_of_the_range(cache):
    rows = cache.rows("test")
    offset = torch.tensor([0.1, -0.3], dtype=torch.float64)
    result = _evaluate(cache, _Answers(cache, cache.u[rows] + offset))
    assert result.parameter_error == pytest.approx((0.1, 0.3))
    assert result.parameter_error_percent == pytest.approx((5.0, 15.0))
    assert result.mean_parameter_error == pytest.approx(0.2)
    assert result.feature_distance is None


def test_feature_distance_is_between_the_sounds_and_does_not_depend_on_what_the_cache_keeps(cache):
    rows = cache.rows("test")
    answers = cache.space.sample(len(rows), seed=5)
    theta = cache.space.from_unit(answers)
    sounds = [Energies()(cache.synth(t)) for t in (theta, cache.theta[rows])]
    expected = torch.linalg.vector_norm(sounds[0] - sounds[1], dim=-1)
    for each in (cache, MemoryCache(keeps_features=False)):
        result = _evaluate(each, _Answers(each, answers), features=Energies())
        torch.testing.assert_close(result.feature_distances, expected, rtol=1e-3, atol=0)
        assert result.feature_distance == pytest.approx(float(expected.mean()), rel=1e-3)


def test_an_encoder_that_answers_with_the_centre_is_as_good_as_the_centre(cache):
    answers = torch.zeros(len(cache.rows("test")), 2, dtype=torch.float64)
    result = _evaluate(cache, _Answers(cache, answers), features=Energies())
    assert result.parameter_error == pytest.approx(result.centre_parameter_error)
    assert result.feature_distance == pytest.approx(result.centre_feature_distance, rel=1e-4)


def test_a_trained_encoder_beats_the_centre(cache):
    options = {
        "encoder_options": SMALL,
        "epochs": 25,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "progress": False,
    }
    trained = train(cache, cache.synth, loss="pnp", **options).encoder
    for fold in ("train", "test"):
        result = _evaluate(cache, trained, features=Energies(), fold=fold)
        assert result.feature_distance < 0.5 * result.centre_feature_distance
        assert (result.fold, result.n_sounds) == (fold, len(cache.rows(fold)))


def test_summary_is_json(cache):
    result = _evaluate(cache, _Answers(cache, cache.u[cache.rows("test")]), features=Energies())
    summary = json.loads(result.to_json())
    assert summary["parameters"] == ["f", "decay"]
    assert set(summary) == set(result.to_dict())
    assert "u_hat" not in summary


def test_bad_input_is_named(cache):
    good = Encoder(cache.space, 1024.0, **SMALL)
    empty = MemoryCache(failed=tuple(cache.rows("test").tolist()))
    with pytest.raises(ValueError, match=r"test fold of cache/tones\.h5 has no sound"):
        _evaluate(empty, good)
    with pytest.raises(ValueError, match=r"encoder predicts decay, f; .*is about f, decay"):
        _evaluate(cache, Encoder(cache.space[::-1], 1024.0, **SMALL))
    with pytest.raises(ValueError, match=r"can use here, cpu.*; got 'cuda:99'"):
        _evaluate(cache, good, device="cuda:99")
    other = Tones()
    other.space = other.space[::-1]
    with pytest.raises(ValueError, match="different parameter spaces"):
        evaluate(good, cache, other)


def test_an_encoder_for_other_sounds_is_refused(cache):
    ranges = cache.space.replace({"decay": (1.0, 30.0)})
    with pytest.raises(
        ValueError,
        match=r"other ranges of parameters, decay in \[1, 30\] .*; cache/tones\.h5 is about decay in \[1, 20\]",
    ):
        _evaluate(cache, Encoder(ranges, 1024.0, **SMALL))
    with pytest.raises(
        ValueError, match=r"for sounds at 2048 Hz; cache/tones\.h5 is about sounds at 1024 Hz"
    ):
        _evaluate(cache, Encoder(cache.space, 2048.0, **SMALL))


def test_features_that_are_not_those_of_the_cache_are_refused(cache):
    class Fewer(Energies):
        def forward(self, x):
            return super().forward(x)[..., :10]

    encoder = _Answers(cache, cache.u[cache.rows("test")])
    with pytest.raises(ValueError, match=r"features are 10 numbers a sound, and cache/tones\.h5 keeps 24\."):
        _evaluate(cache, encoder, features=Fewer())


def test_predictions_that_are_not_numbers_are_refused(cache):
    answers = cache.u[cache.rows("test")].clone()
    answers[:2, 1] = math.nan
    with pytest.raises(
        FloatingPointError, match=rf"NaN or infinite parameters for 2 of {len(answers)} sounds"
    ):
        _evaluate(cache, _Answers(cache, answers))


def test_the_first_sounds_of_a_fold(cache):
    rows = cache.rows("test")[:3]
    result = _evaluate(cache, _Answers(cache, cache.u[rows]), n_sounds=3)
    assert (result.n_sounds, result.rows.tolist()) == (3, rows.tolist())
    with pytest.raises(ValueError, match="n_sounds must be a whole number of at least 1, got 0"):
        _evaluate(cache, _Answers(cache, cache.u[rows]), n_sounds=0)


def test_any_network_from_sounds_to_parameters_is_evaluated(cache):
    network = nn.Sequential(nn.Linear(1024, 8), nn.Dropout(0.5), nn.Linear(8, 2), nn.Tanh())
    rows = cache.rows("test")
    expected = network.eval()(cache.synth(cache.theta[rows].float())).detach()
    network.train()
    for callable_ in (network, lambda x: network.eval()(x).double()):
        result = _evaluate(cache, callable_, features=Energies())
        torch.testing.assert_close(result.u_hat.float(), expected)
        assert result.feature_distance > 0
    with pytest.raises(ValueError, match=r"\(B, P\) = \(16, 2\); got \(16, 1024\)"):
        _evaluate(cache, nn.Identity())
