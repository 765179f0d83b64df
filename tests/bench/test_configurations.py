"""Sounds and tangents of a configuration."""

import torch
from tiny_benchmark import TINY


def test_tangents_of_sounds_are_with_respect_to_scaled_parameters() -> None:
    synth = TINY.synthesizer()
    u = synth.space.sample(1, "uniform", 0)
    x, dx = TINY.sounds()
    step = 1e-6 * torch.eye(len(synth.space), dtype=u.dtype)
    moved = [synth(synth.space.from_unit(u + s * step)) for s in (1, -1)]
    torch.testing.assert_close((moved[0] - moved[1]) / 2e-6, dx[0], rtol=1e-5, atol=1e-6)
    assert torch.equal(x, synth(synth.space.from_unit(u)))
