"""Voice of harmonics and noise, and the same as a black box."""

import torch

import pnp
from pnp.bench.voice import HarmonicsAndNoise, black_box


def test_the_voice_passes_the_probe() -> None:
    pnp.synths.probe(HarmonicsAndNoise(harmonics=2, n_samples=512))


def test_by_default_it_has_32_parameters_and_each_is_heard() -> None:
    synth = HarmonicsAndNoise(n_samples=1024)
    _, tangents = synth.value_and_tangents(synth.space.from_unit(torch.zeros(1, 32, dtype=torch.float64)))
    assert tangents.shape == (1, 32, 1024)
    assert (tangents.norm(dim=-1) > 0).all()


def test_the_black_box_makes_the_same_sounds_and_nearly_the_same_tangents() -> None:
    options = {"harmonics": 2, "n_samples": 512}
    voice, box = HarmonicsAndNoise(**options), black_box(**options)
    theta = voice.space.from_unit(0.5 * voice.space.sample(1))
    x, exact = voice.value_and_tangents(theta)
    again, differences = box.value_and_tangents(theta)
    assert torch.equal(again, x)
    torch.testing.assert_close(differences, exact, rtol=1e-6, atol=1e-6 * float(exact.abs().max()))
