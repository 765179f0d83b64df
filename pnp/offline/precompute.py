"""The offline stage: from synthesizer and feature map to a cache of metrics, in parallel and resumable."""

from __future__ import annotations

import copy
import hashlib
import logging
import os
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from pnp._torch.device import usable_device
from pnp.errors import SynthesisError
from pnp.jacobian import value_and_jacobian
from pnp.offline.block import compute_block, single_thread
from pnp.parameters import ParameterSpace
from pnp.store import CacheHeader, CacheWriter, MetricCache
from pnp.store.provenance import describe, library_versions
from pnp.store.schema import DTYPES, stored_columns
from pnp.synths.clipping import is_clipped
from pnp.synths.probe import probe as probe_synthesizer
from pnp.synths.registry import check_interface

__all__ = ["PrecomputeSummary", "precompute"]

_log = logging.getLogger(__name__)

_BACKENDS = ("loky", "dask")
_PRECISIONS = {"float32": torch.float32, "float64": torch.float64}

# Sounds that are tried for the number of coefficients, before giving up on a synthesizer that always fails.
_TRIALS = 8

Block = dict[str, np.ndarray]


@dataclass(frozen=True)
class PrecomputeSummary:
    """What a run did.

    Args:
        path: The cache.
        n_total: Sounds in the cache.
        n_resumed: Sounds that earlier runs had done.
        n_done: Sounds done by now, failed ones included.
        n_failed: Sounds that failed.
        reasons: How many sounds failed for each reason.
        seconds: Duration of this run.
    """

    path: Path
    n_total: int
    n_resumed: int
    n_done: int
    n_failed: int
    reasons: dict[str, int]
    seconds: float

    @property
    def rate(self) -> float:
        """Sounds per second in this run."""
        return (self.n_done - self.n_resumed) / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        resumed = f", {self.n_resumed} of them earlier" if self.n_resumed else ""
        failed = "none failed" if not self.n_failed else f"{self.n_failed} failed"
        if self.n_failed:
            failed += " (" + "; ".join(f"{count} × {reason}" for reason, count in self.reasons.items()) + ")"
        return (
            f"{self.path}: {self.n_done} of {self.n_total} sounds{resumed}, {failed}, "
            f"{self.seconds:.1f} s, {self.rate:.3g} sounds/s"
        )


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
        probe: Try the synthesizer on two sounds before a new file is begun (`pnp.synths.probe`): that it is
            repeatable and that its derivatives are right.
        progress: Show a progress bar on standard error.

    Returns:
        What the run did.

    Raises:
        TypeError: If `synth` is not a synthesizer.
        ValueError: If an argument is out of its range, or the synthesizer does not stand the probe.
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
    check_interface(synth, "synth")
    space, sample_rate, n_samples = _interface(synth)
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be at least 0 and below 2⁶³, got {seed}")
    design = _design(space, size, u, method, seed)
    _check_arguments(jobs, backend, block, dtype, device, shard)
    working = _working_dtype(features, precision)
    synth, features = (copy.deepcopy(module).to(device).eval() for module in (synth, features))
    n_features = _count_features(synth, features, design, working, device)
    if probe and not Path(out).exists():
        _probe(synth, design, device)
    config = {
        "synthesizer": {
            **describe(synth),
            "sample_rate": sample_rate,
            "n_samples": n_samples,
        },
        "features": describe(features),
        "space": space.to_dict(),
        "size": len(design),
        "method": method if u is None else "given",
        "seed": seed,
        "u_sha256": hashlib.sha256(design.numpy().tobytes()).hexdigest(),
        "split": [float(share) for share in split],
        "n_features": n_features,
        "block": block,
        "store": list(stored_columns(store)),
        "dtype": dtype,
        "precision": str(working).removeprefix("torch."),
        "device": torch.device(device).type,
    }
    rows = _shard_rows(len(design), block, shard)
    part = design[rows]
    header = CacheHeader(
        space=space,
        n_rows=len(part),
        n_features=n_features,
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
        "fold": _folds(len(design), split, seed)[rows],
        "theta": space.from_unit(part).numpy(),
        "u": part.numpy(),
    }
    # What is not stored may be of any size.
    kept = getattr(torch, dtype) if header.store else torch.float64
    task = _Task(part.numpy(), block, n_features, working, device, kept, torch.get_default_dtype())
    with CacheWriter(out, header, known, compression) as writer:
        n_resumed = sum(_length(writer.header, done) for done in writer.done)
        _announce(writer, n_resumed)
        try:
            with tqdm(total=header.n_rows, initial=n_resumed, unit="sound", disable=not progress) as bar:
                failed = 0
                for number, columns in _results(task, synth, features, writer.pending, jobs, backend):
                    writer.write_block(number, columns)
                    failed += int((columns["status"] > 1).sum())
                    bar.set_postfix({"failed": failed} if failed else {}, refresh=False)
                    bar.update(len(columns["status"]))
            if compression != "none":
                writer.compress()
        except KeyboardInterrupt:
            done = sum(_length(writer.header, done) for done in writer.done)
            _log.warning(
                "interrupted: %s has %d of %d sounds; the same command goes on", out, done, header.n_rows
            )
            raise
    return _summarize(Path(out), n_resumed, time.monotonic() - started)


# -- what is to be computed ----------------------------------------------------------------------------------


def _interface(synth: Any) -> tuple[ParameterSpace, float, int]:
    return synth.space, float(synth.sample_rate), synth.n_samples


def _design(space: ParameterSpace, size: Any, u: Any, method: str, seed: int) -> Tensor:
    if u is None:
        if size is None:
            raise ValueError("precompute needs `size`, the number of sounds, or `u`, the design itself")
        return space.sample(size, method=method, seed=seed).contiguous()
    design = torch.as_tensor(u).detach().to("cpu", torch.float64).contiguous()
    if design.ndim != 2 or not len(design):
        raise ValueError(
            f"u must have shape (size, {len(space)}) with at least one row, got {tuple(design.shape)}"
        )
    if size is not None and size != len(design):
        raise ValueError(
            f"size must be the number of rows of u or not be given, got {size} for {len(design)} rows"
        )
    space.check_unit(design)
    return design


def _check_arguments(
    jobs: int, backend: str, block: int, dtype: str, device: str, shard: tuple[int, int]
) -> None:
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(repr, DTYPES))}, got {dtype!r}")
    if backend not in _BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(map(repr, _BACKENDS))}, got {backend!r}")
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


def _count_features(
    synth: nn.Module, features: nn.Module, design: Tensor, dtype: torch.dtype, device: str
) -> int:
    """Coefficients C, from the first sound that can be computed."""
    failure: Exception | None = None
    with single_thread():
        for row in design[:_TRIALS]:
            try:
                value, _ = value_and_jacobian(synth, features, row[None].to(device=device, dtype=dtype))
                return int(value.shape[-1])
            except Exception as error:  # noqa: BLE001, PERF203  (reported below, with its cause)
                failure = error
    raise SynthesisError(
        f"none of the first {min(_TRIALS, len(design))} sounds can be computed; the last attempt raised "
        f"{type(failure).__name__}: {failure}"
    ) from failure


def _probe(synth: Any, design: Tensor, device: str) -> None:
    """Probe a synthesizer where it sounds: a sound that fails concerns its row, not the whole run."""
    sounding = []
    for theta in synth.space.from_unit(design[:_TRIALS].to(device)):
        try:
            with torch.no_grad():
                x = synth(theta[None])
        except Exception as error:  # noqa: BLE001  (whatever a user's synthesizer raises is a property of the sound)
            _log.debug("the probe passes over a sound that fails: %s", error)
            continue
        if torch.isfinite(x).all() and x.any() and not is_clipped(x[0]):
            sounding.append(theta)
    if sounding:
        probe_synthesizer(synth, torch.stack(sounding[:2]))


def _shard_rows(n: int, block: int, shard: tuple[int, int]) -> slice:
    """Rows of part i of n: whole blocks of the design, which hold the same sounds as without shards."""
    blocks = -(-n // block)
    part, parts = shard
    if parts > blocks:
        raise ValueError(f"{n} sounds in blocks of {block} make {blocks} blocks, too few for {parts} shards")
    return slice(blocks * part // parts * block, min(n, blocks * (part + 1) // parts * block))


def _folds(n: int, split: Sequence[float], seed: int) -> np.ndarray:
    if len(split) != 3 or min(split) < 0 or abs(sum(split) - 1) > 1e-9:
        raise ValueError(
            f"split must be three shares that sum to 1 (train, validation, test), got {tuple(split)}"
        )
    # A stream of its own: the design draws from `seed` itself.
    order = np.random.default_rng([seed, 1]).permutation(n)
    train, validation = round(n * split[0]), round(n * (split[0] + split[1]))
    folds = np.empty(n, np.int8)
    folds[order[:train]], folds[order[train:validation]], folds[order[validation:]] = 0, 1, 2
    return folds


def _date() -> str:
    # The convention of reproducible-builds.org: with it set, two runs make the same file to the last byte.
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    seconds = int(epoch) if epoch else int(time.time())
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


# -- computing it --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    """What a worker needs to know beside the modules."""

    u: np.ndarray
    block: int
    n_features: int
    dtype: torch.dtype
    device: str
    kept: torch.dtype
    default_dtype: torch.dtype

    def points(self, number: int) -> np.ndarray:
        return self.u[number * self.block : (number + 1) * self.block]

    def compute(self, synth: nn.Module, features: nn.Module, points: np.ndarray) -> Block:
        return compute_block(synth, features, points, self.n_features, self.dtype, self.device, self.kept)


def _results(
    task: _Task, synth: nn.Module, features: nn.Module, blocks: list[int], jobs: int, backend: str
) -> Iterator[tuple[int, Block]]:
    if jobs == 1 and backend == "loky":
        for number in blocks:
            yield number, task.compute(synth, features, task.points(number))
        return
    # As an array, the pickle travels once: joblib maps it into the workers' memory, or scatters it over the
    # cluster.
    pickled = np.frombuffer(cloudpickle.dumps((synth, features)), np.uint8)
    digest = hashlib.sha256(pickled.tobytes()).hexdigest()
    options = (task.n_features, task.dtype, task.device, task.kept)
    default_dtype = task.default_dtype

    def calls(numbers: Iterable[int], sent: set[int]) -> Iterator[Any]:
        for number in numbers:
            sent.add(number)
            yield joblib.delayed(_in_worker)(
                number, task.points(number), pickled, digest, options, default_dtype, backend
            )

    def run(numbers: list[int], sent: set[int]) -> Iterator[tuple[int, Block]]:
        # A single job would run in this process; a block that kills its worker must not.
        # Backends that come with another package, as dask's does, are only known to `parallel_config`.
        with joblib.parallel_config(backend=backend):
            parallel = joblib.Parallel(max(2, jobs), return_as="generator_unordered", batch_size=1)
        outputs = parallel(calls(numbers, sent))
        try:
            yield from outputs
        finally:
            with warnings.catch_warnings():
                # Results that were ready when the run was interrupted; their blocks will be computed again.
                warnings.simplefilter("ignore")
                outputs.close()

    yield from _surviving_deaths(run, blocks, task.block, _deaths(backend))


_Run = Callable[[list[int], set[int]], Iterator[tuple[int, Block]]]


def _deaths(backend: str) -> tuple[type[Exception], ...]:
    """What a run raises when a worker dies."""
    if backend == "loky":
        return (BrokenProcessPool,)
    from distributed import CancelledError, KilledWorker

    # dask starts tasks of a dead worker again by itself. But what had been scattered to that worker alone is lost, and
    # the tasks that need it are cancelled.
    return KilledWorker, CancelledError


def _surviving_deaths(
    run: _Run, blocks: list[int], block: int, deaths: tuple[type[Exception], ...]
) -> Iterator[tuple[int, Block]]:
    """Results of all blocks, though workers may die.

    A worker that dies takes the whole pool along, and which block killed it is not known. So the blocks that
    had been handed out and not come back are suspects. All others go first, in a new pool; then each suspect
    gets a pool of its own.
    """
    remaining, suspects = list(blocks), set[int]()
    while remaining:
        sent, returned = set[int](), set[int]()
        try:
            for number, columns in run(remaining, sent):
                returned.add(number)
                yield number, columns
        except deaths:
            suspects |= sent - returned
            _log.warning("a worker died; %d blocks are tried again, each alone", len(sent - returned))
        remaining = [number for number in remaining if number not in returned | suspects]
    for number in sorted(suspects):
        try:
            yield from run([number], set())
        except deaths as error:  # noqa: PERF203  (each suspect has its own pool)
            raise SynthesisError(
                f"the worker that computed rows {number * block} to {(number + 1) * block - 1} died twice, "
                "the second time alone; it was probably out of memory, or a compiled library crashed. Every "
                "finished block is kept: try fewer jobs, or start over with a smaller block."
            ) from error


# The modules that this worker computes with, by the hash of their pickle. Unpickling them for every block
# would cost as much as a sound.
_modules: dict[str, tuple[nn.Module, nn.Module]] = {}


@cache
def _follow_parent() -> None:
    """Let this worker stop when its parent does, and not before."""
    # Ctrl-C reaches the whole process group; what it means is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    # A parent that is killed says nothing, and loky would keep its workers for another five minutes.
    threading.Thread(target=watch, name="pnp-parent-watch", daemon=True).start()


def _in_worker(
    number: int,
    points: np.ndarray,
    pickled: np.ndarray,
    digest: str,
    options: tuple[Any, ...],
    default_dtype: torch.dtype,
    backend: str,
) -> tuple[int, Block]:
    if backend == "loky":
        _follow_parent()
    if digest not in _modules:
        _modules.clear()
        _modules[digest] = cloudpickle.loads(pickled.tobytes())
    torch.set_default_dtype(default_dtype)
    return number, compute_block(*_modules[digest], points, *options)


# -- telling about it ----------------------------------------------------------------------------------------


def _length(header: CacheHeader, block: int) -> int:
    return len(range(header.n_rows)[header.rows(block)])


def _announce(writer: CacheWriter, n_resumed: int) -> None:
    header = writer.header
    state = f"going on after {n_resumed}" if n_resumed else "new"
    size = writer.bytes_needed / 1e6
    _log.info("%s: %d sounds, at most %.4g MB of disk, %s", writer.path, header.n_rows, size, state)


def _summarize(path: Path, n_resumed: int, seconds: float) -> PrecomputeSummary:
    with MetricCache(path) as cache:
        failures = cache.failures
        return PrecomputeSummary(
            path=path,
            n_total=len(cache),
            n_resumed=n_resumed,
            n_done=int((cache.status > 0).sum()),
            n_failed=len(failures),
            reasons=dict(Counter(failures.values()).most_common()),
            seconds=seconds,
        )
