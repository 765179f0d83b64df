"""Jacobians of features with respect to synthesizer parameters: the one place where g and Φ are differentiated."""

from pnp.jacobian.choices import choice_distances, option_distance, true_options
from pnp.jacobian.derivatives import DEFAULT_STEP, KINDS, Derivatives
from pnp.jacobian.jacobian import sound_and_jacobian, value_and_jacobian
from pnp.jacobian.resolve import Resolved, as_they_are, resolve, resolve_synthesizer

__all__ = [
    "DEFAULT_STEP",
    "KINDS",
    "Derivatives",
    "Resolved",
    "as_they_are",
    "choice_distances",
    "option_distance",
    "resolve",
    "resolve_synthesizer",
    "sound_and_jacobian",
    "true_options",
    "value_and_jacobian",
]
