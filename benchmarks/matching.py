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
from matching_noise import COUNT, noise_part
from matching_recordings import former_part, recordings_part
from matching_tools import DOCS, RESULTS, SEED, Records, described, disturbed, tools, write_result
from torch import Tensor
from tqdm import tqdm

import pnp
from pnp._text import percent
from pnp.bench.environment import environment
from pnp.features.spectrogram import MultiscaleSpectrogram
from pnp.jacobian import value_and_jacobian
from pnp.landscapes.descent import descend

CONDITIONS = ("clean", "noise 20 dB", "noise 10 dB", "time shift")
METHODS = ("nearest neighbour", "descent on spectrograms", "descent on JTFS", "Levenberg-Marquardt")
STEPS = 60


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
        return pnp.match(
            x, cache, synth=synth, features=features, fit_gain=False, align=False, coarse=False
        ).u

    return {
        METHODS[0]: nearest,
        # Vahidi et al.'s multiscale spectrogram loss is a sum of absolute differences, JTFS's one of squares.
        METHODS[1]: descent(spectrogram, torch.sign, lambda r: r.abs().sum(-1)),
        METHODS[2]: descent(features, lambda r: r, lambda r: 0.5 * r.square().sum(-1)),
        METHODS[3]: least_squares,
    }


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


def page() -> None:
    """Generate the page from what has been measured."""
    text = (Path(__file__).parent / "matching.md").read_text()
    parts = []
    for name in ("chirp", "drum", "chirp-full", "drum-full"):
        path = RESULTS / f"matching-{name}.json"
        if path.exists():
            parts.append(synthetic_part(json.loads(path.read_text())))
    noisy = [RESULTS / f"matching-noise-{name}.json" for name in COUNT]
    parts = [noise_part(path) for path in noisy if path.exists()] + parts
    parts.append(recordings_part(json.loads((RESULTS / "matching-kits.json").read_text())))
    # As measured before recordings were left where they may have been made, and sounds cut as they are.
    parts += [noise_part(path) for path in (former(path) for path in noisy) if path.exists()]
    parts.append(recordings_part(json.loads(former(RESULTS / "matching-kits.json").read_text()), former=True))
    parts.append(former_part(json.loads((RESULTS / "matching-recordings.json").read_text())))
    path = DOCS / "matching.md"
    path.write_text(text.rstrip() + "\n\n" + "\n\n".join(parts) + "\n")
    sys.stderr.write(f"{path}\n")


def former(path: Path) -> Path:
    """File of an earlier measurement."""
    return path.with_stem(f"{path.stem}-former")


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


if __name__ == "__main__":
    main()
