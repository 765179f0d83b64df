"""Riemannian metrics on parameters: M = JᵀJ, its field between the sounds of a cache, and distances beyond it."""

from pnp.metric.field import MetricField
from pnp.metric.reach import ceiling_of_reach
from pnp.metric.riemannian import DAMPING_KINDS, RiemannianMetric
from pnp.metric.surrogate import DistanceSurrogate

__all__ = ["DAMPING_KINDS", "DistanceSurrogate", "MetricField", "RiemannianMetric", "ceiling_of_reach"]
