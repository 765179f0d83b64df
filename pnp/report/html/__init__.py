"""What a cache says, on one self-contained page with figures and sound."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pnp.offline.rebuild import features_of, synthesizer_of
from pnp.report.html.content import sections
from pnp.report.numbers import cache_report
from pnp.store import MetricCache

__all__ = ["write_page"]


def write_page(
    cache: MetricCache,
    path: str | os.PathLike[str],
    *,
    sounds: int = 3,
    rows: Sequence[int] | None = None,
    distance: float | None = None,
    synth: nn.Module | None = None,
    features: nn.Module | None = None,
) -> Path:
    """Write a page that needs no network: figures, a table of sounds, and sounds that differ by equal distances.

    What cannot be shown, as sounds of a synthesizer that this package cannot build anew, is said on the page.

    Args:
        cache: Open cache.
        path: File to write.
        sounds: How many settings can be listened to, spread over the cube.
        rows: Sounds of the cache to be listened to in place of those.
        distance: Metric distance of the steps around them; by default, for each setting, such that the second
            most audible direction takes a tenth of the cube.
        synth: Synthesizer that the cache was made with; by default the one that it names.
        features: Feature map that it was made with; likewise.

    Returns:
        The file.

    Raises:
        IndexError: If there is no such row.
        ValueError: If `distance` is not positive, or a row has no metric.
        OSError: If the file cannot be written.
    """
    if distance is not None and not distance > 0:
        raise ValueError(f"distance must be positive, got {distance}")
    for row in rows or ():
        if not 0 <= row < len(cache):
            raise IndexError(f"sound {row} is out of range, {cache.path} has sounds 0 to {len(cache) - 1}")
        if not bool(cache.ok[row]):
            raise ValueError(f"sound {row} of {cache.path} has no metric, so there are no steps to listen to")
    missing: list[str] = []
    # Without a metric there is nothing to listen to.
    if bool(cache.ok.any()):
        synth = _ready(cache, synth, synthesizer_of, "no sound can be played", missing)
        features = _ready(cache, features, features_of, "true distances are not known", missing)
    report = cache_report(cache, 1.0 if distance is None else distance)
    chosen = None if rows is None else list(rows)
    content = "\n".join(sections(cache, report, chosen, sounds, distance, synth, features, missing))
    page = _part("template.html")
    for name, value in (
        ("title", escape(f"The metric of {cache.path.name}")),
        ("style", _part("style.css")),
        ("script", _part("script.js")),
        ("content", content),
    ):
        page = page.replace("{{" + name + "}}", value, 1)
    out = Path(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _part(name: str) -> str:
    return (files("pnp.report.html") / name).read_text(encoding="utf-8")


def _ready(
    cache: MetricCache,
    module: nn.Module | None,
    rebuild: Callable[[MetricCache], Any],
    consequence: str,
    missing: list[str],
) -> nn.Module | None:
    """A copy of a module for computing in the precision of the cache, or None with a reason."""
    if module is None:
        try:
            module = rebuild(cache)
        except (RuntimeError, ValueError, TypeError, ImportError) as error:
            missing.append(f"{consequence}: {error}")
            return None
    assert module is not None
    return copy.deepcopy(module).to(getattr(torch, cache.config["precision"])).eval()
