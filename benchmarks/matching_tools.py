"""Synthesizers, caches, targets and records of all measurements of matching."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from panelists.subtractive import subtractive
from published import published_features
from torch import Tensor

import pnp

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs" / "evidence"

# The chirp two octaves lower and for 2 s, at a rate to match; the drum's first 0.37 s at half its rate. Zeros beyond
# the ends: reflections of a chirp meet in the middle of its mirror image and break the invariance to time shifts.
REDUCED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "chirp": (
        {"n_samples": 2048, "sample_rate": 1024.0, "ranges": {"f_c": (128.0, 256.0)}},
        {"Q": (8, 1), "Q_fr": 1, "J_fr": 4, "pad_mode": "zero"},
    ),
    "drum": ({"n_samples": 4096, "sample_rate": 11025.0}, {"Q": (8, 1), "J_fr": 3}),
    "string": ({"n_samples": 4096, "sample_rate": 11025.0}, {"Q": (8, 1), "J_fr": 3}),
}
FULL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "chirp": ({}, {"pad_mode": "zero"}),
    "drum": ({}, {}),
}
CACHE_SIZE = {"chirp": 512, "drum": 1024, "string": 1024, "voice": 1024}
# Behind the titles of tables that are kept.
FORMERLY = ", before recordings were left in place and sounds cut as they are"
# Not the seed of the caches' design: targets are held out.
SEED = 2024


def tools(name: str, options: argparse.Namespace, **other: Any) -> tuple[Any, Any, pnp.MetricCache]:
    """Synthesizer, features and their cache, which is made or continued; `other` options of the transform by name.

    The voice is the panel's, in Faust.
    """
    synth: Any
    if name == "voice":
        # A program with default features, as a user has it.
        synth = subtractive()
        features = pnp.standard_features(synth, **other)
    else:
        synth_options, changes = (FULL if options.full else REDUCED)[name]
        synth = pnp.synths.make(name, **synth_options)
        features = published_features(synth, **changes, **other)
    label = "".join(f"-{key}{value}" for key, value in other.items())
    path = options.work / f"{name}{label}{'-full' if options.full else ''}.h5"
    pnp.precompute(synth, features, path, size=CACHE_SIZE[name], jobs=1, store=("S",))
    return synth, features, pnp.MetricCache(path)


class Records:
    """Measurements, a line each, that a killed run has not lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        # The last line may have been cut by a kill.
        self.rows = [json.loads(line) for line in lines if line.endswith("}")]

    def add(self, row: dict[str, Any]) -> None:
        """Write one more."""
        self.rows.append(row)
        text = "".join(json.dumps(row) + "\n" for row in self.rows)
        temporary = self.path.with_suffix(".partial")
        temporary.write_text(text)
        temporary.replace(self.path)


def disturbed(x: Tensor, condition: str, seed: int) -> Tensor:
    """A target under a condition; white noise relative to the mean power, a delay of 31 to 125 ms."""
    generator = torch.Generator().manual_seed(seed)
    if condition.startswith("noise"):
        ratio = 10 ** (-float(condition.split()[1]) / 20)
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return x + noise * (ratio * x.norm() / noise.norm())
    if condition == "time shift":
        # As many samples of a 64th to a 16th of the sound.
        low, high = len(x) // 64, len(x) // 16
        delay = int(torch.randint(low, high + 1, (1,), generator=generator))
        return torch.cat([torch.zeros(delay, dtype=x.dtype), x[:-delay]])
    return x


def described(summary: dict[str, Any]) -> str:
    """Sizes in a sentence."""
    synth, features = summary["synthesizer"], summary["features"]["representation"]
    ranges = ", ".join(
        f"{key} {low:g} to {high:g}" for key, (low, high) in (synth.get("ranges") or {}).items()
    )
    shown = ", ".join(f"{key}={features[key]}" for key in ("J", "Q", "J_fr", "Q_fr", "T", "F", "pad_mode"))
    return (
        f"{synth['n_samples']} samples at {synth['sample_rate']:g} Hz{', ' + ranges if ranges else ''}; scattering "
        f"with {shown}; a cache of {summary['cache_size']} sounds."
    )


def write_result(name: str, summary: dict[str, Any]) -> None:
    """Write one of the files from which the page is made."""
    path = RESULTS / name
    path.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    sys.stderr.write(f"{path}\n")
