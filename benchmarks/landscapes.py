#!/usr/bin/env python
"""The page docs/evidence/landscapes.md: `pnp figures`, and then its numbers and pictures in the documentation.

    python benchmarks/landscapes.py [--out figures] [--docs docs] [--jobs N]

Run it again and it continues where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pnp._files import write_atomically
from pnp._text import markdown_table
from pnp.landscapes.results import SceneResult
from pnp.landscapes.study import run_figures
from pnp.landscapes.text import HEADINGS, conclusions, rows, share_as_text

# A model whose loss is further off than this is said not to follow it.
_ROUGH = 0.05
# Small enough for a page.
_DPI = 64


def main() -> None:
    """Compute what is missing, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("figures"), help="numbers and pictures")
    parser.add_argument("--docs", type=Path, default=Path("docs/evidence"), help="folder of the page")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    options = parser.parse_args()
    for paragraph in run_figures(options.out, jobs=options.jobs, dpi=_DPI):
        sys.stdout.write(paragraph + "\n")
    write_page(options.out, options.docs)


def write_page(out: Path, docs: Path) -> None:
    """Write the page and its pictures from what `run_figures` left in a folder."""
    (docs / "images").mkdir(parents=True, exist_ok=True)
    for picture in out.glob("*.png"):
        shutil.copy(picture, docs / "images" / picture.name)
    results = json.loads((out / "landscapes.json").read_text(encoding="utf-8"))
    write_atomically(docs / "landscapes.md", as_markdown(results))


def as_markdown(results: Mapping[str, Any]) -> str:
    """Return the page about all scenes.

    Args:
        results: Content of `landscapes.json`.

    Returns:
        Markdown.
    """
    parts = [_INTRODUCTION.format(grid=results["grid"], samples=results["samples"], seed=results["seed"])]
    for name, result in results["scenes"].items():
        parts.append(_scene(name, SceneResult.from_dict(result), results["grid"]))
    return "\n".join(parts)


def _scene(name: str, result: SceneResult, n: int) -> str:
    ranges = "; ".join(f"{p['name']} {p['low']:g} to {p['high']:g} {p['unit']}" for p in result.parameters)
    target = ", ".join(f"{p['name']} = {result.target[p['name']]:g} {p['unit']}" for p in result.parameters)
    model, pnp = result.model, result.pnp
    method = (
        f"**How the JTFS descents were computed.** On bicubic patches through the features and Jacobians of the {n} × "
        f"{n} cached sounds. At {model.points} random points the loss of this model is off by at most "
        f"{share_as_text(model.loss_error)}. The cosine between its gradient and the true one is at least "
        f"{model.gradient_cosine:.4f}. Of {model.descents} descents repeated with true evaluations under a shift "
        f"of 2¹⁰ samples, {share_as_text(model.true_reached)} reach the target. Their ends lie at most "
        f"{model.end_distance_cells:.2g} cells from the model's. Descents on spectrograms are true ones throughout."
    )
    if model.loss_error > _ROUGH:
        method += (
            " This loss varies between grid points more than such a model can follow. The shares that descents "
            "reach on it are rough: believe the true descents."
        )
    form = (
        "The quadratic form ½ Δuᵀ M Δu is compared with the true JTFS loss along rays from the target. M is the metric "
        "that the cache keeps for the target. Lengths are in units of the cube, whose side is 2."
    )
    lines = [
        f"## {name.capitalize()}",
        "",
        f"Grid: {ranges}, both on a log scale. Target: {target}. JTFS: {_settings(result)}.",
        "",
        markdown_table(HEADINGS, rows(result), "l" * len(HEADINGS)),
        "",
        *(f"- {line}" for line in conclusions(result)),
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
        markdown_table(
            ("direction", "within 10 % up to"),
            [(key, _length(value)) for key, value in pnp.radius.items()],
        ),
        "",
        _radius_sentence(pnp.least_radius),
        "",
        "The same for the metric of every grid point, against grid points some cells away along either parameter:",
        "",
        markdown_table(
            ("cells", "distance", "median of form / loss", "within 10 %", "within a factor of 2"),
            [
                (
                    str(pair.cells),
                    f"{pair.distance:.2f}",
                    f"{pair.median_ratio:.2f}",
                    share_as_text(pair.within_10_percent),
                    share_as_text(pair.within_factor_2),
                )
                for pair in pnp.pairs
            ],
        ),
        "",
    ]
    return "\n".join(lines)


def _settings(result: SceneResult) -> str:
    config = result.features["JTFS"]["config"]
    options = config["representation"]
    names = ("J", "Q", "J_fr", "Q_fr", "T", "F")
    listed = ", ".join(f"{name} = {_plain(options[name])}" for name in names)
    return f"{listed}, log(1 + {config['scale']:g} S)"


def _plain(value: Any) -> str:
    return f"({', '.join(map(str, value))})" if isinstance(value, list) else str(value)


def _length(value: float) -> str:
    return f"{value:.3f}" if value > 0 else "below 0.02"


def _radius_sentence(radius: float) -> str:
    if radius > 0:
        return f"In all of these directions the form is within 10 % of the loss up to a distance of {radius:.3f}."
    return "In some of these directions it is off by more than 10 % at a distance of 0.02 already."


_INTRODUCTION = """<!-- Made by `python benchmarks/landscapes.py`; edit that file instead. -->
# Loss landscapes

```sh
pnp figures --out figures
```

The landscape of a loss decides whether descent on it reaches the parameters of a sound. This page compares multiscale
spectrogram loss (MSS) with joint time-frequency scattering (JTFS). It repeats an experiment of Vahidi et al.,
*Mesostructures: Beyond spectrogram loss in differentiable time-frequency analysis* (2023), and repeats it again with
a delayed target. There are {grid} × {grid} sounds of {samples} samples at 8192 Hz around each target.

The command above makes the pictures and numbers in about a quarter of an hour on two cores, and continues where it was
interrupted. `python benchmarks/landscapes.py` does the same and writes this page. Every number is in `landscapes.json`.

![Scalograms of chirplet arpeggios](images/chirp-scalograms.png)

**Losses.** JTFS: ½‖Φ(x) − Φ(y)‖², with what the caches of this package hold. MSS: mean absolute difference of
magnitudes, averaged over windows of 32 to 1024 samples with a hop of a quarter.

**Shifts.** The target is delayed by that many samples; candidates are not. Under the random shift each comparison has a
delay of its own: 2⁸, 2⁹, 2¹⁰, 2¹¹ or 2¹² samples (seed {seed}). A descent keeps the one of its starting point. In the
paper the candidates are delayed, which is the same but for the ends of the sounds.

**Descent.** Steepest descent in the unit cube, where each parameter runs from −1 to 1 on its log scale. A step that
lowers the loss is taken and the next one doubled, otherwise it is halved. The true parameters are never looked at.

**Columns.** *Lowest point*: grid point of lowest loss, and how many cells it is from the target along each parameter.
*Downhill*: share of the grid points whose negative gradient points towards the target (cosine above 0), with the mean
*cosine*. *Each*: the same for the slope along each parameter alone. *Reached*: share of the starting points, none of
them within a cell of the target, from which descent ends within one. *Slopes*: mean absolute slope along the first
parameter over that along the second. *Relief*: range of the loss along the grid line of the first parameter over that
along the second's, both next to the target.

Without a shift any loss vanishes at the target, so that its lowest point there says nothing.

**What was published, and what is found here.** MSS was found to be insensitive to event rate. It has slopes along that
parameter, and next to those along the chirp rate they are no smaller than JTFS's, as the column *slopes* tells. But
they point either way. *Each* says at how many points the slope along a parameter falls towards the target; chance gives
a half.
"""


if __name__ == "__main__":
    main()
