"""train: it learns from every loss, and its result depends on the seed alone."""

import math

import pytest
import torch
from task import Energies, MemoryCache, deterministic, same, train_small, weights


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


@pytest.mark.parametrize("loss", ["p", "pnp", "spectral"])
def test_every_loss_teaches_the_encoder(cache, loss):
    features = Energies() if loss == "spectral" else None
    result = train_small(cache, loss=loss, features=features, epochs=25, learning_rate=1e-2)
    errors = [epoch["validation_error"] for epoch in result.history]
    # Answering with the centre of the cube is wrong by a half on average.
    assert min(errors) < 0.25
    assert result.history[-1]["train_loss"] < 0.2 * result.history[0]["train_loss"]
    assert result.best_validation_loss == min(epoch["validation_loss"] for epoch in result.history)
    assert result.history[result.best_epoch - 1]["validation_loss"] == result.best_validation_loss
    assert (result.stopped, len(result.history), result.loss_name) == ("epochs", 25, loss)


def test_the_surrogate_teaches_the_encoder_though_its_points_are_few(cache):
    result = train_small(cache, loss="surrogate", epochs=25, learning_rate=1e-2)
    # Answering with the centre of the cube is wrong by a half on average.
    assert min(epoch["validation_error"] for epoch in result.history) < 0.25
    assert result.loss_name == "surrogate"


def test_result_depends_on_the_seed_alone(cache):
    first = train_small(cache, seed=3)
    torch.manual_seed(999)
    again, other = train_small(cache, seed=3), train_small(cache, seed=4)
    assert same(weights(first), weights(again))
    assert deterministic(first.history) == deterministic(again.history)
    assert not same(weights(first), weights(other))


def test_seeds_of_63_bits_train(cache):
    assert len(train_small(cache, epochs=2, n_sounds=8, seed=2**63 - 1).history) == 2


def test_training_leaves_the_global_generator_alone(cache):
    state = torch.get_rng_state()
    train_small(cache, epochs=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_failed_sounds_are_left_out():
    cache = MemoryCache(failed=(0, 1, 4))
    result = train_small(cache, loss="pnp", epochs=1)
    assert math.isfinite(result.history[0]["validation_loss"])
