"""`pnp inspect`: a cache's metric as text, JSON, figures or a page with sound."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pnp.cli.arguments import add_json, count, output_file, output_folder, positive_number
from pnp.cli.outcome import EXIT_OK, as_json, say, tell
from pnp.cli.own import add_features, add_synthesizer, named_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pnp.report.records import CacheReport, SoundReport
    from pnp.store import MetricCache

SUMMARY = "show what the metric of a cache says, as text, JSON, figures or a page with sound"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("cache", metavar="CACHE", help="cache to look at")
    parser.add_argument(
        "other",
        nargs="?",
        metavar="OTHER",
        help="second cache, to compare the parameters that both have",
    )
    parser.add_argument("--index", type=int, metavar="I", help="show one sound, by its row, instead of all")
    parser.add_argument(
        "--distance",
        type=positive_number,
        help="feature distance for which steps of the parameters are given (if not given, 1, and on the page "
        "a distance that can be heard)",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="show all parameters, eigenvalues and matrices, not only two screens",
    )
    add_json(parser)
    parser.add_argument(
        "--png",
        type=output_folder,
        metavar="DIR",
        help="also draw the most informative figures into this folder",
    )
    parser.add_argument(
        "--figures",
        nargs="+",
        metavar="NAME",
        help="with --png, draw these figures instead: overview, eigenvalues, eigenvectors, mean-metric, correlation, "
        "ellipses-A-B or condition-A-B over parameters A and B",
    )
    parser.add_argument(
        "--html",
        type=output_file,
        metavar="FILE",
        help="also write a page with figures and sound; with two caches, one that compares them",
    )
    parser.add_argument(
        "--sounds",
        type=count,
        default=3,
        metavar="N",
        help="number of sounds on the page whose neighbours can be heard",
    )
    add_synthesizer(parser)
    add_features(parser)


def run(options: argparse.Namespace) -> int:
    """Report on a cache, on one of its sounds, or on two caches side by side."""
    if options.other is not None:
        return _compare(options)
    if options.figures and (not options.png or options.index is not None):
        raise ValueError("--figures goes with --png DIR, and not with --index.")
    from pnp.report.numbers import cache_report, sound_report
    from pnp.report.terminal import as_text
    from pnp.store import MetricCache

    width = shutil.get_terminal_size().columns
    distance = 1.0 if options.distance is None else options.distance
    with MetricCache(options.cache) as cache:
        report = None
        if options.index is None:
            report = cache_report(cache, distance)
            figures = _figures(cache, report, options)
            say(as_json(report.to_dict()) if options.json else as_text(report, width, options.all))
        else:
            sound = sound_report(cache, options.index, distance)
            figures = _figures(cache, sound, options)
            say(as_json(sound.to_dict()) if options.json else as_text(sound, width, options.all))
        if options.png:
            from pnp.report.figures import write_figures

            for path in write_figures(figures, Path(options.png)):
                tell(str(path))
        if options.html:
            from pnp.report.html import write_page

            # Unless they are named here, the page says why it cannot show what the cache does not lead to.
            synth, features = named_for(cache, options)
            rows = None if options.index is None else [options.index]
            page = write_page(
                cache,
                options.html,
                sounds=options.sounds,
                rows=rows,
                distance=options.distance,
                synth=synth,
                features=features,
                report=report,
            )
            tell(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
    return EXIT_OK


def _compare(options: argparse.Namespace) -> int:
    for name in ("index", "png", "distance"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} goes with one cache; got two.")
    from pnp.report.comparison import compare
    from pnp.report.terminal import comparison_as_text
    from pnp.store import MetricCache

    with MetricCache(options.cache) as first, MetricCache(options.other) as second:
        found = compare(first, second)
    width = shutil.get_terminal_size().columns
    say(as_json(found.to_dict()) if options.json else comparison_as_text(found, width, options.all))
    if options.html:
        from pnp.report.html import write_comparison

        page = write_comparison(found, options.html)
        tell(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
    return EXIT_OK


def _figures(
    cache: MetricCache, report: CacheReport | SoundReport, options: argparse.Namespace
) -> dict[str, Callable[[], Figure]]:
    """Return the figures to draw, before anything is said: a name that is unknown is refused first."""
    if not options.png:
        return {}
    from pnp.report.figures import figures_of, figures_of_sound, pick
    from pnp.report.records import SoundReport

    if isinstance(report, SoundReport):
        return figures_of_sound(cache, report.sound)
    return pick(cache, report, options.figures) if options.figures else figures_of(cache, report)
