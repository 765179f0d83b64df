"""Workers of a run: blocks are computed in this process, in processes of this machine, or by a Dask cluster."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cloudpickle
import joblib
import numpy as np
import torch
from joblib.externals.loky import get_reusable_executor
from torch import nn

from pnp._own_code import load_files, loaded_files
from pnp._torch.environment import environment_fault
from pnp.errors import PnpError, SynthesisError
from pnp.jacobian import Derivatives
from pnp.offline.block import Known, compute_block

__all__ = ["Task", "check_backend", "computed_blocks"]

_log = logging.getLogger(__name__)

_BACKENDS = ("loky", "dask")

Block = dict[str, np.ndarray]
_Run = Callable[[list[int], set[int]], Iterator[tuple[int, Block]]]


@dataclass(frozen=True)
class Task:
    """Everything that a worker needs beside the modules.

    Args:
        u: Scaled parameters of all sounds, shape (n, P), float64.
        block: Rows of a block.
        n_features: Number of features C.
        dtype: Type of u that the synthesizer is given.
        device: Device of the modules.
        storage: Type in which S and J will be stored.
        default_dtype: Default type of this process, which workers take over.
        derivatives: Kind of derivative of each parameter.
        seeds: Draws that a metric is the mean over.
        known: Row that need not be computed again, with its results.
    """

    u: np.ndarray
    block: int
    n_features: int
    dtype: torch.dtype
    device: str
    storage: torch.dtype
    default_dtype: torch.dtype
    derivatives: Derivatives
    seeds: int = 1
    known: Known | None = None

    def points(self, number: int) -> np.ndarray:
        """Return the scaled parameters of a block."""
        return self.u[number * self.block : (number + 1) * self.block]

    def options(self, number: int) -> tuple[Any, ...]:
        """Return what the computation of a block takes beside modules and points."""
        known = self.known
        if known is not None:
            block, row = divmod(known.row, self.block)
            known = replace(known, row=row) if block == number else None
        return self.n_features, self.dtype, self.device, self.storage, self.derivatives, self.seeds, known


def check_backend(backend: str) -> None:
    """Check that there is such a backend.

    Args:
        backend: "loky" or "dask".

    Raises:
        ImportError: If Dask is asked for and not installed.
        ValueError: If the backend is unknown, or there is no cluster.
    """
    if backend not in _BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(map(repr, _BACKENDS))}, got {backend!r}")
    if backend == "dask":
        try:
            from distributed import get_client
        except ImportError as error:
            raise ImportError(
                "The backend 'dask' needs Dask; install it with `pip install pnp-metric[dask]`."
            ) from error
        try:
            get_client()
        except ValueError as error:
            raise ValueError(
                "The backend 'dask' needs a cluster: set DASK_SCHEDULER_ADDRESS to the address of its scheduler, or "
                "make a dask.distributed.Client first in Python."
            ) from error


def computed_blocks(
    task: Task, synth: nn.Module, features: nn.Module, blocks: list[int], jobs: int, backend: str
) -> Iterator[tuple[int, Block]]:
    """Compute blocks, and yield each with its number as soon as it is there.

    Args:
        task: Sounds and types.
        synth: Synthesizer.
        features: Feature map.
        blocks: Numbers of the blocks.
        jobs: Number of worker processes; 1 computes in this one.
        backend: "loky" or "dask".

    Yields:
        Number and columns of each block, in any order.

    Raises:
        SynthesisError: If a worker dies of the same block twice.
    """
    if jobs == 1 and backend == "loky":
        for number in blocks:
            yield (
                number,
                _compute(number, synth, features, task.points(number), task.options(number)),
            )
        return
    # As an array, the pickle travels once: joblib maps it into the workers' memory, or scatters it over the
    # cluster. The points of a block travel with its call.
    pickled = np.frombuffer(_pickled(synth, features), np.uint8)
    digest = hashlib.sha256(pickled.tobytes()).hexdigest()

    def calls(numbers: Iterable[int], sent: set[int]) -> Iterator[Any]:
        for number in numbers:
            sent.add(number)
            yield joblib.delayed(_in_worker)(
                number,
                task.points(number),
                pickled,
                digest,
                task.options(number),
                task.default_dtype,
                backend,
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

    try:
        yield from _surviving_deaths(run, blocks, task.block, _deaths(backend))
    finally:
        if backend == "loky":
            # Workers that idle would be joined when the interpreter ends, where Ctrl-C shows a traceback of joblib.
            get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _deaths(backend: str) -> tuple[type[Exception], ...]:
    """Return the errors by which a run learns that a worker died."""
    if backend == "loky":
        return (BrokenProcessPool,)
    from distributed import CancelledError, KilledWorker

    # dask starts tasks of a dead worker again by itself. But what had been scattered to that worker alone is lost, and
    # the tasks that need it are cancelled.
    return KilledWorker, CancelledError


def _surviving_deaths(
    run: _Run, blocks: list[int], block: int, deaths: tuple[type[Exception], ...]
) -> Iterator[tuple[int, Block]]:
    """Yield the results of all blocks, though workers may die.

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


def _pickled(synth: nn.Module, features: nn.Module) -> bytes:
    """Pickle the modules for workers."""
    try:
        modules: bytes = cloudpickle.dumps((synth, features))
    # Whatever a user's class raises when it is pickled.
    except Exception as error:
        names = f"synthesizer {type(synth).__name__} and features {type(features).__name__}"
        raise PnpError(
            f"{names} cannot be sent to workers ({type(error).__name__}: {' '.join(str(error).split())}); one holds "
            "what cannot be copied, such as a lock or an engine: let each process make its own with "
            "pnp.synths.PerProcess(make), or use jobs=1"
        ) from error
    # A worker loads the user's own files first, for what is defined there is pickled by its name.
    data: bytes = cloudpickle.dumps((loaded_files(), modules))
    return data


def _compute(
    number: int,
    synth: nn.Module,
    features: nn.Module,
    points: np.ndarray,
    options: tuple[Any, ...],
) -> Block:
    """Compute a block; a fault of the machine ends the run, with the reason in a sentence."""
    try:
        return compute_block(synth, features, points, *options)
    except Exception as error:
        fault = environment_fault(error)
        if fault is None:
            raise
        why = f"{type(fault).__name__}: {fault}".rstrip(": ")
        raise SynthesisError(
            f"block {number} could not be computed here ({why}); that is a fault of the machine, not of a sound. Every "
            "finished block is kept: run the same command again to continue, with fewer jobs if memory is short"
        ) from error


# The modules that this worker computes with, by the hash of their pickle. Unpickling them for every block
# would cost as much as a sound.
_modules: dict[str, tuple[nn.Module, nn.Module]] = {}
# A Dask worker computes in several threads of one process.
_modules_lock = threading.Lock()


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
    with _modules_lock:
        if digest not in _modules:
            _modules.clear()
            files, modules = cloudpickle.loads(pickled.tobytes())
            load_files(files)
            _modules[digest] = cloudpickle.loads(modules)
        synth, features = _modules[digest]
    torch.set_default_dtype(default_dtype)
    return number, _compute(number, synth, features, points, options)
