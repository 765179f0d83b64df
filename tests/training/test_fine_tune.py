"""Fine-tuning on recordings whose parameters are not known."""

import pytest
import torch
from task import Energies, MemoryCache, same, train_small
from torch import nn

from pnp.training.fine_tune import fine_tune


@pytest.fixture(scope="module")
def cache() -> MemoryCache:
    return MemoryCache()


@pytest.fixture(scope="module")
def encoder(cache: MemoryCache):
    return train_small(cache, loss="p", epochs=2).encoder


def test_sounds_of_unknown_parameters_are_matched_better_afterwards(cache, encoder) -> None:
    rows = cache.rows("test")[:8]
    recordings = 0.2 * cache.synth(cache.theta[rows].float())
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    losses: list[float] = []
    tuned = fine_tune(
        encoder,
        recordings,
        cache.synth,
        Energies(),
        steps=60,
        learning_rate=1e-3,
        note=lambda _, loss: losses.append(loss),
    )
    assert same(encoder.state_dict(), before)
    # Losses are distances: half of the squares.
    assert losses[-1] ** 2 < 0.5 * losses[0] ** 2
    with torch.no_grad():
        errors = [(f(recordings) - cache.u[rows]).abs().mean() for f in (encoder, tuned)]
    assert errors[1] < errors[0]
    again = fine_tune(encoder, recordings, cache.synth, Energies(), steps=60, learning_rate=1e-3)
    assert same(again.state_dict(), tuned.state_dict())


def test_neither_level_nor_noise_floor_of_a_recording_says_anything(cache, encoder) -> None:
    sound = cache.synth(cache.theta[cache.rows("test")[:1]].float())
    floor = torch.randn(sound.shape, generator=torch.Generator().manual_seed(0))
    floor *= 0.3 * torch.linalg.vector_norm(sound) / torch.linalg.vector_norm(floor)
    firsts: list[float] = []
    for recording, noise in [
        (sound, None),
        (100 * sound, None),
        (sound + floor, floor),
        (sound + floor, None),
    ]:
        fine_tune(
            encoder,
            recording,
            cache.synth,
            Energies(),
            noise=noise,
            steps=1,
            note=lambda _, loss: firsts.append(loss),
        )
    clean, loud, explained, noisy = firsts
    assert loud == pytest.approx(clean, rel=0.05)
    assert explained < noisy


def test_the_average_of_the_weights_is_returned(cache, encoder) -> None:
    sounds = cache.synth(cache.theta[cache.rows("test")[:8]].float())
    ends = {}
    for name, steps, averaging in (("first", 1, 0.0), ("kept", 20, 0.9), ("last", 20, 0.0)):
        tuned = fine_tune(encoder, sounds, cache.synth, Energies(), steps=steps, averaging=averaging)
        ends[name] = torch.cat([p.detach().flatten() for p in tuned.parameters()])
    start = torch.cat([p.detach().flatten() for p in encoder.parameters()])
    norms = {name: float(torch.linalg.vector_norm(end - start)) for name, end in ends.items()}
    # The average lags behind the last weights, and has left the first ones.
    assert norms["first"] < norms["kept"] < norms["last"]


def test_recordings_are_brought_to_the_level_that_is_asked_for(cache, encoder) -> None:
    heard: list[float] = []

    class Listening(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            heard.extend(torch.linalg.vector_norm(x.detach(), dim=-1).tolist())
            return Energies()(x)

    sounds = cache.synth(cache.theta[:4].float()) * torch.tensor([[0.1], [1.0], [2.0], [30.0]])
    fine_tune(encoder, sounds, cache.synth, Listening(), level=7.0, steps=1)
    # Four recordings, then four sounds at predictions.
    assert heard == pytest.approx([7.0] * 8, rel=1e-5)


def test_what_cannot_be_tuned_on_is_named(cache, encoder) -> None:
    sounds = cache.synth(cache.theta[:2].float())
    with pytest.raises(ValueError, match=r"shape \(n, 1024\), as the synthesizer's sounds; got \(2, 1000\)"):
        fine_tune(encoder, sounds[:, :1000], cache.synth, Energies())
    with pytest.raises(ValueError, match="Recording 1 is silent"):
        fine_tune(encoder, sounds * torch.tensor([[1.0], [0.0]]), cache.synth, Energies())

    with pytest.raises(ValueError, match=r"shape of the recordings, \(2, 1024\); got \(1, 1024\)"):
        fine_tune(encoder, sounds, cache.synth, Energies(), noise=sounds[:1])

    with pytest.raises(ValueError, match=r"averaging must be at least 0 and below 1; got 1\.0"):
        fine_tune(encoder, sounds, cache.synth, Energies(), averaging=1.0)
    with pytest.raises(ValueError, match="level"):
        fine_tune(encoder, sounds, cache.synth, Energies(), level=0.0)

    class Deaf(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return Energies()(x.detach())

    with pytest.raises(ValueError, match="Tones and its features pass no gradient on"):
        fine_tune(encoder, sounds, cache.synth, Deaf(), steps=1)
