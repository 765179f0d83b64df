"""Verification of a cache: its bytes, its invariants, and some of its numbers computed again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from pnp._protocols import check_synthesizer
from pnp.jacobian import Derivatives, resolve
from pnp.offline.block import compute_block
from pnp.offline.comparison import TOLERANCE, deviations
from pnp.store import IntegrityReport, MetricCache, Status, check_integrity

__all__ = ["verify"]


def verify(
    path: str | os.PathLike[str],
    *,
    recompute: int = 0,
    seed: int = 0,
    synth: nn.Module | None = None,
    features: nn.Module | None = None,
) -> IntegrityReport:
    """Check every byte and every invariant of a cache, and compute some rows again from the file alone.

    Args:
        path: The cache.
        recompute: Number of random rows to compute again and to compare; 0 for none, all if there are fewer.
        seed: Seed of the choice of rows.
        synth: Synthesizer, where the cache was made with one that is not registered.
        features: Feature map, where the cache was made with one that is not this package's.

    Returns:
        Report with all problems.

    Raises:
        FileNotFoundError: If there is no such file.
        CacheError: If it is not a metric cache, its header cannot be read, or rows are to be computed again
            and the file does not say how.
    """
    report = check_integrity(path)
    if report.ok:
        with MetricCache(path) as cache:
            report = replace(report, derivatives=str(cache.header.derivatives.get("summary", "")))
    # Rows that are damaged cannot be compared.
    if recompute < 1 or not report.ok:
        return report
    # Needed for this alone, and with them the scattering transform.
    from pnp.offline.rebuild import features_of, synthesizer_of

    with MetricCache(path) as cache:
        rows = _choose(cache.rows(), recompute, seed)
        synth = synthesizer_of(cache) if synth is None else synth
        features = features_of(cache, synth) if features is None else features
        problems = tuple(_deviations(cache, synth, features, rows)) if len(rows) else ()
    return replace(report, problems=report.problems + problems, n_recomputed=len(rows))


def _choose(rows: Tensor, n: int, seed: int) -> Tensor:
    order = np.random.default_rng(seed).permutation(len(rows))[:n]
    return rows[torch.from_numpy(np.sort(order))]


def _deviations(cache: MetricCache, synth: nn.Module, features: nn.Module, rows: Tensor) -> Iterator[str]:
    precision = cache.config["precision"]
    dtype, tolerance = getattr(torch, precision), TOLERANCE[precision]
    synth, features = synth.to(dtype).eval(), features.to(dtype).eval()
    block, derivatives = cache.header.block, Derivatives.from_config(cache.config)
    u = cache.design[rows[:1]].to(dtype)
    resolved = resolve(check_synthesizer(synth), features, u, derivatives)
    synth, features = resolved.synth, resolved.features
    for part in rows.split(block):
        new = compute_block(
            synth,
            features,
            cache.design[part].numpy(),
            cache.header.n_features,
            dtype,
            "cpu",
            derivatives=derivatives,
            seeds=int(cache.config.get("seeds", 1)),
        )
        stored = {"M": cache.metric(part).matrix.numpy()}
        if "S" in cache.stored:
            stored["S"] = cache.features(part).double().numpy()
        if cache.choice_distances:
            squared = torch.cat(list(cache.choice_distances.values()), 1)[part].numpy()
            # Rounding of a distance is relative to the features whose difference it is.
            size = np.linalg.norm(new["S"], axis=1, keepdims=True)
            stored["choice_distances"] = np.hstack([np.sqrt(squared), size])
            new["choice_distances"] = np.hstack([np.sqrt(new["choice_distances"]), size])
        for place, row in enumerate(part.tolist()):
            if new["status"][place] != Status.OK:
                yield f"row {row} fails when it is computed again: {new['reason'][place].decode()}"
                continue
            found, expected = ({n: v[place] for n, v in columns.items()} for columns in (new, stored))
            for name, difference in deviations(found, expected, tolerance, cache.header.dtype):
                yield (
                    f"row {row}: {name} comes out different when it is computed again, by {difference:.1e} of its "
                    f"norm (at most {tolerance:g} is rounding)"
                )
