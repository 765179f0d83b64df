"""Run: what ends it, and what it keeps."""

import itertools
from typing import ClassVar

import pytest
import torch
from task import Diverging, MemoryCache, train_small
from torch import nn

from pnp.losses import ParameterLoss


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


def test_stops_when_the_time_is_up(cache):
    result = train_small(cache, epochs=None, time_budget=0.3)
    assert result.stopped == "time"
    assert result.seconds >= 0.3
    assert all(epoch["seconds"] < 0.3 for epoch in result.history[:-1])


def test_a_time_budget_is_read_from_the_clock_given(cache):
    ticks = itertools.count()
    result = train_small(cache, epochs=None, time_budget=100.0, clock=lambda: float(next(ticks)))
    assert result.stopped == "time"
    assert 100 <= result.seconds < 120
    assert result.history[-1]["seconds"] == result.seconds
    assert result.history[-2]["seconds"] < 100


def test_a_time_budget_cuts_an_epoch_short(cache):
    # Nothing is shorter than this budget: one step, and one validation.
    result = train_small(cache, epochs=None, time_budget=1e-9)
    assert (result.stopped, len(result.history)) == ("time", 1)


def test_without_any_end_given_there_is_one(cache):
    assert len(train_small(cache, epochs=None, n_sounds=8).history) == 40


def test_stops_when_patience_is_out(cache):
    class Worse(nn.Module):
        calls = 0

        def forward(self, u_hat, u, index):
            self.calls += 1
            return self.calls + 0 * u_hat.sum()

    result = train_small(cache, loss=Worse(), epochs=100, patience=4)
    assert (result.stopped, result.best_epoch, len(result.history)) == ("patience", 1, 5)
    assert result.loss_name == "Worse"


def test_diverging_keeps_the_best_weights_before_or_says_so(cache):
    epoch = len(cache.rows("train"))
    result = train_small(cache, loss=Diverging(3 * epoch), epochs=10)
    assert (result.stopped, len(result.history), result.best_epoch) == ("diverged", 3, 2)
    with pytest.raises(FloatingPointError, match=r"not finite after epoch 1.*learning rate 0\.003"):
        train_small(cache, loss=Diverging(epoch))


def test_a_learning_curve_trains_on_the_first_sounds_of_the_fold(cache):
    class Seen(ParameterLoss):
        rows: ClassVar[set[int]] = set()

        def forward(self, u_hat, u, index, **options):
            if torch.is_grad_enabled():
                self.rows.update(index.tolist())
            return super().forward(u_hat, u, index, **options)

    train_small(cache, loss=Seen(), epochs=1, n_sounds=5)
    assert Seen.rows == set(cache.rows("train")[:5].tolist())
