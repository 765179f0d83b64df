"""Spectrograms: kept or made on demand, and only for the encoder that they were made for."""

import pytest
import torch
from task import SMALL, MemoryCache, train_small

from pnp.training.encoder import Encoder
from pnp.training.spectrograms import Spectrograms


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


def test_spectrograms_on_demand_are_those_kept(cache):
    encoder = Encoder(cache.space, 1024.0, **SMALL)
    rows, asked = cache.rows(), torch.tensor([7, 0, 7])
    kept = Spectrograms(encoder.front_end, cache.synth, cache.theta, rows, torch.device("cpu"))
    on_demand = Spectrograms(
        encoder.front_end, cache.synth, cache.theta, rows, torch.device("cpu"), most_bytes=0
    )
    torch.testing.assert_close(kept(asked), on_demand(asked))


def test_runs_that_share_spectrograms_are_those_that_make_their_own(cache):
    front_end = Encoder(cache.space, 1024.0, **SMALL).front_end
    shared = Spectrograms(front_end, cache.synth, cache.theta, cache.rows(), torch.device("cpu"))
    ours = train_small(cache, loss="pnp", epochs=2, spectrograms=shared)
    theirs = train_small(cache, loss="pnp", epochs=2)
    assert [e["train_loss"] for e in ours.history] == [e["train_loss"] for e in theirs.history]


def test_spectrograms_of_another_front_end_are_refused(cache):
    other = Encoder(cache.space, 1024.0, **(SMALL | {"front_end": {"n_bands": 5}})).front_end
    foreign = Spectrograms(other, cache.synth, cache.theta, cache.rows(), torch.device("cpu"))
    with pytest.raises(ValueError, match=r"were made with .*'n_bands': 5.*; the encoder takes"):
        train_small(cache, spectrograms=foreign)


def test_spectrograms_without_the_sounds_are_refused(cache):
    rows = cache.rows()
    front_end = Encoder(cache.space, 1024.0, **SMALL).front_end
    some = Spectrograms(front_end, cache.synth, cache.theta, rows[rows != 2], torch.device("cpu"))
    with pytest.raises(ValueError, match="without row 2"):
        train_small(cache, spectrograms=some)
