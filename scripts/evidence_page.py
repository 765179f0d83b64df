#!/usr/bin/env python
"""Writer of docs/evidence/training.md and its figures, from the results of reproduce_training.py."""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from scipy.stats import t as student

TUNING_SEED = 1000
ORDER = (
    "P",
    "PNP",
    "PNP, identity",
    "PNP, diagonal",
    "PNP, mean",
    "PNP, scheduled",
    "PNP, saturated",
    "PNP, saturated, identity",
    "PNP, saturated, mean",
    "PNP, saturated, mean metric",
    "PNP, saturated, norm",
    "PNP, mean metric",
    "P, norm",
    "PNP, norm",
    "surrogate",
    "surrogate, saturated",
    "multiscale",
    "JTFS",
    "SCRAPL",
)

Groups = dict[tuple[str, str], list[dict[str, Any]]]


def interval(values: list[float]) -> tuple[float, float | None]:
    """Return the mean and half of its 95 % interval by Student's t; None for a single value."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    # Two-sided: 2.5 % beyond either end.
    quantile = float(student.ppf(0.975, len(values) - 1))
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))


def shown(values: list[float], digits: int) -> str:
    """Mean ± half the interval."""
    mean, half = interval(values)
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if half is not None else "")


def settings(run: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a search chooses."""
    return run["learning_rate"], run["damping"], run.get("reach")


def final_runs(results: dict[str, Any], budget: float | None) -> Groups:
    """Final runs of a budget (None: to convergence) on all sounds, by condition and the transform of the metric."""
    groups: Groups = defaultdict(list)
    for run in results["runs"]:
        if run["seed"] != TUNING_SEED and run["budget"] == budget and not run.get("sounds"):
            groups[run["condition"], run["transform"]].append(run)
    # A search that went on found something better: what was run with what it had found before is left out.
    kept = {key: _most_common(runs) for key, runs in groups.items()}
    return dict(sorted(kept.items(), key=lambda item: (ORDER.index(item[0][0]), item[0][1])))


def _standard(run: dict[str, Any], results: dict[str, Any]) -> bool:
    return run["budget"] == results["experiment"]["budget"] and not run.get("sounds")


def _most_common(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that share their settings with most others."""
    counts = Counter(map(settings, runs))
    return [run for run in runs if settings(run) == counts.most_common(1)[0][0]]


def comparison(results: dict[str, Any]) -> list[str]:
    """Each loss relative to P-loss, as figure and table."""
    experiment = results["experiment"]
    groups, converged = (final_runs(results, budget) for budget in (experiment["budget"], None))
    if not groups:
        return []
    transforms = list(experiment["transforms"])
    lines = [
        f"## {experiment['name']}" + (": a reduced experiment" if _reduced(results) else ""),
        "",
        f"{_folds(results)['train']} sounds to learn from, {experiment['budget']:g} s of training a run.",
        "",
        f"![Distance relative to P-loss](images/evidence-{experiment['name']}.png)",
        "",
        *answer(groups, transforms),
    ]
    if converged:
        lines += ["The same without a limit of time, until no loss gains any more:", ""]
        lines += answer(converged, transforms)
    return lines


def details(results: dict[str, Any]) -> list[str]:
    """Settings, and figures that are not relative to others."""
    experiment = results["experiment"]
    groups, converged = (final_runs(results, budget) for budget in (experiment["budget"], None))
    if not groups:
        return []
    transforms, folds = list(experiment["transforms"]), _folds(results)
    judged = f", distances on the first {experiment['judged']} of either" if experiment.get("judged") else ""
    described = "; ".join(
        f"*{name}*, " + (f"`{options}`" if options else "unchanged")
        for name, options in experiment["transforms"].items()
    )
    lines = [
        f"### {experiment['name']}",
        "",
        f"{experiment['size']} sounds: {folds['train']} for training, {folds['validation']} for validation,",
        f"{folds['test']} for test{judged}. A run trains for {experiment['budget']:g} s on one thread of",
        f"{_processors(groups, results)}. Transforms are the published preset, changed as follows: {described}.",
        "",
        f"Searched: learning rate {', '.join(map(str, results['search']['learning_rate']))};",
        f"λ {', '.join(map(str, results['search']['damping']))}; reach",
        f"{', '.join(map(str, results['search']['reach']))}. Rates marked by an asterisk were searched, on one",
        "run of a seed that is not used again. Damping was searched at the rate of PNP without damping, and the reach",
        "at the rate of P-loss. Both together were searched with the reach found without damping.",
        "",
        *table(groups, results),
    ]
    if converged:
        lines += [
            "*To convergence.* The same losses with no limit of time (`decay='plateau'`). The learning rate falls to a",
            "third whenever more than eight epochs bring no lower validation loss. Training ends when it would fall",
            "below a hundredth. Rate, λ and reach are those of the search above, but for rates with an asterisk. These",
            "were searched anew, and then the reach at the best of them, until both neighbours were worse. Values of",
            f"the reach: {', '.join(map(str, results['search'].get('reach_to_convergence', ())))}.",
            "How many epochs that took is part of the result.",
            "",
            *table(converged, results),
        ]
    return lines + variations(results) + last_weights(groups, transforms) + conditions(results)


def _reduced(results: dict[str, Any]) -> bool:
    experiment = results["experiment"]
    return bool(experiment["name"].endswith("-reduced") or experiment["size"] < results["full_size"])


def _folds(results: dict[str, Any]) -> dict[str, int]:
    folds: dict[str, int] = next(iter(results["caches"].values()))["folds"]
    return folds


def _processors(groups: Groups, results: dict[str, Any]) -> str:
    """Describe what the runs were made on."""
    default = results["environment"]["cpu"]
    return " or ".join(sorted({run.get("cpu", default) for runs in groups.values() for run in runs}))


def table(groups: Groups, results: dict[str, Any]) -> list[str]:
    """Settings, epochs and held-out errors of each loss."""
    first = next(iter(groups.values()))[0]
    transforms = list(results["experiment"]["transforms"])
    lines = [
        "| loss | metric | runs | lr | λ | reach | epochs | "
        + " | ".join(f"{name}, % of range" for name in first["parameters"])
        + " | "
        + " | ".join(f"JTFS {name}" for name in transforms)
        + " | multiscale |",
        "|---|---|---:|---:|---:|---:|---:|" + "---:|" * (len(first["parameters"]) + len(transforms) + 1),
    ]
    searched = defaultdict(set)
    for run in results["runs"]:
        if run["seed"] == TUNING_SEED and run["budget"] == first["budget"] and not run.get("sounds"):
            searched[run["condition"], run["transform"]].add(run["learning_rate"])
    for (condition, transform), runs in groups.items():
        errors = [
            shown([run["parameter_error_percent"][place] for run in runs], 2)
            for place in range(len(first["parameters"]))
        ]
        distances = [shown([run["distance"][name] for run in runs], 4) for name in transforms]
        star = "*" if len(searched[condition, transform]) > 1 else ""
        rate, damping, reach = _settings(settings(runs[0]))
        cells = [
            condition,
            transform,
            str(len(runs)),
            rate + star,
            damping,
            reach,
            _median(runs, "epochs"),
            *errors,
            *distances,
            shown([run["distance"]["multiscale"] for run in runs], 4),
        ]
        lines.append(_row(cells))
    return [*lines, "", "Mean ± half of the 95 % interval of the mean (Student's t over seeds).", ""]


def ratios(
    runs: list[dict[str, Any]], baseline: list[dict[str, Any]], name: str, last: bool = False
) -> list[float]:
    """Distances over those of P-loss with the same seed."""

    def distance(run: dict[str, Any]) -> float:
        return float((run["last"] if last else run)["distance"][name])

    of_seed = {run["seed"]: distance(run) for run in baseline}
    return [distance(run) / of_seed[run["seed"]] for run in runs if run["seed"] in of_seed]


def relative(
    runs: list[dict[str, Any]], baseline: list[dict[str, Any]], name: str, last: bool = False
) -> str:
    """Distance over that of P-loss, paired by seed, and whether its interval leaves out 1."""
    found = ratios(runs, baseline, name, last)
    if not found:
        return "-"
    mean, half = interval(found)
    verdict = ""
    if half is not None and abs(mean - 1) > half:
        verdict = " (better)" if mean < 1 else " (worse)"
    return f"{mean:.3f}" + (f" ± {half:.3f}" if half is not None else "") + verdict


def answer(groups: Groups, transforms: list[str]) -> list[str]:
    """Compare each loss with P-loss in the distance that it was made for, seed by seed."""
    if ("P", "-") not in groups:
        return []
    baseline = groups["P", "-"]
    distances = [*transforms, "multiscale"]
    lines = ["Distance relative to P-loss, paired by seed (below 1: better than P-loss):", ""]
    lines += [_row(["loss", *_headings(distances)]), "|---|" + "---:|" * len(distances)]
    for (condition, transform), runs in groups.items():
        if condition != "P":
            cells = [relative(runs, baseline, name) for name in distances]
            lines.append(_row([f"{condition}, {transform}", *cells]))
    return [*lines, ""]


def variations(results: dict[str, Any]) -> list[str]:
    """Fewer sounds to learn from, and longer runs."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for run in results["runs"]:
        if run["seed"] != TUNING_SEED and run["budget"] and not _standard(run, results):
            # Where every sound is learnt from, the number is that of the training fold.
            sounds = run.get("sounds") or next(iter(results["caches"].values()))["folds"]["train"]
            key = (sounds, run["budget"], ORDER.index(run["condition"]), run["transform"], settings(run))
            groups[key].append(run)
    if not groups:
        return []
    transforms = list(results["experiment"]["transforms"])
    lines = [
        "Fewer sounds to learn from, and longer runs; relative to the better P-loss of the same setting:",
        "",
    ]
    lines += [
        _row(
            ["sounds", "seconds", "loss", "metric", "runs", "lr", "λ", "reach", "epochs", "best epoch"]
            + [title for name in _headings(transforms) for title in (name, "relative")]
        ),
        "|---:|---:|---|---|" + "---:|" * (6 + 2 * len(transforms)),
    ]
    for (sounds, budget, place, transform, chosen), runs in sorted(
        groups.items(), key=lambda item: item[0][:4]
    ):
        cells = [str(sounds), f"{budget:g}", ORDER[place], transform, str(len(runs)), *_settings(chosen)]
        cells += [_median(runs, "epochs"), _median(runs, "best_epoch")]
        for name in transforms:
            rivals = [group for key, group in groups.items() if key[:3] == (sounds, budget, ORDER.index("P"))]
            best = min(rivals, key=lambda group: _mean(group, name), default=[])
            cells += [
                shown([run["distance"][name] for run in runs], 4),
                relative(runs, best, name) if runs is not best else "1",
            ]
        lines.append(_row(cells))
    return [*lines, ""]


def last_weights(groups: Groups, transforms: list[str]) -> list[str]:
    """Tell if the choice of weights, the best by each loss's own measure, decides who wins."""
    judged = {key: [run for run in runs if "last" in run] for key, runs in groups.items()}
    judged = {key: runs for key, runs in judged.items() if runs}
    if ("P", "-") not in judged:
        return []
    lines = [
        "The weights above are those of the epoch with the lowest validation loss, each loss by its own measure. With",
        "the weights of the last epoch instead, in place of the best one:",
        "",
        _row(
            ["loss", "runs", "best epoch", "epochs"]
            + [title for name in _headings(transforms) for title in (name, "relative to P-loss, last")]
        ),
        "|---|---:|---:|---:|" + "---:|" * (2 * len(transforms)),
    ]
    for (condition, transform), runs in judged.items():
        cells = [
            f"{condition}, {transform}",
            str(len(runs)),
            _median(runs, "best_epoch"),
            _median(runs, "epochs"),
        ]
        for name in transforms:
            cells.append(shown([run["last"]["distance"][name] for run in runs], 4))
            cells.append("1" if condition == "P" else relative(runs, judged["P", "-"], name, last=True))
        lines.append(_row(cells))
    return [*lines, ""]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _headings(distances: list[str]) -> list[str]:
    return [name if name == "multiscale" else f"JTFS {name}" for name in distances]


def _settings(chosen: tuple[Any, ...]) -> list[str]:
    rate, damping, reach = chosen
    return [f"{rate:g}", f"{damping:g}", f"{reach:g}" if reach else "-"]


def _median(runs: list[dict[str, Any]], name: str) -> str:
    return f"{statistics.median(run[name] for run in runs):g}"


def _mean(runs: list[dict[str, Any]], name: str) -> float:
    return statistics.fmean(run["distance"][name] for run in runs)


def conditions(results: dict[str, Any]) -> list[str]:
    """Summarize what the metrics say about the parameters."""
    names = results["runs"][0]["parameters"]
    lines = [
        "Diagonal of the mean metric, what is heard of each parameter alone, and median condition number:",
        "",
    ]
    lines += ["| transform | " + " | ".join(names) + " | condition |", "|---|" + "---:|" * (len(names) + 1)]
    for transform, cache in results["caches"].items():
        diagonal = [cache["mean_metric"][place][place] for place in range(len(names))]
        lines.append(
            f"| {transform} | "
            + " | ".join(f"{x:.3g}" for x in diagonal)
            + f" | {cache['median_condition']:.1f} |"
        )
    return [*lines, ""]


def draw(results: dict[str, Any], path: Path) -> None:
    """Distance relative to P-loss, one dot a loss, with the interval of its mean over seeds."""
    from matplotlib.figure import Figure

    experiment = results["experiment"]
    groups, converged = (final_runs(results, budget) for budget in (experiment["budget"], None))
    transforms = list(experiment["transforms"])
    first = transforms[0]

    def found(runs_of: Groups, key: tuple[str, str], name: str) -> list[float]:
        return ratios(runs_of.get(key, []), runs_of.get(("P", "-"), []), name)

    order = [key for key in groups if key[0] != "P" and found(groups, key, first)]
    order.sort(key=lambda key: -statistics.fmean(found(groups, key, first)))
    distances = [*transforms, "multiscale"]
    figure = Figure(figsize=(3.2 * len(distances) + 2.5, 0.28 * len(order) + 1.6), layout="constrained")
    axes = figure.subplots(1, len(distances), sharey=True)
    for axis, name in zip(axes, distances, strict=True):
        for runs_of, shift, hollow in ((groups, 0.12, False), (converged, -0.12, True)):
            for place, key in enumerate(order):
                values = found(runs_of, key, name)
                if not values:
                    continue
                mean, half = interval(values)
                colour = "#2a6f97" if mean <= 1 else "#c1440e"
                # A distance has no negative values, whatever the interval of its mean.
                ends = [max(mean - (half or 0), 0.05), mean + (half or 0)]
                axis.plot(ends, [place + shift] * 2, color=colour, lw=2, alpha=0.4)
                fill = "white" if hollow else colour
                axis.plot(mean, place + shift, "o", color=colour, markerfacecolor=fill, ms=6)
        axis.axvline(1, color="0.4", lw=1)
        axis.set_xscale("log")
        ticks = [tick for tick in (0.5, 1, 2, 5, 10, 50) if axis.get_xlim()[0] <= tick <= axis.get_xlim()[1]]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_title(_headings([name])[0], fontsize=11)
        axis.grid(axis="y", color="0.92")
        axis.set_axisbelow(True)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
    several = len(transforms) > 1
    labels = [
        f"{condition} ({transform})" if several and transform != "-" else condition
        for condition, transform in order
    ]
    axes[0].set_yticks(range(len(order)), labels)
    note = f"filled: {experiment['budget']:g} s" + ("; hollow: to convergence" if converged else "")
    figure.supxlabel(f"distance ÷ that of P-loss ({note})", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Write the page and its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--docs", type=Path, default=Path("docs/evidence"))
    options = parser.parse_args()
    found = [json.loads(path.read_text()) for path in sorted(options.results.glob("training-*.json"))]
    note = Path(__file__).with_name("evidence_notes.md")
    lines = [
        "# Training in detail",
        "",
        "Two synthesizers, every loss and damping, each tuned. Which loss to use, with its defaults and on eight",
        "synthesizers, is on the page [Which loss?](panel.md). Made by `scripts/reproduce_training.py` and",
        "`scripts/evidence_page.py`; do not edit, run them again. Every loss trains the same encoder on the same",
        "sounds for the same time. Errors are on test sounds. They are given in percent of each parameter's range, and",
        "as distances between the sounds of predicted and true parameters. Distances are those of each scattering",
        "transform, and of auraloss's multiscale spectrograms. Metrics are those of the published representations, not",
        "of the later standard.",
        "",
        *([note.read_text().strip(), ""] if note.exists() else []),
        *(line for results in found for line in comparison(results)),
        "## Settings and all figures",
        "",
        *(line for results in found for line in details(results)),
    ]
    for results in found:
        draw(results, options.docs / "images" / f"evidence-{results['experiment']['name']}.png")
    (options.docs / "training.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
