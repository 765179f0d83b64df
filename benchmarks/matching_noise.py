"""Matching under noise: how often parameters are found, with a fitted noise floor and coarse spectrograms or without.

    python benchmarks/matching_noise.py --synth chirp --count 60
    python benchmarks/matching_noise.py --synth drum --count 24
    python benchmarks/matching_noise.py --synth string --count 24
    python benchmarks/matching_noise.py --synth voice --count 8      (needs DawDreamer)

Everything measured is a line in a file under --work, and a rerun goes on where it ends; --seconds ends a run early.
Recordings are matched as `pnp.match` does it, gain and onset included.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matching_tools import FORMERLY, SEED, Records, disturbed, tools, write_result
from tqdm import tqdm

from pnp._text import percent
from pnp.bench.environment import environment
from pnp.matching.catalogue import Catalogue
from pnp.matching.recording import as_recording
from pnp.matching.search import Search

CONDITIONS = ("clean", "noise 30 dB", "noise 20 dB", "noise 10 dB", "noise 0 dB", "time shift")
COUNT = {"chirp": 60, "drum": 24, "string": 24, "voice": 8}
# How `pnp.match` may search; the last is its default.
METHODS: dict[str, dict[str, Any]] = {
    "features alone, no floor": {"coarse": False, "fit_noise": False},
    "features alone": {"coarse": False},
    "coarse first": {},
}
# Parameters that can be heard in all sounds; the others run over decades of which the lower ones are inaudible.
AUDIBLE = {
    "chirp": ("f_c", "f_m", "gamma"),
    "drum": ("omega", "tau", "alpha"),
    "string": ("omega", "tau"),
    "voice": ("f0", "detune", "cutoff", "q", "octaves", "sweep", "attack", "decay"),
}
TITLES = {"voice": "sounds of the panel's Faust voice"}

# Targets that were looked at while the search was made; the others are a measure of it.
LOOKED_AT = {"drum": 12}
# Fewer others than this are no measure.
FRESH = 6


def main() -> None:
    """Measure, and write the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--synth", choices=tuple(COUNT), default="chirp", help="synthesizer of the targets")
    parser.add_argument("--count", type=int, help="number of targets")
    parser.add_argument(
        "--conditions", nargs="+", choices=CONDITIONS, default=CONDITIONS, help="conditions to measure"
    )
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=tuple(METHODS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no target after this long")
    parser.add_argument(
        "--work", type=Path, default=Path("matching"), help="where caches and records are kept"
    )
    options = parser.parse_args()
    options.full = False
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    name = options.synth
    # Averages over all of log-frequency do not hear pitch, so that chirps are told apart by F = 2.
    synth, features, cache = tools(name, options, **({"F": 2} if name == "chirp" else {}))
    with cache:
        catalogue = Catalogue.from_cache(cache, synth, features)
    records = Records(options.work / f"{name}-noise.jsonl")
    done = {(row["target"], row["condition"], row["method"]) for row in records.rows}
    began = time.monotonic()
    targets = synth.space.sample(options.count or COUNT[name], method="uniform", seed=SEED)
    wanted = [(c, m) for c in options.conditions for m in options.methods]
    for i, u in enumerate(tqdm(targets, desc=name, unit="target")):
        x = synth(synth.space.from_unit(u[None]))[0]
        for condition, method in wanted:
            if (i, condition, method) not in done and time.monotonic() - began < options.seconds:
                run = measured(catalogue, disturbed(x, condition, seed=i), u, condition, method)
                records.add({"target": i, **run})
    summarize(name, synth, features, len(catalogue.rows), records.rows)


def measured(
    catalogue: Catalogue, x: torch.Tensor, u: torch.Tensor, condition: str, method: str
) -> dict[str, Any]:
    """One match: errors in percent of the ranges, distances and time."""
    began = time.process_time()
    result = Search(catalogue, **METHODS[method]).match(as_recording(x.numpy(), catalogue.synth.sample_rate))
    return {
        "condition": condition,
        "method": method,
        "error": (50.0 * (result.u - u).abs()).tolist(),
        "before": result.distance_before / result.target_norm,
        "after": result.distance_after / result.target_norm,
        "noise": result.noise,
        "seconds": time.process_time() - began,
    }


def summarize(name: str, synth: Any, features: Any, size: int, rows: list[dict[str, Any]]) -> None:
    """Shares within 1 % and 3 % of the range, as a small file that is committed."""
    heard = [synth.space.names.index(parameter) for parameter in AUDIBLE[name]]
    table = []
    for condition in CONDITIONS:
        for method in METHODS:
            chosen = [run for run in rows if (run["condition"], run["method"]) == (condition, method)]
            if not chosen:
                continue
            errors = np.array([run["error"] for run in chosen])[:, heard]
            table.append(
                {
                    "condition": condition,
                    "method": method,
                    "targets": len(chosen),
                    "median_error": np.median(errors, axis=0).tolist(),
                    "within_1": float(np.mean((errors <= 1.0).all(1))),
                    "within_3": float(np.mean((errors <= 3.0).all(1))),
                    "fresh": fresh_share(name, chosen, heard),
                    "worse_than_start": sum(run["after"] > run["before"] for run in chosen),
                    "fitted": sum(bool(run["noise"]) for run in chosen),
                    "seconds": float(np.median([run["seconds"] for run in chosen])),
                }
            )
    summary = {
        "synth": name,
        "targets": len({row["target"] for row in rows}),
        "cache_size": size,
        "parameters": list(AUDIBLE[name]),
        "synthesizer": {"n_samples": synth.n_samples, "sample_rate": synth.sample_rate} | synth.config(),
        "features": features.config(),
        "environment": environment().to_dict(),
        "table": table,
    }
    write_result(f"matching-noise-{name}.json", summary)


def fresh_share(name: str, rows: list[dict[str, Any]], heard: list[int]) -> list[int] | None:
    """Number of targets that were not looked at, after that of those within 1 %; None where all are alike."""
    errors = [run["error"] for run in rows if run["target"] >= LOOKED_AT.get(name, 0)]
    if name not in LOOKED_AT or not errors:
        return None
    return [int((np.array(errors)[:, heard] <= 1.0).all(1).sum()), len(errors)]


def noise_part(path: Path) -> str:
    """Table of one synthesizer for the page."""
    from matching_tools import described

    summary = json.loads(path.read_text())
    names = ", ".join(summary["parameters"])
    title = TITLES.get(summary["synth"], f"{summary['synth']}s")
    lines = [
        f"## {summary['targets']} {title} under noise{FORMERLY if path.stem.endswith('former') else ''}",
        "",
        described(summary | {"full": False}),
        "",
        (
            f"| condition | search | targets | median error of {names} (% of range) | within 1 % | within 3 % "
            "| seconds |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for row in summary["table"]:
        errors = ", ".join(f"{error:.2g}" for error in row["median_error"])
        lines.append(
            f"| {row['condition']} | {row['method']} | {row['targets']} | {errors} | {percent(row['within_1'], 0)} "
            f"| {percent(row['within_3'], 0)} | {row['seconds']:.2g} |"
        )
    fresh = [
        f"{found} of {count} {row['condition']} ({row['method']})"
        for row in summary["table"]
        for found, count in [row.get("fresh") or (0, 0)]
        if count >= FRESH
    ]
    if fresh:
        first = LOOKED_AT[summary["synth"]]
        lines += [
            "",
            f"The search was made on the first {first}. Of the others, within 1 %: {', '.join(fresh)}.",
        ]
    worse = sum(row["worse_than_start"] for row in summary["table"])
    lines += ["", f"Matches that are further away than their start: {worse}."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
