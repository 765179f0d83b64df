"""Jacobians of features with respect to synthesizer parameters: the one place where g and Φ are differentiated."""

from pnp.jacobian.choices import choice_distances, option_distance, true_options
from pnp.jacobian.derivatives import DEFAULT_STEP, KINDS, Derivatives
from pnp.jacobian.jacobian import sound_and_jacobian, value_and_jacobian

__all__ = [
    "DEFAULT_STEP",
    "KINDS",
    "Derivatives",
    "choice_distances",
    "option_distance",
    "sound_and_jacobian",
    "true_options",
    "value_and_jacobian",
]
