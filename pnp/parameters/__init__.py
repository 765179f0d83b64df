"""Synthesizer parameters: what they are, their map to the unit cube, and designs that fill it."""

from pnp.parameters.parameter import Parameter
from pnp.parameters.space import ParameterSpace

__all__ = ["Parameter", "ParameterSpace"]
