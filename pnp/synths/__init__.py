"""Synthesizers: differentiable maps from physical parameters to sound.

Examples:
    >>> import pnp
    >>> synth = pnp.synths.make("chirp")
    >>> synth.space.names
    ('f_c', 'f_m', 'gamma')
"""

from pnp.synths.base import Synthesizer
from pnp.synths.black_box import BlackBox
from pnp.synths.chirp import Chirp
from pnp.synths.drum import Drum
from pnp.synths.noise import seeded_noise
from pnp.synths.normalization import NORMALIZATIONS
from pnp.synths.per_process import PerProcess
from pnp.synths.plugin import Plugin
from pnp.synths.probe import probe
from pnp.synths.registry import available, make, register
from pnp.synths.restriction import Restriction
from pnp.synths.ripple import Ripple
from pnp.synths.string import String

__all__ = [
    "NORMALIZATIONS",
    "BlackBox",
    "Chirp",
    "Drum",
    "PerProcess",
    "Plugin",
    "Restriction",
    "Ripple",
    "String",
    "Synthesizer",
    "available",
    "make",
    "probe",
    "register",
    "seeded_noise",
]

for _synthesizer in (Chirp, Drum, Plugin, Ripple, String):
    register(_synthesizer.name, _synthesizer)
