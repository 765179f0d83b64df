"""Page and figures of the panel, from its results."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pnp._text import counted, markdown_table

from .experiment import DEFAULT_STEP, RULES
from .judges import EARS, JUDGES

__all__ = ["Ratios", "as_markdown", "draw", "ears_table"]

_BASE = "P"
_DEFAULT = "PNP"
# The rule that comes nearest to the default.
_RIVAL = "PNP, reach 10"
# Aims: mean over the panel, and the worst member.
_MEAN_AIM, _WORST_AIM = 0.85, 1.05


class Ratios:
    """Distances relative to P-loss, paired by seed.

    Args:
        content: Results of the experiment.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.members: dict[str, Any] = content["members"]
        self._runs = {(run["member"], run["condition"], run["seed"]): run for run in content["runs"]}

    def runs(self, member: str, condition: str) -> list[dict[str, Any]]:
        """Runs by seed."""
        return [run for key, run in sorted(self._runs.items()) if key[:2] == (member, condition)]

    def of(self, member: str, condition: str, judge: str = "jtfs") -> list[float]:
        """Ratio of each seed for which P-loss was run too; below 1 is better than P-loss."""
        base = {
            run["seed"]: run["distance"][judge]
            for run in self.runs(member, _BASE)
            if judge in run["distance"]
        }
        return [
            run["distance"][judge] / base[run["seed"]]
            for run in self.runs(member, condition)
            if run["seed"] in base
        ]

    def mean(self, member: str, condition: str, judge: str = "jtfs") -> float | None:
        """Mean over seeds; None without a run."""
        values = self.of(member, condition, judge)
        return statistics.fmean(values) if values else None

    def panel(self, condition: str, judge: str = "jtfs", members: Sequence[str] = ()) -> list[float]:
        """Means of all members that have them."""
        means = [self.mean(member, condition, judge) for member in members or self.members]
        return [mean for mean in means if mean is not None]

    def conditions(self) -> list[str]:
        """All conditions but P-loss, in the order in which they were begun."""
        return [
            name for name in dict.fromkeys(run["condition"] for run in self._runs.values()) if name != _BASE
        ]


def as_markdown(content: dict[str, Any]) -> str:
    """The page.

    Args:
        content: Results of the experiment.
    """
    ratios = Ratios(content)
    page = (Path(__file__).parent / "page.md").read_text("utf-8")
    parts = {
        "summary": _summary(ratios),
        "main": _main(ratios),
        "why": _why(ratios),
        "rules": _rules(ratios),
        "reaches": _reaches(ratios),
        "multiscale": _multiscale(ratios),
        "members": _members(ratios),
        "raw": _raw(ratios),
        "settings": _settings(content),
    }
    for name, text in parts.items():
        page = page.replace("{{" + name + "}}", text)
    return page


def _summary(ratios: Ratios) -> str:
    means = {name: ratios.mean(name, _DEFAULT) for name in ratios.members}
    known = {name: mean for name, mean in means.items() if mean is not None}
    average = statistics.fmean(known.values())
    best, worst = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    others = {judge: statistics.fmean(ratios.panel(_DEFAULT, judge)) for judge in JUDGES if judge != "jtfs"}
    losing = [name for name in known if known[name] > _WORST_AIM]
    steps = [
        run["seconds"] / base["seconds"]
        for name in known
        for run, base in zip(ratios.runs(name, _DEFAULT), ratios.runs(name, _BASE), strict=False)
    ]
    offline = [_offline(ratios.members[name], name) / ratios.members[name]["size"] for name in known]

    def title(name: str) -> str:
        return f"{ratios.members[name]['title']}, {known[name]:.2f}"

    aims = (
        f"The aims were at most {_MEAN_AIM} on average, which {'holds' if average <= _MEAN_AIM else 'does not hold'}, "
        f"and never above {_WORST_AIM}, which "
        + ("holds." if not losing else f"does not hold for {_and([title(name) for name in losing])}.")
    )
    return _filled(
        f"**PNP loss, as it is by default, ends at {average:.2f} of P-loss's JTFS distance**, on average over "
        f"{counted(len(known), 'synthesizer')}. The range is {known[best]:.2f} ({ratios.members[best]['title']}) to "
        f"{known[worst]:.2f} ({ratios.members[worst]['title']}). By the ear of the multiscale spectrogram it is "
        f"{others['multiscale']:.2f}, and by log-mel levels, which no loss here is made of, {others['logmel']:.2f}. "
        f"{aims} A training step costs {statistics.median(steps):.2f} times one of P-loss. The cache costs "
        f"{min(offline):.2g} to {max(offline):.2g} s a sound, once, on one thread."
    )


def _offline(member: dict[str, Any], name: str) -> float:
    """Seconds of the cache of the default metric."""
    return _of_default(member["seconds"], name) or 0.0


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    mean = f"{statistics.fmean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.2f}–{max(values):.2f})"


def _main(ratios: Ratios) -> str:
    rows = []
    order = sorted(ratios.members, key=lambda name: ratios.mean(name, _DEFAULT) or 9.0)
    for name in order:
        if ratios.mean(name, _DEFAULT) is None:
            continue
        member = ratios.members[name]
        rows.append(
            [
                member["title"],
                str(len(member["parameters"])),
                str(len(ratios.of(name, _DEFAULT))),
                *(_spread(ratios.of(name, _DEFAULT, judge)) for judge in JUDGES),
            ]
        )
    rows.append(
        [
            "**mean**",
            "",
            "",
            *(f"**{statistics.fmean(ratios.panel(_DEFAULT, judge)):.2f}**" for judge in JUDGES),
        ]
    )
    return markdown_table(["synthesizer", "parameters", "seeds", *JUDGES.values()], rows)


def _of_default(found: dict[str, float], name: str) -> float | None:
    """Number about the cache of the default metric."""
    return found.get(name, found.get(f"{name}-step{DEFAULT_STEP:g}"))


def _why(ratios: Ratios) -> str:
    """Condition numbers beside ratios: how much the loss differs from P-loss, and how sure a ratio is."""
    rows = []
    order = sorted(ratios.members, key=lambda name: ratios.mean(name, _DEFAULT) or 9.0)
    for name in order:
        member = ratios.members[name]
        of_p = [run["distance"]["jtfs"] for run in ratios.runs(name, _BASE)]
        numbers = [_of_default(member[kind], name) for kind in ("condition", "saturated")]
        rows.append(
            [
                member["title"],
                _spread(ratios.of(name, _DEFAULT)),
                *("–" if number is None else f"{number:.2g}" for number in numbers),
                f"{max(of_p) / min(of_p):.2f}" if len(of_p) > 1 else "–",
            ]
        )
    columns = ["synthesizer", "JTFS", "condition of M", "in the loss", "P-loss, largest ÷ smallest of seeds"]
    return markdown_table(columns, rows)


def _rules(ratios: Ratios) -> str:
    """JTFS distances of other rules, over the members that have all of them."""
    conditions = [name for name in ratios.conditions() if name in RULES]
    rows = []
    complete = [name for name in ratios.members if all(ratios.of(name, one) for one in conditions)]
    for name, member in ratios.members.items():
        if any(ratios.of(name, one) for one in conditions[1:]):
            rows.append([member["title"], *(_spread(ratios.of(name, one)) for one in conditions)])
    if complete:
        means = [ratios.panel(one, members=complete) for one in conditions]
        label = f"**mean of {len(complete)}**"
        rows.append([label, *(f"**{statistics.fmean(values):.2f}**" for values in means)])
        rows.append([f"worst of {len(complete)}", *(f"{max(values):.2f}" for values in means)])
    return markdown_table(["synthesizer", *conditions], rows)


def _reaches(ratios: Ratios) -> str:
    """Mean and worst member for two reaches by every judge, over the members and seeds that have both."""
    rows = []
    for judge, title in JUDGES.items():
        means: list[list[float]] = [[], []]
        for name in ratios.members:
            pair = [ratios.of(name, condition, judge) for condition in (_DEFAULT, _RIVAL)]
            seeds = min(map(len, pair))
            if seeds:
                for values, mean in zip(pair, means, strict=True):
                    mean.append(statistics.fmean(values[:seeds]))
        if means[0]:
            rows.append([title, *(f"{statistics.fmean(mean):.3f} ({max(mean):.2f})" for mean in means)])
    return markdown_table(["mean (worst member)", "PNP, reach 3", _RIVAL], rows)


def _multiscale(ratios: Ratios) -> str:
    rows = []
    for name, member in ratios.members.items():
        runs = ratios.runs(name, "multiscale")
        if runs:
            rows.append(
                [
                    member["title"],
                    f"{statistics.fmean(run['epochs'] for run in ratios.runs(name, _BASE)):.0f}",
                    f"{statistics.fmean(run['epochs'] for run in runs):.0f}",
                    *(_spread(ratios.of(name, "multiscale", judge)) for judge in JUDGES),
                ]
            )
    if not rows:
        return (
            "It was not measured on the panel. [Training in detail](training.md) compares it on chirps and drums.\n"
            "It sees each sound at most once there, while the cheap losses see it twenty times."
        )
    note = "It was given the seconds that P-loss took. Ratios to P-loss:"
    return (
        note
        + "\n\n"
        + markdown_table(["synthesizer", "epochs of P-loss", "of multiscale", *JUDGES.values()], rows)
    )


def _members(ratios: Ratios) -> str:
    rows = [
        [
            member["title"],
            f"{member['n_samples']:,} at {member['rate']:,.0f} Hz",
            f"{member['size']:,}",
            f"{_offline(member, name) / member['size']:.2f}",
        ]
        for name, member in ratios.members.items()
    ]
    names = [
        textwrap.fill(
            f"- {member['title']}: `{', '.join(member['parameters'])}`", 120, subsequent_indent="  "
        )
        for member in ratios.members.values()
    ]
    table = markdown_table(["synthesizer", "samples", "sounds", "cache, s a sound"], rows)
    return table + "\n\nParameters:\n\n" + "\n".join(names)


def _raw(ratios: Ratios) -> str:
    rows = []
    for name, member in ratios.members.items():
        for condition in (_BASE, *ratios.conditions()):
            runs = ratios.runs(name, condition)
            if runs:
                rows.append(
                    [
                        member["title"],
                        condition,
                        str(len(runs)),
                        f"{statistics.fmean(run['seconds'] for run in runs):.1f}",
                        *(
                            f"{statistics.fmean(run['distance'][judge] for run in runs):.3g}"
                            for judge in JUDGES
                        ),
                        f"{50 * statistics.fmean(statistics.fmean(run['error']) for run in runs):.1f}",
                    ]
                )
    return markdown_table(
        ["synthesizer", "loss", "seeds", "s of training", *JUDGES.values(), "error, % of range"], rows
    )


def _settings(content: dict[str, Any]) -> str:
    environment = content.get("environment")
    if not environment:
        return ""
    return _filled(
        f"Measured at commit {content['commit']}: {environment['cpu']}, one thread, torch "
        f"{environment['versions']['torch']}."
    )


def ears_table(content: dict[str, Any]) -> str:
    """JTFS distances after training with metrics of several representations, as each of them hears it.

    Args:
        content: Results of the experiment.
    """
    ratios = Ratios(content)
    heard = {"jtfs": "1e4, standard"} | {name: name.removeprefix("scale ") for name in EARS}
    trained = {_DEFAULT: "jtfs"} | {f"{_DEFAULT}, {name}": name for name in EARS}
    rows = []
    for name, member in ratios.members.items():
        for condition, label in trained.items():
            if not ratios.of(name, condition, "scale 1e3"):
                continue
            changes = EARS.get(label, {})
            condition_number = member["condition"].get("-".join([name, *map(str, changes.values())]))
            rows.append(
                [
                    member["title"],
                    heard[label],
                    str(len(ratios.of(name, condition))),
                    *(
                        _spread(ratios.of(name, condition, judge))
                        for judge in (*heard, "multiscale", "logmel")
                    ),
                    "–" if condition_number is None else f"{condition_number:.1e}",
                    *([_matched(content, name, label)] if "matches" in content else []),
                ]
            )
    columns = [f"heard by {label}" for label in heard.values()]
    return markdown_table(
        [
            "synthesizer",
            "trained with",
            "seeds",
            *columns,
            "multiscale",
            "log-mel",
            "condition of M",
            *(["matched"] if "matches" in content else []),
        ],
        rows,
    )


def _matched(content: dict[str, Any], name: str, label: str) -> str:
    """Sounds that were matched to a hundredth of the range."""
    found = content["matches"].get(name, {}).get("standard" if label == "jtfs" else label)
    if found is None:
        return "–"
    return f"{sum(error < 0.02 for error in found['errors'])} of {len(found['errors'])}"


def draw(content: dict[str, Any], path: Path) -> None:
    """One dot a synthesizer and judge: mean ratio, with the range over seeds.

    Args:
        content: Results of the experiment.
        path: Image to write.
    """
    from matplotlib.figure import Figure

    ratios = Ratios(content)
    order = sorted(
        (name for name in ratios.members if ratios.mean(name, _DEFAULT) is not None),
        key=lambda name: ratios.mean(name, _DEFAULT) or 0.0,
        reverse=True,
    )
    figure = Figure(figsize=(9.5, 0.42 * len(order) + 1.5), layout="constrained")
    axes = figure.subplots(1, len(JUDGES), sharey=True, sharex=True)
    for axis, (judge, title) in zip(axes, JUDGES.items(), strict=True):
        for place, name in enumerate(order):
            values = ratios.of(name, _DEFAULT, judge)
            mean = statistics.fmean(values)
            colour = "#2a6f97" if mean <= 1.0 else "#c1440e"
            axis.plot([min(values), max(values)], [place, place], color=colour, lw=2.5, alpha=0.45)
            axis.plot(mean, place, "o", color=colour, ms=8)
        average = statistics.fmean(ratios.panel(_DEFAULT, judge))
        axis.axvline(1.0, color="0.4", lw=1)
        axis.axvline(average, color="#2a6f97", lw=1, ls="--")
        axis.set_title(f"{title}: mean {average:.2f}", fontsize=11)
        axis.grid(axis="y", color="0.92")
        axis.set_axisbelow(True)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(order)), [ratios.members[name]["title"] for name in order])
    axes[len(axes) // 2].set_xlabel(
        "distance after training with PNP loss ÷ with P-loss (line: range over seeds)"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _and(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def _filled(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
