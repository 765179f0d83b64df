"""Choice of a feature map on some publications, judged on the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .agreement import pooled

__all__ = ["Choice", "left_out", "split_halves"]

Table = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Choice:
    """Result of choosing on some publications and judging on others.

    Args:
        score: Pooled score of the chosen maps on studies that took no part in choosing.
        rival: Pooled score of the map they are compared with, on the same studies.
        better: Share of the splits in which the chosen map was ahead of the rival.
        chosen: Number of times that each map was chosen.
    """

    score: float
    rival: float
    better: float
    chosen: Mapping[str, int]


def _best(table: Table, candidates: Sequence[str], sizes: Mapping[str, int], studies: Sequence[str]) -> str:
    weights = [sizes[s] for s in studies]
    return max(candidates, key=lambda name: pooled([table[name][s] for s in studies], weights))


def _judge(
    table: Table,
    candidates: Sequence[str],
    rival: str,
    sizes: Mapping[str, int],
    splits: Sequence[Sequence[str]],
) -> Choice:
    """Choice with each of the splits held out in turn."""
    chosen: Counter[str] = Counter()
    scores: list[tuple[float, float, int]] = []
    ahead = []
    for held in splits:
        name = _best(table, candidates, sizes, [s for s in sizes if s not in held])
        chosen[name] += 1
        scores += [(table[name][s], table[rival][s], sizes[s]) for s in held]
        weights = [sizes[s] for s in held]
        ahead.append(
            pooled([table[name][s] for s in held], weights) > pooled([table[rival][s] for s in held], weights)
        )
    ours, theirs, weights = zip(*scores, strict=True)
    return Choice(pooled(ours, weights), pooled(theirs, weights), float(np.mean(ahead)), chosen)


def left_out(table: Table, candidates: Sequence[str], rival: str, sizes: Mapping[str, int]) -> Choice:
    """Each publication left out in turn: studies of one publication share sounds and listeners.

    Args:
        table: Score by map and study.
        candidates: Maps to choose from.
        rival: Map to compare with.
        sizes: Number of sounds of each study.
    """
    publications: dict[str, list[str]] = {}
    for study in sizes:
        publications.setdefault(study.partition("_")[0], []).append(study)
    return _judge(table, candidates, rival, sizes, list(publications.values()))


def split_halves(
    table: Table, candidates: Sequence[str], rival: str, sizes: Mapping[str, int], draws: int = 500
) -> Choice:
    """Random halves of the publications: what is chosen on one is judged on the other.

    Args:
        table: Score by map and study.
        candidates: Maps to choose from.
        rival: Map to compare with.
        sizes: Number of sounds of each study.
        draws: Number of halves.
    """
    publications = sorted({study.partition("_")[0] for study in sizes})
    random = np.random.default_rng(0)
    splits = []
    for _ in range(draws):
        held = set(random.permutation(publications)[: len(publications) // 2])
        splits.append([study for study in sizes if study.partition("_")[0] in held])
    return _judge(table, candidates, rival, sizes, splits)
