"""Sounds and tangents of a configuration."""

import torch
from tiny_benchmark import BOX, TINY

from pnp.bench import STANDARD
from pnp.bench.run import different


def test_tangents_of_sounds_are_with_respect_to_scaled_parameters() -> None:
    synth = TINY.synthesizer()
    u = synth.space.sample(1, "uniform", 0)
    x, dx = TINY.sounds()
    step = 1e-6 * torch.eye(len(synth.space), dtype=u.dtype)
    moved = [synth(synth.space.from_unit(u + s * step)) for s in (1, -1)]
    torch.testing.assert_close((moved[0] - moved[1]) / 2e-6, dx[0], rtol=1e-5, atol=1e-6)
    assert torch.equal(x, synth(synth.space.from_unit(u)))


def test_kymatio_has_no_transform_that_pads_by_zeros() -> None:
    assert [TINY.has_peer, BOX.has_peer] == [True, False]


def test_a_black_box_shares_the_transform_of_the_voice_inside() -> None:
    assert [each.name for each in different(list(STANDARD.values()))] == ["A", "B", "C", "D"]


def test_the_voice_has_32_parameters_and_a_length_that_is_no_power_of_two() -> None:
    for name in ("D", "E"):
        synth = STANDARD[name].synthesizer()
        assert (len(synth.space), synth.n_samples, synth.sample_rate) == (32, 44100, 44100.0)
