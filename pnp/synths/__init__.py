"""Synthesizers: differentiable maps from physical parameters to sound."""
