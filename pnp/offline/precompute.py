"""Offline stage: from synthesizer and feature map to a cache of metrics, in parallel and resumable."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import torch
from torch import Tensor, nn

from pnp._arguments import file_path, shown, truth, whole_number, whole_numbers
from pnp._progress import Bar, ticking
from pnp._protocols import SynthesizerModule, check_synthesizer
from pnp._torch.device import usable_device
from pnp._torch.tensors import tensors_of
from pnp.jacobian import Derivatives
from pnp.jacobian.numerical import numerical_of
from pnp.offline.comparison import check_same_numbers
from pnp.offline.design import design_points, draw_folds, shard_rows
from pnp.offline.draws import check_seeds
from pnp.offline.feature_probe import probe_derivative, probe_features
from pnp.offline.kind_probe import probe_kinds
from pnp.offline.placement import placed
from pnp.offline.presets import read_presets
from pnp.offline.progress import Preparation
from pnp.offline.summary import PrecomputeSummary, summarize
from pnp.offline.trial import Trial, first_sound, probe_where_it_sounds
from pnp.offline.workers import Task, check_backend, computed_blocks
from pnp.parameters.values import rounded
from pnp.store import CacheHeader, CacheWriter, MetricCache, Status
from pnp.store.provenance import describe, library_versions
from pnp.store.schema import DTYPES, stored_columns
from pnp.synths.probe import probe_tangents

__all__ = ["precompute"]

_log = logging.getLogger(__name__)

# Hours from which on a user is told before a run begins.
_LONG = 24.0

_PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


def precompute(
    synth: nn.Module,
    features: nn.Module,
    out: str | os.PathLike[str],
    *,
    size: int | Sequence[int] | None = None,
    u: Tensor | np.ndarray | None = None,
    theta: Tensor | np.ndarray | Sequence[Sequence[float]] | str | os.PathLike[str] | None = None,
    method: str = "sobol",
    seed: SupportsIndex = 0,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    derivatives: str = "auto",
    step: float | Mapping[str, float] | None = None,
    jobs: SupportsIndex = 1,
    backend: str = "loky",
    block: SupportsIndex = 16,
    seeds: SupportsIndex = 1,
    store: str | Sequence[str] | None = None,
    dtype: str = "float32",
    compression: str = "none",
    precision: str | None = None,
    device: str = "cpu",
    shard: tuple[int, int] = (0, 1),
    probe: bool = True,
    retry_failed: bool = False,
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
        u: The design itself in place of `size`: scaled parameters in [-1, 1], shape (size, P), or (size, D) where the
            space has choices or conditions. Integers and choices are moved to the nearest whole value.
        theta: The design in physical units: an array of shape (size, D), or a CSV file whose first line names the
            columns. A column `fold` (train, validation or test) takes the place of `split`.
        method: Design: "sobol", "uniform", "lhs" or "grid".
        seed: Seed of the design and of the folds.
        split: Shares of the train, validation and test folds; they sum to 1.
        derivatives: Kind of derivatives: "forward" for exact ones by forward mode; "difference" for differences of
            features over ±`step` of each parameter, (Φ(u + h) - Φ(u - h)) / 2h, clipped at the faces of the cube, for
            any synthesizer; "auto" for exact ones, and differences for the parameters that `step` names.
        step: Step h in units of u (the cube's side is 2): a number for all continuous parameters, or from name to
            number. A step of the size of a network's error, 0.1 to 0.3, makes a metric at that scale. "difference"
            takes 0.1 if it is not given. A number makes differences of all derivatives.
        jobs: Number of worker processes; 1 computes in this one.
        backend: "loky" for processes on this machine, "dask" for the workers of the current
            `dask.distributed.Client`.
        block: Sounds in a block, the unit of work and what a killed run loses at most.
        seeds: Draws of a random synthesizer that each metric is the mean over; the sound's own is the first. The space
            needs a condition of kind "seed". With more than one, there is no single J to keep.
        store: Those of "S" and "J" to keep beside the metric, or a level: "metric", "features", "jacobian". Both if
            not given.
        dtype: Type in which S and J are kept: "float16", "float32" or "float64". Metrics are always float64.
        compression: "gzip" compresses the file when its last sound is in, also one that was finished without;
            "none" leaves the file as it is. The numbers are the same.
        precision: Type in which they are computed; that of the features' own tensors if not given.
        device: Device to compute on, "cpu" or "cuda"; on "cuda" with one job.
        shard: Part (i, n) of the design to compute, i from 0 to n - 1; parts are whole blocks.
        probe: Try synthesizer and features on two sounds before a new file is made (`pnp.synths.probe`): that they
            are repeatable, treat each sound alone, and have right derivatives.
        retry_failed: Compute blocks with failed sounds again.
        progress: Show a progress bar on standard error.

    Returns:
        Summary of the run.

    Raises:
        TypeError: If `synth` is not a synthesizer, or an argument that is a whole number is not.
        ValueError: If an argument is out of its range, or the synthesizer fails the probe.
        SynthesisError: If no sound can be computed, the machine fails (memory, files), or a worker dies of the same
            block twice.
        ImportError: If the backend is not installed.
        CacheConfigMismatch: If the file was made by another call; the message names the differences. Also if its
            first sound comes out different though the settings are the same.
        CacheBusy: If another process is writing the file.
        CacheError: If the disk is too small or refuses to be written.
        KeyboardInterrupt: On Ctrl-C; what was computed is kept.

    Examples:
        >>> precompute(synth, features, "cache/chirp.h5", size=4096, jobs=2)  # doctest: +SKIP

    Source:
        Han, Lostanlen, Lagrange: Perceptual-neural-physical sound matching. ICASSP 2023, Section 2.
    """
    started = time.monotonic()
    synth = check_synthesizer(synth, "synth")
    if not isinstance(features, nn.Module):
        raise TypeError(f"features must be a torch.nn.Module, got {shown(features)}")
    out = file_path("out", out)
    progress, probe = truth("progress", progress), truth("probe", probe)
    retry_failed = truth("retry_failed", retry_failed)
    seed = whole_number("seed", seed, least=0, most=2**63 - 1)
    block, jobs = whole_number("block", block, least=1), whole_number("jobs", jobs, least=1)
    space, seeds = synth.space, whole_number("seeds", seeds)
    check_seeds(space, seeds)
    kept = stored_columns(("S", "J") if store is None and seeds == 1 else ("S",) if store is None else store)
    if seeds > 1 and "J" in kept:
        raise ValueError(
            f"seeds={seeds} makes a mean of metrics and no single J to keep; use store='features'"
        )
    if theta is not None and u is not None:
        raise ValueError("theta and u are the same design in other units; give one of both")
    presets = None if theta is None else read_presets(space, theta)
    u = u if presets is None else presets.u
    asked = Derivatives.of(space, derivatives, step)
    design = design_points(space, size, u, method, seed)
    _check_arguments(jobs, backend, dtype, device, shard)
    rows = shard_rows(len(design), block, shard)
    part = design[rows]
    working = _working_dtype(features, precision)
    # Before their first call, which may leave something behind in them.
    described = {
        "synthesizer": {
            **describe(synth),
            "sample_rate": float(synth.sample_rate),
            "n_samples": synth.n_samples,
        },
        "features": describe(features),
    }
    with placed(synth, "synthesizer", device) as synth, placed(features, "features", device) as features:
        is_new = not Path(out).exists()
        with Preparation.of(progress) as line:
            trial = _prepared(synth, features, part, working, device, asked, line, probe=probe and is_new)
        synth, features = trial.resolved.synth, trial.resolved.features
        if jobs > 1:
            # Hooks such as those of weight_norm leave tensors of the last call in the module, which travels to workers:
            # after a derivative these cannot be pickled, after a plain call they can.
            with torch.no_grad():
                features(trial.sound)
        config = {
            **described,
            "space": space.to_dict(),
            "size": len(design),
            "method": method if u is None else "given",
            "seed": seed,
            "u_sha256": hashlib.sha256(design.numpy().tobytes()).hexdigest(),
            "split": [float(share) for share in split],
            "n_features": trial.n_features,
            "block": block,
            "store": list(kept),
            "dtype": dtype,
            "precision": str(working).removeprefix("torch."),
            "device": torch.device(device).type,
        }
        # Caches of earlier versions know nothing else.
        if not asked.is_default:
            config["derivatives"] = asked.to_dict()
        if seeds > 1:
            config["seeds"] = seeds
        folds = None if presets is None else presets.folds
        if folds is not None:
            config["fold_sha256"] = hashlib.sha256(folds.tobytes()).hexdigest()
        header = CacheHeader(
            space=space,
            n_rows=len(part),
            n_features=trial.n_features,
            block=block,
            store=kept,
            dtype=dtype,
            config=config,
            versions=library_versions(),
            date=_date(),
            first_row=rows.start,
            shard=(int(shard[0]), int(shard[1])),
            derivatives=trial.resolved.describe(asked),
        )
        physical = rounded(space, space.from_unit(part))
        first, last = len(space), len(space) + len(space.choices)
        known = {
            "id": np.arange(rows.start, rows.stop),
            "fold": (draw_folds(len(design), split, seed) if folds is None else folds)[rows],
            "theta": physical[:, :first].numpy(),
            "u": part[:, :first].numpy(),
            "choices": physical[:, first:last].long().numpy(),
            "conditions": physical[:, last:].numpy(),
        }
        # What is not stored may be of any size.
        storage = getattr(torch, dtype) if header.store else torch.float64
        task = Task(
            part.numpy(),
            block,
            trial.n_features,
            working,
            device,
            storage,
            torch.get_default_dtype(),
            asked,
            seeds,
            trial.known,
        )
        with CacheWriter(out, header, known, compression) as writer:
            if not is_new:
                check_same_numbers(out, synth, features, trial, working, device, asked, seeds)
            if retry_failed:
                writer.reopen(_blocks_with_failures(out, block))
            n_resumed = sum(_length(writer.header, done) for done in writer.done)
            _announce(writer, n_resumed, trial, jobs)
            try:
                _compute(task, synth, features, writer, jobs, backend, progress=progress)
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


def _prepared(
    synth: SynthesizerModule,
    features: nn.Module,
    part: Tensor,
    dtype: torch.dtype,
    device: str,
    asked: Derivatives,
    line: Preparation,
    *,
    probe: bool,
) -> Trial:
    """Compute the first sound, with derivatives that synthesizer and features have, and probe them if told to."""
    points = part[:0]
    if probe:
        line.say("checking the synthesizer")
        points, sounds = probe_where_it_sounds(synth, part, device)
        if not synth.space.is_plain:
            probe_kinds(synth, part, device)
        line.say("checking the features")
        if len(sounds):
            probe_features(features, sounds.to(dtype))
    if len(points) and asked.kind != "difference" and numerical_of(synth) is None:
        line.say("checking derivatives of the synthesizer")
        probe_tangents(synth, points, line.steps, without=asked.steps)
    line.say("computing a first sound")
    trial = first_sound(synth, features, part, dtype, device, asked, line.steps)
    if probe:
        line.say("checking derivatives of the features")
        probe_derivative(features, trial)
    return trial


def _compute(
    task: Task,
    synth: nn.Module,
    features: nn.Module,
    writer: CacheWriter,
    jobs: int,
    backend: str,
    *,
    progress: bool,
) -> None:
    """Compute and write the pending blocks, under a progress bar."""
    n_rows = writer.header.n_rows
    initial = sum(_length(writer.header, done) for done in writer.done)
    with Bar(total=n_rows, initial=initial, unit="sound", disable=not progress) as bar, ticking(bar):
        failed = 0
        for number, columns in computed_blocks(task, synth, features, writer.pending, jobs, backend):
            writer.write_block(number, columns)
            failed += int((columns["status"] > Status.OK).sum())
            bar.set_postfix({"failed": failed} if failed else {}, refresh=False)
            bar.update(len(columns["status"]))


def _blocks_with_failures(path: str | os.PathLike[str], block: int) -> list[int]:
    with MetricCache(path) as cache:
        return sorted({row // block for row in cache.failures})


def _check_arguments(jobs: int, backend: str, dtype: str, device: str, shard: tuple[int, int]) -> None:
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(repr, DTYPES))}, got {dtype!r}")
    check_backend(backend)
    if not str(device).startswith("cpu") and jobs > 1:
        raise ValueError(f"on device {device!r} use jobs=1, got {jobs}: processes would compete for it")
    usable_device(device)
    if len(whole_numbers("shard", shard, least=0)) != 2 or not shard[0] < shard[1]:
        raise ValueError(f"shard must be (i, n) with 0 <= i < n, got {tuple(shard)}")


def _working_dtype(features: nn.Module, precision: str | None) -> torch.dtype:
    if precision is not None:
        if precision not in _PRECISIONS:
            raise ValueError(f"precision must be 'float32' or 'float64', got {precision!r}")
        return _PRECISIONS[precision]
    for tensor in tensors_of(features):
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


def _announce(writer: CacheWriter, n_resumed: int, trial: Trial, jobs: int) -> None:
    """Say what there is to do, and how long it will take where that is long."""
    header = writer.header
    hours = (header.n_rows - n_resumed) * trial.seconds / jobs / 3600.0
    if hours > _LONG:
        _log.warning(
            "a sound takes about %.3g s with its derivatives, and %d of them about %.3g hours with jobs=%d; shorter "
            "sounds, fewer parameters or other features are faster, and `shard` divides the work between machines",
            trial.seconds,
            header.n_rows - n_resumed,
            hours,
            jobs,
        )
    state = f"going on after {n_resumed}" if n_resumed else "new"
    size = writer.bytes_needed / 1e6
    _log.info(
        "%s: %d sounds, at most %.4g MB of disk, %s; a sound takes about %.2g s with its derivatives",
        writer.path,
        header.n_rows,
        size,
        state,
        trial.seconds,
    )
