"""Numbers of loss landscapes as text for the terminal, and as a page of the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["as_markdown", "as_text"]

# A model whose loss is further off than this is said not to follow it.
_ROUGH = 0.05

_HEADINGS = (
    "loss",
    "target",
    "lowest point",
    "cells off",
    "downhill",
    "each",
    "cosine",
    "reached",
    "slopes",
    "relief",
)


def as_text(result: Mapping[str, Any]) -> str:
    """Table of a scene for the terminal.

    Args:
        result: A scene of `landscapes.json`.

    Returns:
        Lines of text.
    """
    rows = [list(_HEADINGS), *_rows(result)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(
        [line.rstrip() for line in lines] + ["", *(f"{line}" for line in _conclusions(result)), ""]
    )


def as_markdown(results: Mapping[str, Any]) -> str:
    """The page about all scenes.

    Args:
        results: What `landscapes.json` holds.

    Returns:
        Markdown.
    """
    parts = [_INTRODUCTION.format(grid=results["grid"], samples=results["samples"], seed=results["seed"])]
    for name, result in results["scenes"].items():
        parts.append(_scene(name, result, results["grid"]))
    return "\n".join(parts)


def _scene(name: str, result: Mapping[str, Any], n: int) -> str:
    ranges = "; ".join(f"{p['name']} {p['low']:g} to {p['high']:g} {p['unit']}" for p in result["parameters"])
    target = ", ".join(
        f"{p['name']} = {result['target'][p['name']]:g} {p['unit']}" for p in result["parameters"]
    )
    model, pnp = result["model"], result["pnp"]
    method = (
        f"**How the JTFS descents were computed.** On bicubic patches through the features and Jacobians of the {n} × "
        f"{n} cached sounds. At {model['points']} random points the loss of this model is off by at most "
        f"{_percent(model['loss_error'])}, and the cosine between its gradient and the true one is at least "
        f"{model['gradient_cosine']:.4f}. Of {model['descents']} descents repeated with true evaluations under a shift "
        f"of 2¹⁰ samples, {_percent(model['true_reached'])} reach the target, and their ends lie at most "
        f"{model['end_distance_cells']:.2g} cells from the model's. Descents on spectrograms are true ones throughout."
    )
    if model["loss_error"] > _ROUGH:
        method += (
            " This loss varies between grid points more than such a model can follow: the shares that descents "
            "reach on it are rough, and the true descents are the ones to believe."
        )
    form = (
        "The quadratic form ½ Δuᵀ M Δu, with the metric M that the cache keeps for the target, against the true JTFS "
        "loss, along rays from the target. Lengths are in units of the cube, whose side is 2."
    )
    lines = [
        f"## {name.capitalize()}",
        "",
        f"Grid: {ranges}, both on a log scale. Target: {target}. JTFS: {_settings(result)}.",
        "",
        _table(_HEADINGS, _rows(result)),
        "",
        *(f"- {line}" for line in _conclusions(result)),
        "",
        f"![Scattering loss of {name}s: surfaces and gradient fields](images/{name}-jtfs.png)",
        "",
        f"![Multiscale spectrogram loss of {name}s: surfaces and gradient fields](images/{name}-mss.png)",
        "",
        method,
        "",
        f"### PNP loss of {name}s",
        "",
        form,
        "",
        f"![Contours of PNP loss over those of JTFS loss](images/{name}-pnp.png)",
        "",
        _table(
            ("direction", "within 10 % up to"),
            [(key, _length(value)) for key, value in pnp["radius"].items()],
        ),
        "",
        _radius_sentence(pnp["least_radius"]),
        "",
        "The same for the metric of every grid point, against grid points some cells away along either parameter:",
        "",
        _table(
            ("cells", "distance", "median of form / loss", "within 10 %", "within a factor of 2"),
            [
                (
                    str(pair["cells"]),
                    f"{pair['distance']:.2f}",
                    f"{pair['median_ratio']:.2f}",
                    _percent(pair["within_10_percent"]),
                    _percent(pair["within_factor_2"]),
                )
                for pair in pnp["pairs"]
            ],
        ),
        "",
    ]
    return "\n".join(lines)


def _rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    units = [p["unit"] for p in result["parameters"]]
    rows: list[tuple[str, ...]] = []
    for kind, conditions in result["claims"].items():
        for title, claim in conditions.items():
            lowest = ", ".join(f"{v:.3g} {u}" for v, u in zip(claim["minimum"], units, strict=True))
            offset = ", ".join(f"{cells:+.1f}" for cells in claim["offset"])
            rows.append(
                (
                    kind,
                    title,
                    lowest,
                    offset,
                    _percent(claim["downhill"]),
                    ", ".join(map(_percent, claim["each"])),
                    f"{claim['cosine']:.2f}",
                    f"{_percent(claim['reached'])} of {claim['starts']}",
                    f"{claim['sensitivity']:.2f}",
                    f"{claim['relief']:.2f}",
                )
            )
    return rows


def _conclusions(result: Mapping[str, Any]) -> list[str]:
    """Which of the published claims hold, read from the numbers."""
    lines = []
    first, second = (p["name"] for p in result["parameters"])
    for kind, conditions in result["claims"].items():
        shifted = {title: claim for title, claim in conditions.items() if title != "no shift"}
        at = [title for title, claim in shifted.items() if claim["minimum_at_target"]]
        away = [title for title in shifted if title not in at]
        reach = [claim["reached"] for claim in shifted.values()]
        if not away:
            where = "the lowest point is next to the target under every shift"
        elif not at:
            where = "the lowest point is away from the target under every shift"
        else:
            where = f"the lowest point is away from the target under {' and '.join(away)}, next to it under the others"
        low, high = _percent(min(reach)), _percent(max(reach))
        share = low if low == high else f"{low} to {high}"
        still = conditions["no shift"]
        slopes = [claim["sensitivity"] for claim in conditions.values()]
        each = [claim["each"][0] for claim in conditions.values()]
        lines.append(
            f"{kind}: {where}; descent reaches the target from {share} of the starts under a shift, from "
            f"{_percent(still['reached'])} without one; the slope along {first} is {min(slopes):.2f} to "
            f"{max(slopes):.2f} of that along {second}, and falls towards the target at {_percent(min(each))} to "
            f"{_percent(max(each))} of the points."
        )
    return lines


def _settings(result: Mapping[str, Any]) -> str:
    config = result["features"]["JTFS"]["config"]
    options = config["representation"]
    names = ("J", "Q", "J_fr", "Q_fr", "T", "F")
    listed = ", ".join(f"{name} = {_plain(options[name])}" for name in names)
    return f"{listed}, log(1 + {config['scale']:g} S)"


def _plain(value: Any) -> str:
    return f"({', '.join(map(str, value))})" if isinstance(value, list) else str(value)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _percent(share: float) -> str:
    percent = 100.0 * share
    return f"{percent:.2g} %" if percent < 1 else f"{percent:.0f} %"


def _length(value: float) -> str:
    return f"{value:.3f}" if value > 0 else "below 0.02"


def _radius_sentence(radius: float) -> str:
    if radius > 0:
        return f"In all of these directions the form is within 10 % of the loss up to a distance of {radius:.3f}."
    return "In some of these directions it is off by more than 10 % at a distance of 0.02 already."


_INTRODUCTION = """<!-- Made by `pnp figures --docs docs`; edit pnp/landscape_page.py instead. -->
# Loss landscapes

```sh
pnp figures --out figures
```

Whether a loss can be descended to the parameters of a sound is a matter of its landscape. This page compares
multiscale spectrogram loss (MSS) with joint time-frequency scattering (JTFS), as Vahidi et al., "Mesostructures: Beyond
spectrogram loss in differentiable time-frequency analysis" (2023) did, on {grid} × {grid} sounds of {samples} samples
at 8192 Hz around one target, and does so again when the target is delayed. It is generated: the command above, with
`--docs docs`, makes it with its pictures and numbers in about a quarter of an hour on two cores, and goes on where it
was interrupted. Every number is in `landscapes.json`.

![Scalograms of chirplet arpeggios](images/chirp-scalograms.png)

**Losses.** JTFS: ½‖Φ(x) − Φ(y)‖², with what the caches of this package hold. MSS: mean absolute difference of
magnitudes, averaged over windows of 32 to 1024 samples with a hop of a quarter.

**Shifts.** The target is delayed by so many samples; candidates are not. Under the random shift each comparison has a
delay of its own, 2⁸, 2⁹, 2¹⁰, 2¹¹ or 2¹² samples (seed {seed}); a descent keeps the one of its starting point. In the
paper it is the candidates that are delayed: the same, but for the ends of the sounds.

**Descent.** Steepest descent in the unit cube, where each parameter runs from −1 to 1 on its log scale. A step that
lowers the loss is taken and the next one doubled, otherwise it is halved. The true parameters are never looked at.

**Columns.** *Lowest point*: grid point of lowest loss, and how many cells it is from the target along each parameter.
*Downhill*: share of the grid points whose negative gradient points towards the target (cosine above 0), with the mean
*cosine*; *each*: the same for the slope along each parameter alone. *Reached*: share of the starting points, none of
them within a cell of the target, from which descent ends within one. *Slopes*: mean absolute slope along the first
parameter over that along the second. *Relief*: range of the loss along the grid line of the first parameter over that
along the second's, both next to the target.

Without a shift any loss vanishes at the target, so that its lowest point there says nothing.

**What was published, and what is found here.** MSS was found to be insensitive to event rate. It has slopes along that
parameter, and next to those along the chirp rate they are no smaller than JTFS's, as the column *slopes* tells. But
they point either way: *each* says at how many points the slope along a parameter falls towards the target, and a half
is what chance would give.
"""
