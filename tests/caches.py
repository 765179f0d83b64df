"""Caches of toys for tests of the store: made, interrupted, and damaged on purpose."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from torch import nn
from toy import ToyFeatures, ToySynth

from pnp.offline.precompute import precompute
from pnp.offline.summary import PrecomputeSummary

SIZE, BLOCK = 70, 8

# From Python 3.12 on, a fork warns where a library has started threads; none of them is needed here.
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

RUN = """
import sys
from toy import ToyFeatures, ToySynth
from pnp.offline.precompute import precompute
path, seconds, jobs, size = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
precompute(ToySynth(seconds=seconds), ToyFeatures(), path, size=size, block=8, jobs=jobs, progress=False)
"""

NAMES = (
    *("id", "fold", "theta", "u", "S", "J", "M", "R", "sigma", "status", "reason", "moments"),
    *("checksum", "seal"),
)


def run(
    path: Path, synth: nn.Module | None = None, features: nn.Module | None = None, **options: Any
) -> PrecomputeSummary:
    """A run of the offline stage on toys, or on what is given."""
    options = {"size": SIZE, "block": BLOCK, "progress": False} | options
    return precompute(synth or ToySynth(), features or ToyFeatures(), path, **options)


def make(path: Path, **options: Any) -> Path:
    run(path, ToySynth(trouble=options.pop("trouble", ""), seconds=options.pop("seconds", 0.0)), **options)
    return path


def start(path: Path, seconds: float = 0.0, jobs: int = 1, **options: Any) -> subprocess.Popen[str]:
    """The same run by a fresh interpreter, whose messages can be read."""
    import pnp

    roots = [str(Path(__file__).parent), str(Path(pnp.__file__).parents[1])]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(path), str(seconds), str(jobs), str(SIZE)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(roots), "OMP_NUM_THREADS": "1"},
        text=True,
        stderr=subprocess.PIPE,
        **options,
    )


def fork(path: Path, seconds: float, **options: Any) -> ForkProcess:
    """The same run in a fork of this process, which saves it the imports."""
    process = multiprocessing.get_context("fork").Process(
        target=make, args=(path,), kwargs={"seconds": seconds} | options
    )
    process.start()
    return process


def finish(process: subprocess.Popen[str]) -> str:
    """Standard error of a process that is expected to end by itself."""
    return process.communicate(timeout=100)[1]


def sealed(path: Path) -> int:
    """Blocks that are done, as plain h5py sees them."""
    if not path.exists():
        return 0
    with h5py.File(path, "r", locking=False) as file:
        return int(file["seal"][...].any(axis=1).sum())


def wait_for(condition: Callable[[], bool], process: ForkProcess | subprocess.Popen[str]) -> None:
    while not condition():
        running = process.is_alive() if isinstance(process, ForkProcess) else process.poll() is None
        assert running, "the run ended before anything could happen to it"
        time.sleep(0.002)


def compressed(path: Path, **options: Any) -> Path:
    return make(path, compression="gzip", **options)


def shards(folder: Path, n: int, **options: Any) -> list[Path]:
    """Files of a run in parts. Parts that a test had before are copied: making them is most of many tests' time."""
    options = {"probe": False} | options
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part{i}.h5" for i in range(n)]
    date = os.environ.get("SOURCE_DATE_EPOCH")
    for path, data in zip(paths, _shards(n, date, tuple(sorted(options.items()))), strict=True):
        path.write_bytes(data)
    return paths


@cache
def _shards(n: int, date: str | None, options: tuple[tuple[str, Any], ...]) -> list[bytes]:
    """Bytes of the parts; they hold the date."""
    with tempfile.TemporaryDirectory() as folder:
        parts = (make(Path(folder) / f"part{i}.h5", shard=(i, n), **dict(options)) for i in range(n))
        return [part.read_bytes() for part in parts]


def offset(path: Path, name: str) -> int:
    with h5py.File(path, "r") as file:
        return int(file[name].id.get_chunk_info(0).byte_offset)


def wipe(path: Path, name: str, row: int) -> None:
    with h5py.File(path, "r") as file:
        count = file[name][row].nbytes
    with path.open("r+b") as stream:
        stream.seek(offset(path, name) + row * count)
        stream.write(bytes(count))


def flip(path: Path, position: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 0x01]))


def content(path: Path) -> dict[str, bytes]:
    with h5py.File(path, "r") as file:
        return {name: file[name][...].tobytes() for name in file} | {
            f"@{name}": np.asarray(value).tobytes() for name, value in file.attrs.items()
        }
