"""Success and cost of matching sounds, by four methods.

    python benchmarks/matching.py synthetic --synth chirp --count 200
    python benchmarks/matching.py synthetic --synth drum --count 100
    python benchmarks/matching_noise.py --synth chirp
    python benchmarks/matching_recordings.py
    python benchmarks/matching.py page

Everything measured is a line in a file under --work, and a rerun goes on where it ends; --seconds ends a run early.
Targets come one after the other, each under all conditions and methods, so that what is there is balanced.
With --full the synthesizers and representations are those of the papers, which takes some twenty times as long.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from published import published_features
from torch import Tensor
from tqdm import tqdm

import pnp
from pnp._text import percent
from pnp.bench.environment import environment
from pnp.features.spectrogram import MultiscaleSpectrogram
from pnp.jacobian import value_and_jacobian
from pnp.landscapes.descent import descend

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
CACHE_SIZE = {"chirp": 512, "drum": 1024, "string": 1024}
CONDITIONS = ("clean", "noise 20 dB", "noise 10 dB", "time shift")
METHODS = ("nearest neighbour", "descent on spectrograms", "descent on JTFS", "Levenberg-Marquardt")
STEPS = 60
# Not the seed of the caches' design: targets are held out.
SEED = 2024


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("synthetic", "page"))
    parser.add_argument(
        "--synth", choices=("chirp", "drum"), default="chirp", help="synthesizer of the targets"
    )
    parser.add_argument("--count", type=int, help="number of targets (200 chirps, 100 drums)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no target after this long")
    parser.add_argument("--full", action="store_true", help="synthesizers and representations of full size")
    parser.add_argument(
        "--work", type=Path, default=Path("matching"), help="where caches and records are kept"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.part == "synthetic":
        synthetic(options)
    else:
        page()


# -- what is measured with -----------------------------------------------------------------------------------


def tools(name: str, options: argparse.Namespace, **other: Any) -> tuple[Any, Any, pnp.MetricCache]:
    """Synthesizer, features and their cache, which is made or continued; `other` options of the transform by name."""
    synth_options, changes = (FULL if options.full else REDUCED)[name]
    synth: Any = pnp.synths.make(name, **synth_options)
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


# -- synthetic targets ---------------------------------------------------------------------------------------


def synthetic(options: argparse.Namespace) -> None:
    """Held-out sounds of a synthesizer: are its parameters found again?"""
    name = options.synth
    count = options.count or {"chirp": 200, "drum": 100}[name]
    synth, features, cache = tools(name, options)
    records = Records(options.work / f"{name}{'-full' if options.full else ''}.jsonl")
    done = {row["target"] for row in records.rows}
    began = time.monotonic()
    targets = synth.space.sample(count, method="uniform", seed=SEED)
    with cache:
        methods = matchers(synth, features, cache)
        for i, u in enumerate(tqdm(targets, desc=name, unit="target")):
            if i in done:
                continue
            if time.monotonic() - began > options.seconds:
                break
            x = synth(synth.space.from_unit(u[None]))[0]
            rows = []
            for condition in CONDITIONS:
                y = disturbed(x, condition, seed=i)
                for method, run in methods.items():
                    started = time.perf_counter()
                    found = run(y)
                    seconds = time.perf_counter() - started
                    error = (50.0 * (found - u).abs()).tolist()
                    rows.append(
                        {"condition": condition, "method": method, "error": error, "seconds": seconds}
                    )
            records.add({"target": i, "u": u.tolist(), "runs": rows})
    summarize(name, options, synth, features, len(cache), records.rows)


def matchers(synth: Any, features: Any, cache: pnp.MetricCache) -> dict[str, Callable[[Tensor], Tensor]]:
    """From a sound to the parameters found, in units of the cube, by each method."""
    from sklearn.neighbors import NearestNeighbors

    rows = cache.rows()
    search = NearestNeighbors(n_neighbors=1).fit(cache.features(rows).numpy())
    u = cache.u[rows]
    spectrogram = MultiscaleSpectrogram()

    def nearest(x: Tensor) -> Tensor:
        with torch.no_grad():
            return u[int(search.kneighbors(features(x[None].float()).numpy())[1][0, 0])]

    def descent(
        phi: Any, slope: Callable[[Tensor], Tensor], size: Callable[[Tensor], Tensor]
    ) -> Callable[..., Tensor]:
        def run(x: Tensor) -> Tensor:
            with torch.no_grad():
                target = phi(x[None].float())

            def evaluate(point: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
                S, J = value_and_jacobian(synth, phi, point.float())
                r = (S - target).double()
                return size(r), (slope(r).unsqueeze(1) @ J.double()).squeeze(1)

            return descend(evaluate, nearest(x)[None], steps=STEPS).end[0]

        return run

    def least_squares(x: Tensor) -> Tensor:
        return pnp.match(x, cache, synth=synth, features=features, fit_gain=False, align=False).u

    return {
        METHODS[0]: nearest,
        # Vahidi et al.'s multiscale spectrogram loss is a sum of absolute differences, JTFS's one of squares.
        METHODS[1]: descent(spectrogram, torch.sign, lambda r: r.abs().sum(-1)),
        METHODS[2]: descent(features, lambda r: r, lambda r: 0.5 * r.square().sum(-1)),
        METHODS[3]: least_squares,
    }


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


def summarize(
    name: str, options: argparse.Namespace, synth: Any, features: Any, size: int, rows: list[dict[str, Any]]
) -> None:
    """Shares within 1 % of the range, and times, as a small file that is committed."""
    runs = [run for row in rows for run in row["runs"]]
    table = []
    for condition in CONDITIONS:
        for method in METHODS:
            chosen = [run for run in runs if (run["condition"], run["method"]) == (condition, method)]
            errors = np.array([run["error"] for run in chosen])
            table.append(
                {
                    "condition": condition,
                    "method": method,
                    "recovered": np.mean(errors <= 1.0, axis=0).tolist(),
                    "all_recovered": float(np.mean((errors <= 1.0).all(1))),
                    "median_error": np.median(errors, axis=0).tolist(),
                    "seconds": float(np.median([run["seconds"] for run in chosen])),
                }
            )
    summary = {
        "synth": name,
        "full": options.full,
        "targets": len(rows),
        "cache_size": size,
        "parameters": [f"{p.name}" for p in synth.space],
        "synthesizer": synth.config(),
        "features": features.config(),
        "steps": STEPS,
        "environment": environment().to_dict(),
        "table": table,
    }
    write_result(f"matching-{name}{'-full' if options.full else ''}.json", summary)


# -- the page ------------------------------------------------------------------------------------------------


def write_result(name: str, summary: dict[str, Any]) -> None:
    """Write one of the files from which the page is made."""
    path = RESULTS / name
    path.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    sys.stderr.write(f"{path}\n")


def page() -> None:
    """Generate the page from what has been measured."""
    text = (Path(__file__).parent / "matching.md").read_text()
    parts = []
    for name in ("chirp", "drum", "chirp-full", "drum-full"):
        path = RESULTS / f"matching-{name}.json"
        if path.exists():
            parts.append(synthetic_part(json.loads(path.read_text())))
    from matching_noise import COUNT, noise_part
    from matching_recordings import former_part, recordings_part

    noisy = [RESULTS / f"matching-noise-{name}.json" for name in COUNT]
    parts = [noise_part(path) for path in noisy if path.exists()] + parts
    heard = RESULTS / "matching-kits.json"
    if heard.exists():
        parts.append(recordings_part(json.loads(heard.read_text())))
    parts.append(former_part(json.loads((RESULTS / "matching-recordings.json").read_text())))
    path = DOCS / "matching.md"
    path.write_text(text.rstrip() + "\n\n" + "\n\n".join(parts) + "\n")
    sys.stderr.write(f"{path}\n")


def synthetic_part(summary: dict[str, Any]) -> str:
    """Tables of one synthesizer."""
    names = summary["parameters"]
    lines = [
        f"## {summary['targets']} {summary['synth']}s{' of full size' if summary['full'] else ''}",
        "",
        described(summary),
        "",
        "| condition | method | " + " | ".join(names) + " | all | seconds |",
        "|---" * (len(names) + 4) + "|",
    ]
    for row in summary["table"]:
        shares = [*row["recovered"], row["all_recovered"]]
        cells = " | ".join(percent(share, 0) for share in shares)
        lines.append(f"| {row['condition']} | {row['method']} | {cells} | {row['seconds']:.2g} |")
    return "\n".join(lines)


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


if __name__ == "__main__":
    main()
