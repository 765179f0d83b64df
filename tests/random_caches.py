"""Caches of metrics that no synthesizer made, with as many parameters as a test asks for."""

from pathlib import Path

import numpy as np
import torch

import pnp
from pnp import Parameter, ParameterSpace, RiemannianMetric
from pnp.store.schema import CacheHeader, Status
from pnp.store.writer import CacheWriter


def metric_cache(
    path: Path,
    n_parameters: int,
    size: int = 24,
    names: list[str] | None = None,
    units: list[str] | None = None,
    silent: int = 0,
    alike: bool = True,
    seed: int = 0,
    failed: int = 0,
    features: str = "test.Features",
    block: int | None = None,
) -> pnp.MetricCache:
    """Write a cache with random Jacobians.

    Parameters 0, 1 and 2 sound alike where there are six or more; the last `silent` ones have no effect.
    """
    generator = torch.Generator().manual_seed(seed)
    names = names or [f"p{p:02}_level" for p in range(n_parameters)]
    units = units or ["Hz"] * n_parameters
    space = ParameterSpace(
        [Parameter(names[p], 1.0, 10.0, ("linear", "log")[p % 2], units[p]) for p in range(n_parameters)]
    )
    count = 2 * n_parameters + 6
    common = torch.randn(count, n_parameters, generator=generator, dtype=torch.float64)
    if n_parameters > 5 and alike:
        common[:, 1:3] = common[:, :1] + 0.2 * common[:, 1:3]
    loudness = torch.logspace(1.5, 0, n_parameters, dtype=torch.float64)
    loudness[n_parameters - silent :] = 0
    own = 0.2 * torch.randn(size, count, n_parameters, generator=generator, dtype=torch.float64)
    factor = RiemannianMetric.from_jacobian((common + own) * loudness).factor
    u = space.sample(size, method="uniform", seed=seed)
    status = np.full(size, int(Status.OK), "i1")
    status[:failed] = int(Status.EXCEPTION)
    reason = np.zeros(size, "S128")
    reason[:failed] = b"raised \x1b[31mValueError"
    config = {
        "synthesizer": {"class": "test.Synth", "n_samples": 1000, "sample_rate": 1000.0},
        "features": {"class": features},
        "space": space.to_dict(),
        "n_features": count,
        "store": [],
        "dtype": "float32",
        "precision": "float32",
        "seed": seed,
        "size": size,
        "block": block or size,
    }
    header = CacheHeader(
        space=space,
        n_rows=size,
        n_features=count,
        block=block or size,
        store=(),
        dtype="float32",
        config=config,
        versions={},
        date="2026-01-01",
    )
    known = {
        "id": np.arange(size),
        "fold": np.zeros(size, "i1"),
        "theta": space.from_unit(u).numpy(),
        "u": u.numpy(),
    }
    with CacheWriter(path, header, known) as writer:
        columns = {
            "M": (factor.mT @ factor).numpy(),
            "R": factor.numpy(),
            "sigma": torch.linalg.svdvals(factor).numpy(),
            "S": torch.randn(size, count, generator=generator).numpy(),
            "status": status,
            "reason": reason,
        }
        for number in range(-(-size // header.block)):
            rows = header.rows(number)
            writer.write_block(number, {name: values[rows] for name, values in columns.items()})
    return pnp.MetricCache(path)
