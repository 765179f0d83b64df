"""One self-contained page about a cache, with figures and sound, or about two caches side by side."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from pnp._arguments import finite_number
from pnp._files import write_atomically
from pnp._protocols import FeatureMap, SynthesizerLike
from pnp.offline.rebuild import features_of, synthesizer_of
from pnp.report.comparison import Comparison
from pnp.report.html.compared import page_of_comparison
from pnp.report.html.content import page_of
from pnp.report.html.rendering import rendered
from pnp.report.numbers import cache_report, check_row
from pnp.report.records import CacheReport
from pnp.store import MetricCache

__all__ = ["write_comparison", "write_page"]


def write_page(
    cache: MetricCache,
    path: str | os.PathLike[str],
    *,
    sounds: int = 3,
    rows: Sequence[int] | None = None,
    distance: float | None = None,
    synth: nn.Module | None = None,
    features: nn.Module | None = None,
    report: CacheReport | None = None,
) -> Path:
    """Write a page that needs no network: figures, tables, and sounds that differ by equal distances.

    The page says what it cannot show, such as sounds of a synthesizer that this package cannot rebuild.

    Args:
        cache: Open cache.
        path: File to write.
        sounds: Number of settings that can be listened to, spread over the cube.
        rows: Sounds of the cache to be listened to in place of those.
        distance: Metric distance of the steps around them; by default, for each setting, such that the second
            most audible direction takes a tenth of the cube.
        synth: Synthesizer that the cache was made with; by default the one that it names.
        features: Feature map that it was made with; likewise.
        report: Report about the cache, if there is one already, for the same distance.

    Returns:
        The file.

    Raises:
        IndexError: If there is no such row.
        ValueError: If `distance` is not positive, or a row has no metric.
        OSError: If the file cannot be written.
    """
    distance = None if distance is None else finite_number("distance", distance, above=0)
    for row in rows or ():
        check_row(cache, row)
        if not bool(cache.ok[row]):
            raise ValueError(f"sound {row} of {cache.path} has no metric, so there are no steps to listen to")
    missing: list[str] = []
    player: SynthesizerLike | None = None
    heard: FeatureMap | None = None
    # Without a metric there is nothing to listen to.
    if bool(cache.ok.any()):
        player = cast(
            "SynthesizerLike | None", _ready(cache, synth, synthesizer_of, "no sound can be played", missing)
        )
        again = partial(features_of, synth=cast("nn.Module | None", player))
        heard = _ready(cache, features, again, "true distances are not known", missing)
    if report is None:
        report = cache_report(cache, 1.0 if distance is None else distance)
    chosen = None if rows is None else list(rows)
    page = page_of(cache, report, chosen, sounds, distance, player, heard, missing)
    return write_atomically(Path(path), rendered("page.html", page=page))


def write_comparison(comparison: Comparison, path: str | os.PathLike[str]) -> Path:
    """Write a page about two caches side by side, which needs no network.

    Args:
        comparison: Result of `compare`.
        path: File to write.

    Returns:
        The file.

    Raises:
        OSError: If the file cannot be written.
    """
    return write_atomically(Path(path), rendered("page.html", page=page_of_comparison(comparison)))


def _ready(
    cache: MetricCache,
    module: nn.Module | None,
    rebuild: Callable[[MetricCache], Any],
    consequence: str,
    missing: list[str],
) -> nn.Module | None:
    """Return a copy of a module for computing in the precision of the cache, or None with a reason."""
    if module is None:
        try:
            module = rebuild(cache)
        except (RuntimeError, ValueError, TypeError, ImportError) as error:
            missing.append(f"{consequence}: {error}")
            return None
    assert module is not None
    return copy.deepcopy(module).to(getattr(torch, cache.config["precision"])).eval()
