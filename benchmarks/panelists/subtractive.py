"""Subtractive voice in Faust, rendered by DawDreamer: a program of which this package knows nothing."""

from __future__ import annotations

from functools import cached_property

import numpy as np

import pnp

__all__ = ["subtractive"]

_RATE, _SAMPLES, _BLOCK = 8192, 4096, 128

_CODE = """
import("stdfaust.lib");
f0 = hslider("f0", 110, 1, 5000, 0.001);
detune = hslider("detune", 0.01, 0, 1, 0.0001);
cutoff = hslider("cutoff", 1000, 1, 5000, 0.001);
q = hslider("q", 1, 0.1, 100, 0.0001);
octaves = hslider("octaves", 1, 0, 10, 0.0001);
sweep = hslider("sweep", 0.2, 0.001, 10, 0.00001);
attack = hslider("attack", 0.01, 0.0001, 1, 0.000001);
decay = hslider("decay", 0.4, 0.001, 10, 0.00001);
t = ((+(1) ~ _) - 1) / ma.SR;
saws = (os.sawtooth(f0) + os.sawtooth(f0 * (1 + detune))) / 2;
opened = min(0.45 * ma.SR, cutoff * pow(2, octaves * exp(0 - t / sweep)));
level = (1 - exp(0 - t / attack)) * exp(0 - t / decay);
process = saws : fi.svf.lp(opened, q) : *(level);
"""


class _Voice:
    """The compiled program, made when it is first played."""

    def __call__(self, **values: float) -> np.ndarray:
        engine, voice = self._engine
        for name, value in values.items():
            voice.set_parameter(f"/dawdreamer/{name}", value)
        # Loading resets the state of oscillators and filters.
        engine.load_graph([(voice, [])])
        engine.render(_SAMPLES / _RATE)
        return engine.get_audio()[0, :_SAMPLES].astype(np.float64)

    @cached_property
    def _engine(self):
        import dawdreamer

        engine = dawdreamer.RenderEngine(_RATE, _BLOCK)
        voice = engine.make_faust_processor("voice")
        voice.set_dsp_string(_CODE)
        voice.compile()
        return engine, voice


def subtractive() -> pnp.synths.BlackBox:
    """Two detuned sawtooths, a resonant low-pass that closes, and an envelope: eight parameters.

    Raises:
        ImportError: If DawDreamer is not installed, when the first sound is made.
    """
    space = pnp.ParameterSpace(
        [
            pnp.Parameter("f0", 60.0, 400.0, "log", "Hz"),
            pnp.Parameter("detune", 0.001, 0.03, "log"),
            pnp.Parameter("cutoff", 150.0, 2000.0, "log", "Hz"),
            pnp.Parameter("q", 0.5, 10.0, "log"),
            pnp.Parameter("octaves", 0.0, 3.0),
            pnp.Parameter("sweep", 0.03, 0.5, "log", "s"),
            pnp.Parameter("attack", 0.003, 0.1, "log", "s"),
            pnp.Parameter("decay", 0.1, 1.0, "log", "s"),
        ]
    )
    return pnp.synths.BlackBox(_Voice(), space, sample_rate=_RATE, n_samples=_SAMPLES, version=_CODE)
