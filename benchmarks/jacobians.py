"""Errors of the Jacobians of every synthesizer, over its whole range, and the middle of the drum.

    python benchmarks/jacobians.py [--sounds 8] [--docs docs/evidence/jacobians.md]

Sounds have 4096 samples here, for central differences in float64 to be affordable.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from published import published_features
from torch import Tensor
from tqdm import tqdm

from pnp import RiemannianMetric, synths, value_and_jacobian
from pnp._text import markdown_table
from pnp.bench.environment import environment

N_SAMPLES = 4096
# In unit coordinates. A parameter that is hardly heard takes a long step to rise above rounding; one that moves
# partials a very short one, since a modulus bends sharply near its zeros.
STEPS = (3e-4, 1e-5, 1e-7, 1e-8, 1e-9)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sounds", type=int, default=8, help="points of the Sobol design")
    parser.add_argument("--docs", type=Path, help="also write the report to this page")
    options = parser.parse_args()
    rows = [
        row for name in tqdm(synths.available(), unit="synthesizer") for row in errors(name, options.sounds)
    ]
    page = report(rows, middle_of_the_drum(), options.sounds)
    sys.stdout.write(page)
    if options.docs:
        options.docs.write_text(page, "utf-8")


def errors(name: str, n_sounds: int) -> list[list[str]]:
    """For each parameter: norm of the error of its column of J over that column's, median and worst sound."""
    synth = synths.make(name, n_samples=N_SAMPLES)
    features = published_features(synth)
    u = 0.99 * synth.space.sample(n_sounds, seed=3)
    rounded = value_and_jacobian(synth, features, u.float())[1].double()
    features = features.double()
    exact = value_and_jacobian(synth, features, u)[1]

    def phi(u: Tensor) -> Tensor:
        values: Tensor = features(synth(synth.space.from_unit(u)))
        return values

    difference = torch.full((n_sounds, len(synth.space)), torch.inf, dtype=torch.float64)
    for column in range(len(synth.space)):
        for step in STEPS:
            offset = torch.zeros_like(u)
            offset[:, column] = step
            slope = (phi(u + offset) - phi(u - offset)) / (2 * step)
            error = (slope - exact[..., column]).norm(dim=-1) / exact[..., column].norm(dim=-1)
            difference[:, column] = torch.minimum(difference[:, column], error)
    rounding = (rounded - exact).norm(dim=1) / exact.norm(dim=1)
    whole = (rounded - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    return [
        [name, parameter, *(f"{value:.1e}" for value in values)]
        for parameter, *values in zip(
            synth.space.names,
            difference.median(0).values.tolist(),
            difference.amax(0).tolist(),
            rounding.median(0).values.tolist(),
            rounding.amax(0).tolist(),
            [float(whole.max())] * len(synth.space),
            strict=True,
        )
    ]


def middle_of_the_drum() -> list[list[str]]:
    """Eigenvalues of M where every parameter is in the middle of its range, or the membrane is square."""
    rows = []
    for kind, membrane, alpha in (
        ("modes (k, k), α = 2/3", {"modes": "diagonal"}, 0.0),
        ("all modes, square", {}, 1.0),
        ("all modes, α = 2/3", {}, 0.0),
    ):
        synth = synths.make("drum", **membrane)
        for normalization in ("mean", "kymatio"):
            for dtype in (torch.float64, torch.float32):
                features = published_features(synth, normalization=normalization).to(dtype)
                u = torch.tensor([[0.0, 0.0, 0.0, 0.0, alpha]], dtype=dtype)
                J = value_and_jacobian(synth, features, u)[1]
                eigenvalues = RiemannianMetric.from_jacobian(J).eigenvalues[0].tolist()
                name = str(dtype).removeprefix("torch.")
                rows.append([kind, normalization, name, *(f"{value:.1e}" for value in eigenvalues)])
    return rows


def report(rows: list[list[str]], middle: list[list[str]], n_sounds: int) -> str:
    """The page, in Markdown."""
    steps = ", ".join(f"{step:g}" for step in STEPS)
    columns = [
        "synthesizer",
        "parameter",
        "differences, median",
        "worst",
        "float32, median",
        "worst",
        "whole J",
    ]
    over_the_range = markdown_table(columns, rows)
    columns = ["membrane", "normalization", "type", "λ₁", "λ₂", "λ₃", "λ₄", "λ₅"]
    in_the_middle = markdown_table(columns, middle)
    return f"""# Accuracy of Jacobians

Made by `python benchmarks/jacobians.py --docs docs/evidence/jacobians.md`; do not edit, run it again.

## Over the whole range

Every synthesizer through compressed scattering in its standard settings, {n_sounds} points of a Sobol design over 0.99
of the cube, sounds of {N_SAMPLES} samples. Errors are norms of the difference over the norm, for each column of J.
*Differences*: float64 against central differences, at the best of the steps {steps} in the cube.
*Float32*: float32 against float64. The last column is the worst error of a whole Jacobian in float32.

{over_the_range}

## The middle of the drum

Eigenvalues of M at mid-range, full-length sounds. Where only the modes (k, k) sound, one direction of the five is
silent. Squared singular values keep it at zero or above, in float32 too. With all modes, the side ratio is heard
wherever the membrane is not square. On a square membrane exchanging the sides is a symmetry, and the ratio is silent to
first order.
The scale is that of the features: `normalization="mean"` is the default.

{in_the_middle}

{environment().cpu}, torch {torch.__version__}.
"""


if __name__ == "__main__":
    main()
