"""Page of the documentation, from the template `page.md` and results."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pnp._text import markdown_table

from .agreement import interval, pooled
from .choice import Choice, left_out, split_halves

__all__ = ["as_markdown"]

RIVAL = "MFCC over time"
# Published for all 21 studies at their own levels and lengths, Euclidean: triplets and Spearman.
_PUBLISHED = {"MFCC averaged over time": (0.691, 0.383), "MFCC over time": (0.722, 0.442)}
_NO_SCALE = "no compression"


@dataclass(frozen=True)
class _Scored:
    """Scores of every map, by distance and study."""

    maps: dict[str, Any]
    sizes: dict[str, int]

    def by_study(self, name: str, kind: str = "euclidean", score: str = "triplets") -> list[float]:
        studies = self.maps[name]["studies"]
        return [studies[study][kind][score] for study in self.sizes]

    def total(self, name: str, kind: str = "euclidean", score: str = "triplets") -> float:
        return pooled(self.by_study(name, kind, score), list(self.sizes.values()))

    def interval(self, name: str) -> str:
        low, high = interval(self.by_study(name), list(self.sizes.values()))
        return f"{low:.3f}–{high:.3f}"

    def ahead(self, name: str, rival: str = RIVAL) -> str:
        difference = [a - b for a, b in zip(self.by_study(name), self.by_study(rival), strict=True)]
        low, high = interval(difference, list(self.sizes.values()))
        mean = pooled(difference, list(self.sizes.values()))
        return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"

    def features(self, name: str) -> str:
        counts = sorted({study["features"] for study in self.maps[name]["studies"].values()})
        return f"{counts[0]:,}"

    def best(self, names: Iterable[str]) -> str:
        return max(names, key=self.total)

    def table(self, kinds: Sequence[str]) -> dict[str, dict[str, float]]:
        return {
            f"{name} | {kind}": dict(zip(self.sizes, self.by_study(name, kind), strict=True))
            for name in self.maps
            for kind in kinds
        }


def as_markdown(content: dict[str, Any], ears: str = "") -> str:
    """The page, or a short table where scattering was not measured.

    Args:
        content: Results, as `Results` holds them.
        ears: Table of what representations are worth in training, of another benchmark.
    """
    scored = _Scored(content["maps"], {name: one["sounds"] for name, one in content["studies"].items()})
    heads = _heads(scored)
    if not any(_is_scattering(one) for one in heads):
        return _main_table(scored, heads) + "\n"
    recommended = content["recommended"]
    parts = {
        "data": _data(content),
        "margin": f"{content['settings']['margin']:g}",
        "check": _check(content, scored.sizes),
        "main": _main_table(scored, heads, content["standard"], recommended),
        "summary": _summary(scored, content),
        "rate": f"{content['rate']:,}",
        "grid": _grid(scored, heads),
        "reading": _reading(scored, heads, recommended),
        **_validation(scored, heads),
        "weights": _weights(scored, content.get("weights")),
        "n_synth": str(content["elsewhere"]["sounds"]),
        "length": f"{content['elsewhere']['length']:,}",
        "dB": f"{content['elsewhere']['dB']:g}",
        "delay": str(content["elsewhere"]["delay"]),
        "loss": _loss(content["elsewhere"]),
        "trade": _trade(content["elsewhere"]),
        "ears": ears,
        "level": f"{content['settings']['level']:g}",
        "environment": f"Measured at commit {content['commit']}: {content['environment']['cpu']}, one thread, torch "
        f"{content['environment']['versions']['torch']}.",
    }
    page = (Path(__file__).parent / "page.md").read_text("utf-8")
    for name, text in parts.items():
        page = page.replace("{{" + name + "}}", text)
    return page


def _is_scattering(name: str) -> bool:
    return name.startswith("JTFS")


def _heads(scored: _Scored) -> dict[str, list[str]]:
    """Maps by what they compress."""
    heads: dict[str, list[str]] = {}
    for name in scored.maps:
        heads.setdefault(name.split(", scale ")[0].removesuffix(f", {_NO_SCALE}"), []).append(name)
    return heads


def _whole(name: str) -> str:
    """The same map, averaged over the whole sound."""
    return re.sub(r"T = \d+", "T = global", name)


def _scale(name: str) -> str:
    return name.split(", scale ")[1] if ", scale " in name else "–"


def _data(content: dict[str, Any]) -> str:
    studies = content["studies"]
    sounds = sum(one["sounds"] for one in studies.values())
    publications = len({name.partition("_")[0] for name in studies})
    rows = [
        [name, str(one["sounds"]), _range(one["shortest"], one["longest"], content["rate"])]
        for name, one in studies.items()
    ]
    settings = content["settings"]
    text = (
        f"Mean dissimilarity ratings of {sounds} sounds in {len(studies)} studies from {publications} publications, "
        f"at {content['rate']:,} Hz. Each sound is cut to its first {settings['samples']:,} samples, brought to a root "
        f"mean square of {settings['level']:g}, and followed by zeros where it is shorter. Lengths differ within a "
        "study where the table has a range."
    )
    return _filled(text) + "\n\n" + markdown_table(["study", "sounds", "length"], rows)


def _range(shortest: int, longest: int, rate: int) -> str:
    low, high = f"{shortest / rate:.2f}", f"{longest / rate:.2f}"
    return f"{low} s" if low == high else f"{low}–{high} s"


def _check(content: dict[str, Any], sizes: dict[str, int]) -> str:
    """Published figures of MFCC, of whole recordings at their own levels, beside the same from here."""
    found = []
    for name, (published, rank) in _PUBLISHED.items():
        studies = content["as published"][name]
        triplets, spearman = (
            pooled([studies[study][key] for study in sizes], list(sizes.values()))
            for key in ("triplets", "spearman")
        )
        found.append(
            f"{name} has {triplets:.3f} here and {published:.3f} there (Spearman {spearman:.3f} and {rank:.3f})."
        )
    return _filled(
        "**Check against what was published.** MFCC was also computed of whole recordings at their own levels, with "
        f"the published settings and Euclidean distance. {' '.join(found)} The published figures are of 21 studies, "
        f"these of {len(sizes)} of them. In the tables below, MFCC gets the same sounds as every other map, cut and at "
        "one level."
    )


def _main_table(
    scored: _Scored,
    heads: dict[str, list[str]],
    standard: Sequence[str] = (),
    recommended: str = "",
) -> str:
    shown = {head: scored.best(names) for head, names in heads.items() if not _is_scattering(head)}
    scattering = [name for head, names in heads.items() if _is_scattering(head) for name in names]
    shown |= {f"standard of the {synth}": name for synth, name in dict(standard).items()}
    if scattering:
        best = scored.best(scattering)
        shown |= {} if best == recommended else {"scattering, best of all": best}
        shown |= {
            "scattering, averaged over the sound": _whole(recommended),
            "scattering, recommended": recommended,
        }
    columns = ["map", "scale", "features", "triplets", "95 %", "ahead of MFCC", "Spearman", "cosine"]
    rows = [
        [
            label,
            _scale(name),
            scored.features(name),
            f"{scored.total(name):.3f}",
            scored.interval(name),
            "–" if name == RIVAL else scored.ahead(name),
            f"{scored.total(name, score='spearman'):.3f}",
            f"{scored.total(name, 'cosine'):.3f}",
        ]
        for label, name in sorted(shown.items(), key=lambda item: scored.total(item[1]))
    ]
    return markdown_table(columns, rows)


def _summary(scored: _Scored, content: dict[str, Any]) -> str:
    recommended, standard = content["recommended"], content["standard"]
    spectral = scored.best(name for name in scored.maps if not _is_scattering(name))
    was = "; ".join(
        f"the standard of the {synth} {scored.total(name):.3f}" for synth, name in standard.items()
    )
    text = (
        f"The recommended settings order {scored.total(recommended):.3f} of the triplets as listeners do; {was}. "
        f"The difference from the chirp's standard is {scored.ahead(recommended, standard['chirp'])}. The best "
        f"spectrogram, {spectral}, has {scored.total(spectral):.3f}; the recommended settings differ from it by "
        f"{scored.ahead(recommended, spectral)}. Where an interval has 0 inside, these studies do not say which of the "
        "two hears better. Both owe most of their agreement to two things: the constant in the logarithm, and time "
        "that is kept."
    )
    return _filled(text) + "\n\n```python\nimport pnp\n\n" + content["code"] + "\n```"


def _grid(scored: _Scored, heads: dict[str, list[str]]) -> str:
    rows = []
    for head, names in heads.items():
        if not _is_scattering(head):
            continue
        config = scored.maps[names[0]]["config"]
        best = scored.best(names)
        rows.append(
            [
                *(str(config[key]) for key in ("T", "F", "J")),
                f"({config['Q'][0]}, {config['Q'][1]})",
                f"{config['J_fr']}",
                config.get("first_order", "joint"),
                scored.features(best),
                *(f"{scored.total(name):.3f}" for name in names),
                f"{scored.total(best, 'cosine'):.3f}",
            ]
        )
    (names, *_) = (names for head, names in heads.items() if _is_scattering(head))
    scales = [_scale(name) if ", scale " in name else "none" for name in names]
    columns = ["T", "F", "J", "Q", "J_fr", "first order", "features", *scales, "cosine, best scale"]
    return markdown_table(columns, rows)


def _reading(scored: _Scored, heads: dict[str, list[str]], recommended: str) -> str:
    """Differences between pairs of rows that differ in one setting."""
    head = next(head for head, names in heads.items() if recommended in names)
    kymatio = head.removesuffix(", plain first order")
    scale = recommended.removeprefix(head)

    def pair(text: str, name: str, other: str) -> str:
        return f"- {text}: {scored.total(name):.3f} against {scored.total(other):.3f}, {scored.ahead(name, other)}."

    whole = _whole(kymatio)
    lines = [
        pair(
            "The scale, recommended against 1e3",
            recommended,
            recommended.replace(scale, ", scale 1e+03"),
        ),
        pair("First order averaged against joint", recommended, kymatio + scale),
        pair("Time kept, as recommended, against averaged over the sound", recommended, _whole(recommended)),
        pair(
            "The same with the joint first order",
            kymatio + scale,
            whole + scale,
        ),
        pair(
            "F = 2 against F = 8, with 3.5 times the features",
            kymatio.replace("F = 8", "F = 2") + scale,
            kymatio + scale,
        ),
    ]
    return "One choice at a time, with the interval of the difference:\n\n" + "\n".join(lines)


def _validation(scored: _Scored, heads: dict[str, list[str]]) -> dict[str, str]:
    candidates = [name for head, names in heads.items() if _is_scattering(head) for name in names]
    spectral = [name for name in scored.maps if not _is_scattering(name)]
    table = scored.table(("euclidean", "cosine"))
    rival = f"{RIVAL} | euclidean"
    rows, results = [], {}
    for family, names in (("scattering", candidates), ("spectrograms", spectral)):
        for kinds in (("euclidean",), ("euclidean", "cosine")):
            options = [f"{name} | {kind}" for name in names for kind in kinds]
            for method, judge in (("one publication out", left_out), ("halves", split_halves)):
                result = judge(table, options, rival, scored.sizes)
                results[family, len(kinds), method] = result
                rows.append(
                    [
                        family,
                        " or ".join(kinds),
                        method,
                        f"{result.score:.3f}",
                        f"{result.rival:.3f}",
                        f"{result.better:.0%}",
                    ]
                )
    columns = ["candidates", "distance", "held out", "chosen map", "rival", "splits ahead"]
    single: Choice = results["scattering", 1, "one publication out"]
    chosen = "\n".join(
        f"- {count}×: {name.split(' | ')[0].removeprefix('JTFS ')}"
        for name, count in sorted(single.chosen.items(), key=lambda item: -item[1])
    )
    return {
        "candidates": str(len(candidates)),
        "validation": markdown_table(columns, rows),
        "validated": f"With one publication left out in turn, these were chosen:\n\n{chosen}",
    }


def _weights(scored: _Scored, found: dict[str, Any] | None) -> str:
    """Worth of weights fitted to ratings, on publications that had no part in the fit."""
    if found is None:
        return "Weights of paths were not fitted to the ratings. None are shipped."
    sizes = list(scored.sizes.values())
    fitted = [found["studies"][study] for study in scored.sizes]
    equal = scored.by_study(found["map"])
    difference = [a - b for a, b in zip(fitted, equal, strict=True)]
    (low, high), mean = interval(difference, sizes), pooled(difference, sizes)
    verdict = (
        "They gain nothing that these studies could show, and none are shipped."
        if low <= 0
        else "They are not shipped: the gain is that of one data set."
    )
    return _filled(
        f"Weights of paths were fitted to the ratings of all publications but one, and judged on that one. There is a "
        f"factor for the first order, for each modulation rate and for each scale along log-frequency, "
        f"{found['factors']} in all. The recommended map then orders {pooled(fitted, sizes):.3f} of the triplets, and "
        f"{pooled(equal, sizes):.3f} with equal weights: {mean:+.3f} ({low:+.3f} to {high:+.3f}). {verdict}"
    )


def _loss(elsewhere: dict[str, Any]) -> str:
    columns = ["synthesizer", "map", "features", "s a sound", "condition", "sensitivity", "noise", "delay"]
    rows = [
        [
            synth,
            label,
            f"{one['features']:,}",
            f"{one['seconds']:.3f}",
            f"{one['condition']:.1e}",
            ", ".join(f"{name} {value:.2g}" for name, value in one["sensitivity"].items()),
            f"{one['noise']:.3f}",
            f"{one['delay']:.4f}",
        ]
        for synth, table in elsewhere.items()
        if isinstance(table, dict)
        for label, one in table.items()
    ]
    return markdown_table(columns, rows)


def _trade(elsewhere: dict[str, Any]) -> str:
    lines = []
    for synth, table in elsewhere.items():
        if isinstance(table, dict):
            new, old = table["recommended"], table["standard"]
            lines.append(
                _item(
                    f"{synth}: the recommended map has {new['condition'] / old['condition']:.2g} times the condition "
                    f"number of the standard one. Noise moves it {new['noise'] / old['noise']:.2g} times as far. "
                    f"It has {new['features'] / old['features']:.2g} times the features."
                )
            )
    return (
        "Against the standard:\n\n"
        + "\n".join(lines)
        + "\n\n"
        + _filled(
            "A large scale lifts weak paths to the size of strong ones. The ratings ask for it, but noise fills weak "
            'paths first. A local F lets the carrier be heard, which `F="global"` averages away. Next to the '
            "recommended map, averaging over the sound costs agreement with listeners. It needs far fewer features, is "
            "moved less by noise and by delays, and its metric is no worse conditioned. So ears and training may want "
            "different settings."
        )
    )


def _filled(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _item(text: str) -> str:
    return textwrap.fill(
        text, 120, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
