"""Moves of features and metric of chirps that are delayed, with each sampling of moduli.

python benchmarks/delays.py
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor
from tqdm import tqdm

import pnp
from pnp._text import markdown_table
from pnp.features.standard import standard_features

# As many chirps for each seed, drawn over the whole cube, and delays of each in samples, up to the longest.
SEEDS, CHIRPS, DELAYS, LONGEST = 5, 8, 3, 3001


def main() -> None:
    """Measure, and print the table."""
    torch.set_num_threads(1)
    rows = []
    for sampling in ("critical", "fine"):
        moved = [moves(seed, sampling) for seed in tqdm(range(SEEDS), desc=sampling, unit="seed")]
        rows.append(
            [f'`sampling="{sampling}"`', *(f"{max(column):.1e}" for column in zip(*moved, strict=True))]
        )
    title = f"standard features of {SEEDS * CHIRPS} chirps, {DELAYS} delays each"
    table = markdown_table([title, "features move by, at most", "M moves by, at most"], rows)
    sys.stdout.write(f"{table}\n")


def moves(seed: int, sampling: str) -> tuple[float, float]:
    """Return the largest moves of features and of M relative to their norms."""
    generator = torch.Generator().manual_seed(seed)
    u = 2 * torch.rand(CHIRPS, 3, dtype=torch.float64, generator=generator) - 1
    own = measured(0, u, sampling)
    found = [
        [relative(a, b) for a, b in zip(measured(delay, u, sampling), own, strict=True)]
        for delay in torch.randint(1, LONGEST + 1, (DELAYS,), generator=generator).tolist()
    ]
    features, metric = (max(column) for column in zip(*found, strict=True))
    return features, metric


def measured(delay: int, u: Tensor, sampling: str) -> tuple[Tensor, Tensor]:
    """Return features and metrics of delayed chirps."""
    synth = pnp.synths.make("chirp", shift=delay)
    S, J = pnp.value_and_jacobian(synth, standard_features(synth, sampling=sampling), u)
    return S, J.mT @ J


def relative(moved: Tensor, own: Tensor) -> float:
    """Return the largest difference of a row relative to the row's norm."""
    difference = (moved - own).flatten(1).norm(dim=1) / own.flatten(1).norm(dim=1)
    return float(difference.max())


if __name__ == "__main__":
    main()
