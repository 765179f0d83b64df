"""Numbers about a metric: what it says of a synthesizer and a representation.

Everything is computed from the factor R of M = RᵀR and never from an inverse of M: where one direction is
inaudible, M is singular, and that is a finding rather than an accident.

Functions with one result per sound give NaN at a point without a metric; those over all sounds leave it out.
"""

from pnp.diagnostics.confusion import (
    JustNoticeableSteps,
    correlation,
    identifiability,
    just_noticeable_steps,
)
from pnp.diagnostics.eigenvectors import composition, describe_eigenvectors, in_words
from pnp.diagnostics.field import FieldSmoothness, smoothness
from pnp.diagnostics.groups import Clusters, clusters
from pnp.diagnostics.linearization import LinearizationError, linearization_error
from pnp.diagnostics.paths import Geodesic, geodesic, path_length
from pnp.diagnostics.spectral import odd_traces, outliers, rank, require_sounds, spectrum
from pnp.diagnostics.summary import Survey, one_thread, survey

__all__ = [
    "Clusters",
    "FieldSmoothness",
    "Geodesic",
    "JustNoticeableSteps",
    "LinearizationError",
    "Survey",
    "clusters",
    "composition",
    "correlation",
    "describe_eigenvectors",
    "geodesic",
    "identifiability",
    "in_words",
    "just_noticeable_steps",
    "linearization_error",
    "odd_traces",
    "one_thread",
    "outliers",
    "path_length",
    "rank",
    "require_sounds",
    "smoothness",
    "spectrum",
    "survey",
]
