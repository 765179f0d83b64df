"""Comparison of rows that are computed again with those that a cache has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn

from pnp._torch.single_thread import single_thread
from pnp.errors import CacheConfigMismatch
from pnp.jacobian import Derivatives, sound_and_jacobian
from pnp.offline.draws import with_draw
from pnp.offline.trial import Trial
from pnp.store import MetricCache

__all__ = ["TOLERANCE", "check_same_numbers", "deviations"]

# Relative difference that another batch, another number of threads or another machine may cause. Wrong settings or
# versions change the first digits.
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}

# The same where a run goes on, perhaps on another machine and with other libraries: finite differences of a program in
# float64 keep this many digits.
_CONTINUED = {"float32": 1e-3, "float64": 1e-6}


def deviations(
    new: Mapping[str, np.ndarray], stored: Mapping[str, np.ndarray], tolerance: float, dtype: str
) -> Iterator[tuple[str, float]]:
    """Find the columns of a row that differ by more than rounding.

    Args:
        new: Columns of the row as they are computed now.
        stored: Columns of the row as a cache has them.
        tolerance: Difference that rounding may cause, relative to the norm.
        dtype: Type in which the cache keeps features.

    Yields:
        Name and relative difference of each column that differs.
    """
    for name, values in stored.items():
        rounding = float(np.finfo(dtype).eps) if name == "S" else 0.0
        distance, scale = float(np.linalg.norm(new[name] - values)), float(np.linalg.norm(values))
        if not distance <= max(tolerance, rounding) * scale:
            yield name, distance / scale if scale > 0 else np.inf


def check_same_numbers(
    path: str | os.PathLike[str],
    synth: nn.Module,
    features: nn.Module,
    trial: Trial,
    dtype: torch.dtype,
    device: str,
    derivatives: Derivatives,
    seeds: int = 1,
) -> None:
    """Refuse to continue a cache whose numbers do not come out again.

    Settings do not know everything: a closure, a global variable or a file that a program reads decides about the sound
    as well. So one row that the cache has is computed again.

    Args:
        path: The cache.
        synth: Synthesizer.
        features: Feature map.
        trial: First sound of this run.
        dtype: Type of u that the synthesizer is given.
        device: Device of the modules.
        derivatives: Kind of derivative of each parameter.
        seeds: Draws that a metric is the mean over.

    Raises:
        CacheConfigMismatch: If the row comes out different.
    """
    with MetricCache(path) as cache:
        rows = cache.rows().tolist()
        if not rows:
            return
        row = trial.row if trial.row in rows else rows[0]
        S, J = trial.features, trial.jacobian
        if row != trial.row:
            with single_thread():
                u = cache.design[row : row + 1].to(device=device, dtype=dtype)
                S, J = sound_and_jacobian(synth, features, u, derivatives)[1:]
        draws = [J]
        for draw in range(1, seeds):
            with single_thread():
                u = with_draw(cache.header.space, cache.design[row : row + 1], draw)
                draws.append(sound_and_jacobian(synth, features, u.to(device, dtype), derivatives)[2])
        J = torch.cat(draws, 1)[0].to("cpu", torch.float64)
        new = {"M": (J.mT @ J / seeds).numpy(), "S": S[0].to("cpu", torch.float64).numpy()}
        stored = {"M": cache.metric(row).matrix.numpy()}
        if "S" in cache.stored:
            stored["S"] = cache.features(row).double().numpy()
        tolerance = _CONTINUED[str(dtype).removeprefix("torch.")]
        for name, difference in deviations(new, stored, tolerance, cache.header.dtype):
            raise CacheConfigMismatch(
                f"{path} was made with another synthesizer or other features, though their settings are the same: "
                f"{name} of row {row} differs by {difference:.1e} of its norm, and at most {tolerance:g} is rounding. "
                "Likely a variable, a file or a library that they use has changed; choose another file, or delete "
                "this one to start over."
            )
