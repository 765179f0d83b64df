#!/usr/bin/env python
"""Between the sounds of a cache: errors of interpolated metrics, and of distances at all ranges.

    python benchmarks/held_out.py CACHE... --json benchmarks/results/held-out.json --docs docs

Everything is built from training sounds and compared on test sounds, whose features and Jacobians the cache has too.
`--results FILE` measures nothing and writes page and figure.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pnp
from pnp.bench.environment import commit
from pnp.metric.field import METHODS, field_errors
from pnp.metric.reach import ceiling_of_reach

BINS = 6
MOST_PAIRS = 20_000
# Reaches in units of the cube: of the quadratic form, which is believed at any distance, and of the surrogate's
# expansions, which are believed between neighbours.
REACHES, NEAR_REACHES = (3.0, 10.0), (0.3, 1.0, 3.0)


def measure_field(cache: pnp.MetricCache) -> list[dict[str, Any]]:
    """Errors of every way to interpolate, from an eighth of the training sounds to all of them."""
    metric, test = cache.metrics(), cache.rows("test")
    results = []
    train = cache.rows("train")
    train = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))]
    for share in (8, 4, 2, 1):
        rows = train[: len(train) // share]
        for method in METHODS:
            field = pnp.MetricField(metric[rows], cache.u[rows], method=method)
            results.append(asdict(field_errors(field, metric[test], cache.u[test])))
    return results


def estimates(cache: pnp.MetricCache) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Over pairs of test sounds: distance in parameters, true distance, and what stands for it."""
    rows, train = cache.rows("test"), cache.rows("train")
    u, S, metrics = cache.u[rows], cache.features(rows).double(), cache.metrics()
    pairs = torch.triu_indices(len(rows), len(rows), 1)
    chosen = torch.randperm(pairs.shape[1], generator=torch.Generator().manual_seed(0))[:MOST_PAIRS]
    i, j = pairs[:, chosen]
    difference = u[j] - u[i]

    def quadratic(reach: float | None) -> dict[str, Tensor]:
        name = "PNP" + (f", reach {reach:g}" if reach else "")
        used = metrics.saturated(ceiling_of_reach(cache, reach)) if reach else metrics
        field = pnp.MetricField(used[train], cache.u[train])
        between = [field.midpoint(u[a], u[b]).norm(u[b] - u[a]) for a, b in _chunks(i, j)]
        return {
            name: used[rows][i].norm(difference),
            f"{name}, metric at the midpoint": torch.cat(between),
        }

    def surrogate(reach: float | None) -> dict[str, Tensor]:
        name = "surrogate" + (f", reach {reach:g}" if reach else "")
        one = pnp.DistanceSurrogate.from_cache(cache, reach=reach)
        return {name: torch.cat([one.distance(u[a], u[b]).double() for a, b in _chunks(i, j)])}

    estimated = {"P": difference.norm(dim=-1)}
    for reach in (None, *REACHES):
        estimated |= quadratic(reach)
    for reach in (None, *NEAR_REACHES):
        estimated |= surrogate(reach)
    return difference.norm(dim=-1), (S[j] - S[i]).norm(dim=-1), estimated


def _chunks(i: Tensor, j: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(i.split(1000), j.split(1000), strict=True)


def measure_distances(cache: pnp.MetricCache) -> dict[str, Any]:
    """Rank correlation and relative error by distance.

    P, and PNP with a reach, whose size is that of no distance, are given the one factor that suits them best.
    """
    from scipy.stats import spearmanr

    _, true, estimated = estimates(cache)
    edges = torch.quantile(true, torch.linspace(0, 1, BINS + 1, dtype=torch.float64))
    bins = torch.bucketize(true, edges[1:-1])
    result: dict[str, Any] = {"edges": edges.tolist(), "pairs": len(true), "estimates": {}}
    for name, value in estimated.items():
        if name == "P" or name.startswith("PNP, reach"):
            value = value * ((true / value).median())
        error = (value / true - 1).abs()
        result["estimates"][name] = {
            "rank_correlation": float(spearmanr(value, true).statistic),
            "error": float(error.median()),
            "rank_correlation_by_distance": [
                float(spearmanr(value[bins == b], true[bins == b]).statistic) for b in range(BINS)
            ],
            "error_by_distance": [float(error[bins == b].median()) for b in range(BINS)],
        }
    result["rank"] = pnp.DistanceSurrogate.from_cache(cache).rank
    result["features"] = cache.features(cache.rows("test")[:1]).shape[1]
    return result


def as_markdown(results: dict[str, Any]) -> str:
    """The page."""
    lines = [
        "# Between the sounds of a cache",
        "",
        f"Made by `{results['command']}` at commit {results['commit']}; do not edit, run it again.",
        "Everything is built from the training sounds of a cache and compared on its test sounds.",
        "",
        "## The metric at any point",
        "",
        "`pnp.MetricField` interpolates log M: with radial basis functions, Shepard's weights, or not at all (nearest",
        "point). *Error* is what a loss sees: |ΔuᵀM̂Δu / ΔuᵀMΔu − 1|, median over held-out points and",
        "random directions. *Geodesic* is the affine-invariant distance from the true metric, as a mean over",
        "directions.",
        "",
    ]
    for name, one in results["caches"].items():
        lines += [f"**{name}**", "", "| points | method | error | geodesic |", "|---:|---|---:|---:|"]
        lines += [
            f"| {row['n_points']} | {row['method']} | {row['form']:.3f} | {row['affine_invariant']:.3f} |"
            for row in one["field"]
        ]
        best = min((row for row in one["field"][-len(METHODS) :]), key=lambda row: row["form"])
        lines += ["", f"With all points, {best['method']} has the least error, {best['form']:.3f}.", ""]
    lines += [
        "## Distances beyond the quadratic form",
        "",
        f"Estimates are compared over pairs of test sounds: all pairs, or {MOST_PAIRS} drawn at random. No estimate",
        "has seen these sounds, but PNP knows its metric at one of the two. *Rank correlation* and the median",
        "*relative error* refer to the true distance ‖Φ(g(û)) − Φ(g(u))‖, in all pairs, and in the closest",
        "and farthest sixth. A *reach* limits the eigenvalues of the metric, or the slopes that the surrogate expands",
        "(`PNPLoss.from_cache`, `DistanceSurrogate.from_cache`). P-loss, and PNP with a reach, are not in the units of",
        "the distance, and are given the one factor that suits them best.",
        "",
        "![Rank correlation and relative error against distance](images/held-out.png)",
        "",
    ]
    for name, one in results["caches"].items():
        distances = one["distances"]
        lines += [
            f"**{name}**: {distances['pairs']} pairs, {distances['features']} features, of which the surrogate",
            f"keeps {distances['rank']} directions.",
            "",
            "| | rank correlation | relative error | closest sixth: | error | farthest sixth: | error |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for label, row in distances["estimates"].items():
            ranks, errors = row["rank_correlation_by_distance"], row["error_by_distance"]
            lines.append(
                f"| {label} | {row['rank_correlation']:.4f} | {row['error']:.3f} | {ranks[0]:.3f} | {errors[0]:.3f} | "
                f"{ranks[-1]:.3f} | {errors[-1]:.3f} |"
            )
        lines.append("")
    lines += [
        "The surrogate, `pnp.DistanceSurrogate`, blends first-order expansions around the nearest sounds of the cache",
        "at both ends. Its default reach of 1 costs nothing where slopes are gentle. `pnp.SurrogateLoss` trains",
        "with it: `pnp train CACHE --loss surrogate`. [Training](training.md) shows what that is worth: being right",
        "about distances is not enough.",
    ]
    return "\n".join(lines) + "\n"


def _style(label: str) -> dict[str, Any]:
    """A hue for each kind of estimate, a shade for its reach, dashes for the metric at the midpoint."""
    from matplotlib import colormaps

    hues = {"P": "Greys", "PNP": "Blues", "surrogate": "Oranges"}
    reaches = [0.0, *sorted({*REACHES, *NEAR_REACHES})]
    reach = float(label.partition("reach ")[2].partition(",")[0] or 0.0)
    shade = 0.9 - 0.5 * reaches.index(reach) / (len(reaches) - 1)
    return {
        "color": colormaps[hues[label.partition(",")[0]]](shade),
        "linestyle": "--" if "midpoint" in label else "-",
    }


def draw(results: dict[str, Any], path: Path) -> None:
    """Rank correlation and error against distance."""
    from matplotlib.figure import Figure

    caches = results["caches"]
    figure = Figure(figsize=(max(7.5, 4.2 * len(caches)), 7.5), layout="constrained")
    axes = figure.subplots(2, len(caches), squeeze=False)
    for column, (name, one) in enumerate(caches.items()):
        edges = torch.tensor(one["distances"]["edges"])
        middle = (edges[1:] * edges[:-1].clamp(min=1e-6)).sqrt()
        for label, row in one["distances"]["estimates"].items():
            style: dict[str, Any] = {"marker": "o", "ms": 4, "label": label} | _style(label)
            axes[0, column].plot(middle, row["rank_correlation_by_distance"], **style)
            axes[1, column].plot(middle, row["error_by_distance"], **style)
        axes[0, column].set(title=name, ylabel="rank correlation within the bin")
        axes[1, column].set(xlabel="true distance", ylabel="median relative error", yscale="log")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measure, or read what was measured, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("caches", nargs="*", type=Path, help="caches with features and Jacobians")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--results", type=Path, help="measure nothing, read these numbers")
    parser.add_argument("--docs", type=Path, help="folder for beyond-the-cache.md and its figure")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.results:
        results = json.loads(options.results.read_text())
    else:
        results = {
            "command": shlex.join(["python", "benchmarks/held_out.py", *map(str, options.caches)]),
            "commit": commit(),
            "caches": {},
        }
        for path in options.caches:
            with pnp.MetricCache(path) as cache:
                name = f"{cache.config['synthesizer']['config']['name']}, {path.stem}"
                results["caches"][name] = {
                    "field": measure_field(cache),
                    "distances": measure_distances(cache),
                }
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")
    page = as_markdown(results)
    sys.stdout.write(page)
    if options.docs:
        (options.docs / "beyond-the-cache.md").write_text(page)
        draw(results, options.docs / "images" / "held-out.png")


if __name__ == "__main__":
    main()
