"""Offline stage: from synthesizer and feature map to a cache of metrics, in parallel and resumable."""

from __future__ import annotations

import copy
import hashlib
import logging
import os
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from pnp._protocols import check_synthesizer
from pnp._torch.device import usable_device
from pnp.offline.design import design_points, draw_folds, shard_rows
from pnp.offline.summary import PrecomputeSummary, summarize
from pnp.offline.trial import first_sound, probe_where_it_sounds
from pnp.offline.workers import Task, check_backend, computed_blocks
from pnp.store import CacheHeader, CacheWriter
from pnp.store.provenance import describe, library_versions
from pnp.store.schema import DTYPES, stored_columns

__all__ = ["precompute"]

_log = logging.getLogger(__name__)

_PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


def precompute(
    synth: nn.Module,
    features: nn.Module,
    out: str | os.PathLike[str],
    *,
    size: int | Sequence[int] | None = None,
    u: Tensor | np.ndarray | None = None,
    method: str = "sobol",
    seed: int = 0,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    jobs: int = 1,
    backend: str = "loky",
    block: int = 16,
    store: str | Sequence[str] = ("S", "J"),
    dtype: str = "float32",
    compression: str = "none",
    precision: str | None = None,
    device: str = "cpu",
    shard: tuple[int, int] = (0, 1),
    probe: bool = True,
    progress: bool = True,
) -> PrecomputeSummary:
    """Compute features, Jacobian and metric of every sound of a design, and keep them in a cache file.

    A file that is there already and was made by the same call is continued where it ends, and comes out as if
    it had never been interrupted. Blocks are computed by single-threaded PyTorch in workers and always hold
    the same sounds, so that every number is the same bit for bit whatever `jobs`.

    Args:
        synth: Synthesizer: any module with `space`, `sample_rate` and `n_samples`.
        features: Map from sounds (B, N) to (B, C).
        out: File to write, usually "….h5".
        size: Number of sounds of the design; for method "grid" also the points along each parameter.
        u: The design itself in place of `size`: scaled parameters in [-1, 1], shape (size, P).
        method: Design: "sobol", "uniform", "lhs" or "grid".
        seed: Seed of the design and of the folds.
        split: Shares of the train, validation and test folds; they sum to 1.
        jobs: Number of worker processes; 1 computes in this one.
        backend: "loky" for processes on this machine, "dask" for the workers of the current
            `dask.distributed.Client`.
        block: Sounds in a block, the unit of work and what a killed run loses at most.
        store: Which of "S" and "J" to keep beside the metric, or a level: "metric", "features", "jacobian".
        dtype: Type in which S and J are kept: "float16", "float32" or "float64". Metrics are always float64.
        compression: "gzip" compresses the file when its last sound is in, also one that was finished without;
            "none" leaves the file as it is. The numbers are the same.
        precision: Type in which they are computed; that of the features' own tensors if not given.
        device: Where to compute, "cpu" or "cuda"; on "cuda" with one job.
        shard: Part (i, n) of the design to compute, i from 0 to n - 1; parts are whole blocks.
        probe: Try the synthesizer on two sounds before a new file is made (`pnp.synths.probe`): that it is
            repeatable and that its derivatives are right.
        progress: Show a progress bar on standard error.

    Returns:
        Summary of the run.

    Raises:
        TypeError: If `synth` is not a synthesizer.
        ValueError: If an argument is out of its range, or the synthesizer fails the probe.
        SynthesisError: If no sound can be computed, or a worker dies of the same block twice.
        CacheConfigMismatch: If the file was made by another call; the message names the differences.
        CacheBusy: If another process is writing the file.
        CacheError: If the disk is too small or refuses to be written.
        KeyboardInterrupt: On Ctrl-C; what was computed is kept.

    Example:
        >>> precompute(synth, features, "cache/chirp.h5", size=4096, jobs=2)  # doctest: +SKIP

    Source:
        Han, Lostanlen, Lagrange: Perceptual-neural-physical sound matching. ICASSP 2023, Section 2.
    """
    started = time.monotonic()
    synth = check_synthesizer(synth, "synth")
    space = synth.space
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be at least 0 and below 2⁶³, got {seed}")
    design = design_points(space, size, u, method, seed)
    _check_arguments(jobs, backend, block, dtype, device, shard)
    working = _working_dtype(features, precision)
    synth = check_synthesizer(copy.deepcopy(synth).to(device).eval())
    features = copy.deepcopy(features).to(device).eval()
    trial = first_sound(synth, features, design, working, device)
    if probe and not Path(out).exists():
        probe_where_it_sounds(synth, design, device)
    config = {
        "synthesizer": {
            **describe(synth),
            "sample_rate": float(synth.sample_rate),
            "n_samples": synth.n_samples,
        },
        "features": describe(features),
        "space": space.to_dict(),
        "size": len(design),
        "method": method if u is None else "given",
        "seed": seed,
        "u_sha256": hashlib.sha256(design.numpy().tobytes()).hexdigest(),
        "split": [float(share) for share in split],
        "n_features": trial.n_features,
        "block": block,
        "store": list(stored_columns(store)),
        "dtype": dtype,
        "precision": str(working).removeprefix("torch."),
        "device": torch.device(device).type,
    }
    rows = shard_rows(len(design), block, shard)
    part = design[rows]
    header = CacheHeader(
        space=space,
        n_rows=len(part),
        n_features=trial.n_features,
        block=block,
        store=stored_columns(store),
        dtype=dtype,
        config=config,
        versions=library_versions(),
        date=_date(),
        first_row=rows.start,
        shard=(int(shard[0]), int(shard[1])),
    )
    known = {
        "id": np.arange(rows.start, rows.stop),
        "fold": draw_folds(len(design), split, seed)[rows],
        "theta": space.from_unit(part).numpy(),
        "u": part.numpy(),
    }
    # What is not stored may be of any size.
    storage = getattr(torch, dtype) if header.store else torch.float64
    task = Task(part.numpy(), block, trial.n_features, working, device, storage, torch.get_default_dtype())
    with CacheWriter(out, header, known, compression) as writer:
        n_resumed = sum(_length(writer.header, done) for done in writer.done)
        _announce(writer, n_resumed)
        try:
            with tqdm(total=header.n_rows, initial=n_resumed, unit="sound", disable=not progress) as bar:
                failed = 0
                for number, columns in computed_blocks(task, synth, features, writer.pending, jobs, backend):
                    writer.write_block(number, columns)
                    failed += int((columns["status"] > 1).sum())
                    bar.set_postfix({"failed": failed} if failed else {}, refresh=False)
                    bar.update(len(columns["status"]))
            if compression != "none":
                writer.compress()
        except KeyboardInterrupt:
            done = sum(_length(writer.header, done) for done in writer.done)
            _log.warning(
                "interrupted: %s has %d of %d sounds; run the same command again to continue",
                out,
                done,
                header.n_rows,
            )
            raise
    return summarize(Path(out), n_resumed, time.monotonic() - started)


def _check_arguments(
    jobs: int, backend: str, block: int, dtype: str, device: str, shard: tuple[int, int]
) -> None:
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(repr, DTYPES))}, got {dtype!r}")
    check_backend(backend)
    if torch.device(device).type != "cpu" and jobs > 1:
        raise ValueError(f"on device {device!r} use jobs=1, got {jobs}: processes would compete for it")
    usable_device(device)
    if not 0 <= shard[0] < shard[1]:
        raise ValueError(f"shard must be (i, n) with 0 <= i < n, got {tuple(shard)}")


def _working_dtype(features: nn.Module, precision: str | None) -> torch.dtype:
    if precision is not None:
        if precision not in _PRECISIONS:
            raise ValueError(f"precision must be 'float32' or 'float64', got {precision!r}")
        return _PRECISIONS[precision]
    for tensor in (*features.parameters(), *features.buffers()):
        if tensor.is_floating_point() or tensor.is_complex():
            return tensor.dtype.to_real()
    return torch.get_default_dtype()


def _date() -> str:
    # The convention of reproducible-builds.org: with it set, two runs make the same file to the last byte.
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    seconds = int(epoch) if epoch else int(time.time())
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def _length(header: CacheHeader, block: int) -> int:
    return len(range(header.n_rows)[header.rows(block)])


def _announce(writer: CacheWriter, n_resumed: int) -> None:
    header = writer.header
    state = f"going on after {n_resumed}" if n_resumed else "new"
    size = writer.bytes_needed / 1e6
    _log.info("%s: %d sounds, at most %.4g MB of disk, %s", writer.path, header.n_rows, size, state)
