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


def section(results: dict[str, Any]) -> list[str]:
    """One experiment."""
    experiment = results["experiment"]
    groups, converged = (final_runs(results, budget) for budget in (experiment["budget"], None))
    if not groups:
        return []
    transforms = list(experiment["transforms"])
    folds = next(iter(results["caches"].values()))["folds"]
    reduced = experiment["name"].endswith("-reduced") or experiment["size"] < results["full_size"]
    judged = f", distances on the first {experiment['judged']} of either" if experiment.get("judged") else ""
    described = "; ".join(
        f"*{name}*, {options or 'standard'}" for name, options in experiment["transforms"].items()
    )
    lines = [
        f"## {experiment['name']}" + (": a reduced experiment" if reduced else ""),
        "",
        f"{experiment['size']} sounds ({folds['train']} for training, {folds['validation']} for validation,",
        f"{folds['test']} for test{judged}), {experiment['budget']:g} s of training a run, one thread of",
        f"{_processors(groups, results)}. Transforms, where not said as in `pnp.setups`: {described}.",
        "",
        f"Searched: learning rate {', '.join(map(str, results['search']['learning_rate']))};",
        f"λ {', '.join(map(str, results['search']['damping']))}; reach",
        f"{', '.join(map(str, results['search']['reach']))}. Rates marked by an asterisk were searched, on one",
        "run of a seed that is not used again; damping at the rate found for PNP without it, reach at that of P-loss,",
        "and both together with the reach found without damping.",
        "",
        *table(groups, results),
        f"![Error against compute](images/evidence-{experiment['name']}.png)",
        "",
        *answer(groups, transforms),
    ]
    if converged:
        lines += [
            "*To convergence.* The same losses with no limit of time: the learning rate falls to a third whenever more",
            "than eight epochs bring no lower validation loss, and training ends when it would fall below a hundredth",
            "(`decay='plateau'`). λ is that of the search above; so are rate and reach, but where the rate has",
            "an asterisk: there rates were searched anew, and at the best of them the reach, from that above along",
            f"{', '.join(map(str, results['search'].get('reach_to_convergence', ())))},",
            "until both neighbours are worse. How many epochs that took is part of the result.",
            "",
            *table(converged, results),
            *answer(converged, transforms),
        ]
    return lines + variations(results) + last_weights(groups, transforms) + conditions(results)


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


def relative(
    runs: list[dict[str, Any]], baseline: list[dict[str, Any]], name: str, last: bool = False
) -> str:
    """Distance over that of P-loss, paired by seed, and whether its interval leaves out 1."""

    def distance(run: dict[str, Any]) -> float:
        return float((run["last"] if last else run)["distance"][name])

    of_seed = {run["seed"]: distance(run) for run in baseline}
    ratios = [distance(run) / of_seed[run["seed"]] for run in runs if run["seed"] in of_seed]
    if not ratios:
        return "-"
    mean, half = interval(ratios)
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


def of_budgets(results: dict[str, Any], groups: Groups) -> dict[tuple[str, str], dict[float, list[float]]]:
    """Distances under the first transform by seconds of training, of losses that were given more than one budget.

    Where a loss was run with several settings for the same time, those with the lowest mean.
    """
    transforms = list(results["experiment"]["transforms"])
    found: dict[tuple[str, str], dict[float, list[float]]] = {}
    for condition, transform in groups:
        by_settings: dict[float, dict[tuple[Any, ...], list[float]]] = defaultdict(lambda: defaultdict(list))
        runs = groups[condition, transform] + [
            run
            for run in results["runs"]
            if run["seed"] != TUNING_SEED
            and (run["condition"], run["transform"]) == (condition, transform)
            and run["budget"]
            and not _standard(run, results)
            and not run.get("sounds")
        ]
        for run in runs:
            by_settings[run["budget"]][settings(run)].append(run["distance"][transforms[0]])
        if len(by_settings) > 1:
            found[condition, transform] = {
                budget: min(of.values(), key=statistics.fmean) for budget, of in sorted(by_settings.items())
            }
    return found


def draw(results: dict[str, Any], path: Path) -> None:
    """Parameter error against seconds of training; distance at the end, and against how long training was."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    groups, converged = (final_runs(results, budget) for budget in (results["experiment"]["budget"], None))
    transforms = list(results["experiment"]["transforms"])
    budgets = of_budgets(results, groups)
    n_axes = 1 + len(transforms) + bool(converged) + bool(budgets)
    # Four in a row would be too small to read in a page.
    n_rows = 2 if n_axes > 3 else 1
    n_columns = math.ceil(n_axes / n_rows)
    figure = Figure(figsize=(5 * n_columns + 1, 4.5 * n_rows), layout="constrained")
    axes = list(figure.subplots(n_rows, n_columns).flat)
    for axis in axes[n_axes:]:
        axis.set_axis_off()
    labels = [
        condition if transform == "-" or len(transforms) == 1 else f"{condition} ({transform})"
        for condition, transform in groups
    ]
    colours = [colormaps["tab20"](place) for place in range(20)]
    for place, runs in enumerate(groups.values()):
        colour = colours[place % len(colours)]
        for run in runs:
            seconds, errors = zip(*run["course"], strict=True)
            # Losses that synthesize at every step get no further than an epoch, a single point.
            axes[0].plot(seconds, errors, ".-" if len(seconds) == 1 else "-", color=colour, alpha=0.6, lw=1)
        for axis, name in zip(axes[1 : 1 + len(transforms)], transforms, strict=True):
            mean, half = interval([run["distance"][name] for run in runs])
            axis.errorbar(mean, place, xerr=half, fmt="o", color=colour, capsize=3)
    for place, key in enumerate(groups):
        if key in budgets:
            colour = colours[place % len(colours)]
            means, halves = zip(*map(interval, budgets[key].values()), strict=True)
            # A little apart along the axis of time, for the bars not to hide each other.
            placed = [budget * 1.012**place for budget in budgets[key]]
            bars = [half or 0.0 for half in halves]
            axes[-1].errorbar(placed, means, yerr=bars, fmt="o-", color=colour, capsize=3, lw=1)
    if budgets:
        axes[-1].set(
            xlabel="seconds of training, all of a run", ylabel=f"test distance, JTFS {transforms[0]}"
        )
        axes[-1].set(xscale="log", yscale="log")
        ticks = sorted({budget for of in budgets.values() for budget in of})
        axes[-1].set_xticks(ticks, [f"{budget:g}" for budget in ticks])
        axes[-1].minorticks_off()
    if converged:
        axis = axes[1 + len(transforms)]
        for place, key in enumerate(groups):
            colour = colours[place % len(colours)]
            for run in converged.get(key, []):
                axis.plot(run["seconds"], run["distance"][transforms[0]], "o", color=colour, ms=5, alpha=0.8)
        axis.set_title("runs to convergence, one point each, colours as above", fontsize="small")
        axis.set(xlabel="seconds of training until it ended by itself")
        axis.set(ylabel=f"test distance, JTFS {transforms[0]}", xscale="log", yscale="log")
    axes[0].set(xlabel="seconds of training", ylabel="validation mean |û − u|", xscale="log", yscale="log")
    axes[0].set_title("colours as in the next panel", fontsize="small")
    for place, name in enumerate(transforms, 1):
        axes[place].set_yticks(range(len(labels)), labels if place == 1 else [""] * len(labels))
        axes[place].set(xlabel=f"test distance, JTFS {name}")
        distances = [run["distance"][name] for runs in groups.values() for run in runs]
        # Over less than that, the labels of a logarithmic axis run into each other.
        if max(distances) > 4 * min(distances):
            axes[place].set_xscale("log")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Write the page and its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--docs", type=Path, default=Path("docs/evidence"))
    options = parser.parse_args()
    lines = [
        "# Evidence",
        "",
        "When does PNP loss beat P-loss? Made by `scripts/reproduce_training.py` and `scripts/evidence_page.py`;",
        "do not edit, run them again. Every loss trains the same encoder on the same sounds for the same time. Errors",
        "are on test sounds: in percent of each parameter's range, and as distances between the sounds of predicted",
        "and true parameters under each scattering transform and in auraloss's multiscale spectrograms.",
        "",
    ]
    for path in sorted(options.results.glob("training-*.json")):
        results = json.loads(path.read_text())
        lines += section(results)
        draw(results, options.docs / "images" / f"evidence-{results['experiment']['name']}.png")
    note = Path(__file__).with_name("evidence_notes.md")
    if note.exists():
        lines += [note.read_text().strip(), ""]
    (options.docs / "training.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
