"""`pnp inspect`: a cache's metric as text, JSON, figures or a page with sound."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pnp.cli.arguments import add_json, count, positive_number
from pnp.cli.outcome import EXIT_OK, as_json, say, tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pnp.store import MetricCache

SUMMARY = "what the metric of a cache says, as text, JSON, figures or a page with sound"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("cache", metavar="CACHE", help="cache to look at")
    parser.add_argument(
        "--index", type=int, metavar="I", help="one sound, by its row, instead of all of them"
    )
    parser.add_argument(
        "--distance",
        type=positive_number,
        help="distance in the representation for which steps are given (1, and on the page one that can be "
        "heard, if not given)",
    )
    add_json(parser)
    parser.add_argument("--png", metavar="DIR", help="also draw the figures into this directory")
    parser.add_argument("--html", metavar="FILE", help="also write a page with figures and sound")
    parser.add_argument(
        "--sounds", type=count, default=3, metavar="N", help="settings to be listened to on the page"
    )


def run(options: argparse.Namespace) -> int:
    """Report on a cache or on one of its sounds."""
    from pnp.report.numbers import cache_report, sound_report
    from pnp.report.terminal import as_text
    from pnp.store import MetricCache

    with MetricCache(options.cache) as cache:
        distance = 1.0 if options.distance is None else options.distance
        if options.index is None:
            report = cache_report(cache, distance)
        else:
            report = sound_report(cache, options.index, distance)
        say(as_json(report) if options.json else as_text(report))
        if options.png:
            for path in _draw(cache, options.index, Path(options.png)):
                tell(str(path))
        if options.html:
            from pnp.report.html import write_page

            rows = None if options.index is None else [options.index]
            page = write_page(
                cache, options.html, sounds=options.sounds, rows=rows, distance=options.distance
            )
            tell(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
    return EXIT_OK


def _draw(cache: MetricCache, index: int | None, folder: Path) -> list[Path]:
    figures = _figures_of_cache(cache) if index is None else _figures_of_sound(cache, index)
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=120)
    return [folder / f"{name}.png" for name in figures]


def _figures_of_cache(cache: MetricCache) -> dict[str, Figure]:
    from pnp import plots

    metric, u, names = cache.metrics(), cache.u, cache.space.names
    figures = {
        "overview": plots.overview(metric, cache.space, u),
        "eigenvalues": plots.eigenvalue_distributions(metric),
        "eigenvectors": plots.eigenvector_composition(metric, names),
        "mean-metric": plots.metric_heatmap(metric.mean().matrix, names),
    }
    for i in range(len(names)):
        for j in range(i):
            pair = f"{names[j]}-{names[i]}"
            figures[f"ellipses-{pair}"] = plots.metric_ellipses(metric, cache.space, u, (j, i))
            figures[f"condition-{pair}"] = plots.condition_map(metric, cache.space, u, (j, i))
    return figures


def _figures_of_sound(cache: MetricCache, index: int) -> dict[str, Figure]:
    from pnp import diagnostics, plots

    metric, names = cache.metric(index), cache.space.names
    cosines = diagnostics.correlation(metric)
    return {
        f"metric-{index}": plots.metric_heatmap(metric.matrix, names),
        f"correlation-{index}": plots.metric_heatmap(cosines, names, normalized=True),
    }
