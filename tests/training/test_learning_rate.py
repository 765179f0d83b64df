"""Learning rates fall along a cosine, or on plateaus until training has converged."""

import itertools

import pytest
import torch
from task import MemoryCache, train_small
from torch import nn

from pnp.losses import PNPLoss


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


def test_learning_rate_falls_along_a_cosine(cache):
    rates = [epoch["learning_rate"] for epoch in train_small(cache, epochs=6, learning_rate=1e-2).history]
    assert all(later < earlier for earlier, later in itertools.pairwise(rates))
    assert rates[-1] < 1e-3


class _Stagnant(nn.Module):
    """A validation loss that falls for some epochs and then no more."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs, self.seen = epochs, 0

    def forward(self, u_hat, u, index):
        self.seen += torch.is_grad_enabled()
        return 0 * u_hat.sum() + max(100 - self.seen, 100 - self.epochs)


@pytest.mark.parametrize("learning_rate", [1e-2, 1e-7])
def test_on_plateaus_the_rate_falls_in_thirds_until_it_has_converged(cache, learning_rate):
    n_sounds = 8
    result = train_small(
        cache,
        loss=_Stagnant(3),
        epochs=None,
        decay="plateau",
        n_sounds=n_sounds,
        batch_size=n_sounds,
        learning_rate=learning_rate,
    )
    rates = [epoch["learning_rate"] / learning_rate for epoch in result.history]
    # Three epochs that gain, then five stretches of nine that do not.
    expected = [1.0] * 3 + [3.0**-step for step in range(5) for _ in range(9)]
    assert rates == pytest.approx(expected)
    assert result.stopped == "converged"


def test_training_that_gains_does_not_end_as_converged(cache):
    result = train_small(cache, loss=_Stagnant(99), decay="plateau", epochs=12, n_sounds=8)
    assert result.stopped == "epochs"
    assert {epoch["learning_rate"] for epoch in result.history} == {3e-3}


def test_reverting_does_not_bring_an_older_learning_rate_back(cache):
    class Stagnant(PNPLoss):
        """PNP loss whose validation loss does not fall after the first epoch."""

        def forward(self, u_hat, u, index=None, **options):
            loss = super().forward(u_hat, u, index, **options)
            return loss if torch.is_grad_enabled() else 0 * loss + 1

    result = train_small(
        cache,
        loss=Stagnant.from_cache(cache),
        damping_schedule={"patience": 0},
        decay="plateau",
        epochs=25,
        n_sounds=8,
    )
    rates = [epoch["learning_rate"] for epoch in result.history]
    assert rates == pytest.approx([3e-3] * 10 + [1e-3] * 9 + [1e-3 / 3] * 6)


def test_another_optimizer_takes_the_place_of_adamw(cache):
    made = []

    def factory(parameters):
        made.append(torch.optim.SGD(parameters, lr=5.0))
        return made[0]

    train_small(cache, epochs=1, learning_rate=1e-3, optimizer=factory)
    assert 0 < made[0].param_groups[0]["lr"] <= 1e-3
