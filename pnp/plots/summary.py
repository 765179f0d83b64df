"""Overview of the metrics of a cache on one page."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from pnp import diagnostics
from pnp._text import labels
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters import ParameterSpace
from pnp.plots.maps import condition_map, metric_ellipses
from pnp.plots.spectrum import eigenvalue_distributions, eigenvector_composition
from pnp.plots.tensor import confusion_map, metric_heatmap


def overview(metric: RiemannianMetric, space: ParameterSpace, u: Shaped[Tensor, "B P"]) -> Figure:
    """Overview of the metrics of a cache on one page; what needs two parameters is left out for one.

    Args:
        metric: Metrics of B sounds.
        space: Their parameter space.
        u: Their positions in the unit cube.

    Returns:
        The figure.

    Raises:
        ValueError: If no sound has a metric, or the shape of `u` does not fit.
    """
    valid = diagnostics.require_sounds(metric)
    found, positions = diagnostics.survey(valid), u[metric.valid]
    names = labels(space.names)
    panels: list[Callable[[Axes], Figure]] = [
        lambda ax: eigenvalue_distributions(found, ax=ax),
        lambda ax: eigenvector_composition(found, names, ax=ax),
        lambda ax: metric_heatmap(found.mean.matrix, names, title="Mean of M", ax=ax),
        lambda ax: confusion_map(found.cosines, names, ax=ax),
    ]
    if len(space) > 1:
        # The most and the second most audible parameter, where there is most to see.
        first, second = (int(p) for p in found.mean.matrix.diagonal().argsort(descending=True)[:2])
        panels += [
            lambda ax: metric_ellipses(valid, space, positions, (first, second), ax=ax),
            lambda ax: condition_map(found, space, positions, (first, second), ax=ax),
        ]
    figure = Figure(figsize=(16, 9 if len(panels) > 4 else 4.5), layout="constrained")
    axes = figure.subplots(-(-len(panels) // 3), 3)
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    for draw, ax in zip(panels, axes.flat, strict=False):
        draw(ax)
    return figure
