"""Figures about a metric.

Every function draws into the axes it is given, or into a new figure, and returns the figure. Figures are
built without pyplot: nothing global changes, no window opens, and they can be drawn from any thread.
"""

from pnp.plots.axes import PALETTE
from pnp.plots.compared import paired_values
from pnp.plots.error import linearization
from pnp.plots.maps import condition_map, metric_ellipses
from pnp.plots.series import costs, curves
from pnp.plots.spectrum import eigenvalue_distributions, eigenvector_composition
from pnp.plots.summary import overview
from pnp.plots.svg import as_svg
from pnp.plots.tensor import confusion_map, metric_heatmap

__all__ = [
    "PALETTE",
    "as_svg",
    "condition_map",
    "confusion_map",
    "costs",
    "curves",
    "eigenvalue_distributions",
    "eigenvector_composition",
    "linearization",
    "metric_ellipses",
    "metric_heatmap",
    "overview",
    "paired_values",
]
