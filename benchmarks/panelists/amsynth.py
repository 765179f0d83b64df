"""Plug-in instrument: amsynth, as Debian ships it."""

from __future__ import annotations

import pnp

__all__ = ["amsynth"]

_PATH = "/usr/lib/vst/amsynth_vst.so"

# Positions of knobs, in the ranges where they are heard.
_KNOBS = {
    "osc1_pulsewidth": (0.1, 0.9),
    "osc2_pulsewidth": (0.1, 0.9),
    "osc2_detune": (0.3, 0.7),
    "osc_mix": (0.1, 0.9),
    "osc_mix_mode": (0.0, 1.0),
    "filter_cutoff": (0.2, 0.8),
    "filter_resonance": (0.0, 0.8),
    "filter_env_amount": (0.5, 0.9),
    "filter_attack": (0.0, 0.4),
    "filter_decay": (0.1, 0.6),
    "filter_sustain": (0.0, 1.0),
    "amp_attack": (0.0, 0.4),
    "amp_decay": (0.1, 0.6),
    "amp_sustain": (0.1, 1.0),
    "amp_release": (0.1, 0.5),
    "lfo_freq": (0.3, 0.8),
    "freq_mod_amount": (0.0, 0.3),
    "filter_mod_amount": (0.0, 0.6),
    "amp_mod_amount": (0.0, 0.8),
    "distortion_crunch": (0.0, 0.5),
}
# Both oscillators are pulses, whose width is heard.
_SETTINGS = {"osc1_waveform": 0.25, "osc2_waveform": 0.25}


def amsynth() -> pnp.synths.Plugin:
    """Twenty of amsynth's 41 parameters on one note.

    Raises:
        ImportError: If DawDreamer is not installed.
        FileNotFoundError: If amsynth is not; `apt-get install amsynth`.
    """
    space = pnp.ParameterSpace([pnp.Parameter(name, *bounds) for name, bounds in _KNOBS.items()])
    return pnp.synths.Plugin(
        _PATH, space, note=48, settings=_SETTINGS, sample_rate=8192.0, n_samples=4096, hold=0.35
    )
