"""Cost of a cache: writing, opening, reading rows, random batches, two workers beside one, size.

    python benchmarks/cache.py [--section NAME ...] [--json FILE] [--docs FILE]
    python benchmarks/cache.py --results FILE --docs FILE      report what was measured before

Sections that compare alternate between what they compare, and all times are the best of several rounds, so that
whatever else the machine does counts least.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pnp
from pnp.bench.environment import commit, environment
from pnp.offline.precompute import precompute
from pnp.store import CacheHeader, CacheWriter, cache_bytes
from pnp.store.opening import open_cache
from pnp.store.schema import STORE_LEVELS, read_header

Results = dict[str, Any]

ROWS = 100_000
BATCH = 256
COMMAND = (
    "python benchmarks/cache.py --json benchmarks/results/cache.json --docs docs/evidence/cache-speed.md"
)


def main() -> None:
    """Measure and report."""
    sections: dict[str, Callable[[Path], Results]] = {
        "loading": loading,
        "slices": slices,
        "chirp": lambda folder: computing(folder, "chirp", 48),
        "drum": lambda folder: computing(folder, "drum", 96),
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--section", action="append", choices=sections, help="what to measure (all)")
    parser.add_argument("--json", type=Path, help="add the numbers to this file")
    parser.add_argument("--results", type=Path, help="measure nothing, report what --json wrote")
    parser.add_argument("--docs", type=Path, help="also write the report to this page")
    options = parser.parse_args()
    if options.results:
        results = json.loads(options.results.read_text())
    else:
        torch.set_num_threads(1)
        results = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
        for name in options.section or sections:
            with tempfile.TemporaryDirectory(prefix="pnp-cache-") as folder:
                results[name] = sections[name](Path(folder))
            results["environment"] = environment().to_dict() | {"commit": commit()}
            if options.json:
                options.json.write_text(json.dumps(results, indent=2) + "\n")
    page = report(results)
    sys.stdout.write(page)
    if options.docs:
        options.docs.write_text(page)


# -- a finished cache ----------------------------------------------------------------------------------------


def loading(folder: Path) -> Results:
    """Opening, moving all metrics into the loss, and random batches of M, of ROWS rows with P = 5."""
    path = made_up(folder / "many.h5", ROWS, n_features=8, store=())

    def open_and_load() -> None:
        with pnp.MetricCache(path) as cache:
            pnp.PNPLoss.from_cache(cache)

    return {
        "rows": ROWS,
        "open_s": best(lambda: pnp.MetricCache(path).close(), 5),
        "open_and_loss_s": best(open_and_load, 5),
        "rows_per_s": {
            str(workers): max(random_batches(path, workers) for _ in range(3)) for workers in (0, 2)
        },
    }


def random_batches(path: Path, workers: int) -> float:
    """Rows of M per second through a DataLoader, over an epoch, once its workers are up."""
    with pnp.MetricCache(path) as cache:
        data = pnp.CacheDataset(cache, fold=None, metric=True)
        batches = iter(data.loader(BATCH, workers=workers))
        first = len(next(batches)["M"])
        started = time.perf_counter()
        n_rows = sum(len(batch["M"]) for batch in batches)
        seconds = time.perf_counter() - started
        assert first + n_rows == len(cache)
        return n_rows / seconds


def slices(folder: Path) -> Results:
    """Rows of a drum's size, written and read; by a process of its own, whose memory tells what it has loaded."""
    measured: Results = {"rows": 1000}
    for compression in ("none", "gzip"):
        path = folder / f"{compression}.h5"
        with TimedWriting() as spent:
            made_up(path, 1000, n_features=5305, store=("S", "J"), compression=compression)
        command = [sys.executable, "-c", READ, str(path)]
        reads = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        measured[compression] = {
            "file_mb": path.stat().st_size / 1e6,
            "written_per_s": 1000 / spent(),
            **json.loads(reads),
        }
    return measured


# What a process holds at its peak, before and after it reads rows.
READ = """
import json, resource, sys, time
import torch, pnp
from published import published_features
cache = pnp.MetricCache(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
generator = torch.Generator().manual_seed(0)
def best(read):
    times = []
    for _ in range(5):
        started = time.perf_counter()
        read()
        times.append(time.perf_counter() - started)
    return 1e3 * min(times)
block = best(lambda: cache.jacobian(slice(512, 528)))
scattered = best(lambda: cache.jacobian(torch.randint(len(cache), (16,), generator=generator)))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"block_ms": block, "scattered_ms": scattered, "memory_mb": (after - before) / 1e3}))
"""


def made_up(
    path: Path, n_rows: int, *, n_features: int, store: tuple[str, ...], compression: str = "none"
) -> Path:
    """A cache of random Jacobians with a drum's five parameters and metrics that belong to them, to read."""
    space = pnp.synths.make("drum").space
    u = space.sample(n_rows)
    header = CacheHeader(
        space=space,
        n_rows=n_rows,
        n_features=n_features,
        block=16,
        store=store,
        dtype="float32",
        config={
            "synthesizer": {},
            "features": {},
            "space": space.to_dict(),
            "size": n_rows,
            "seed": 0,
            "n_features": n_features,
            "block": 16,
            "store": list(store),
            "dtype": "float32",
        },
        versions={},
        date="",
    )
    rng = np.random.default_rng(0)
    known = {
        "id": np.arange(n_rows),
        "fold": np.zeros(n_rows, np.int8),
        "theta": space.from_unit(u).numpy(),
        "u": u.numpy(),
    }
    with CacheWriter(path, header, known, compression) as writer:
        for block in writer.pending:
            n = len(range(n_rows)[header.rows(block)])
            J = rng.standard_normal((n, n_features, len(space))).astype(np.float32)
            metric = pnp.RiemannianMetric.from_jacobian(torch.from_numpy(J).double())
            writer.write_block(
                block,
                {
                    "S": J[..., 0],
                    "J": J,
                    "M": metric.matrix.numpy(),
                    "R": metric.factor.numpy(),
                    "sigma": metric.singular_values.numpy(),
                    "status": np.ones(n, np.int8),
                    "reason": np.zeros(n, "S128"),
                },
            )
        if compression != "none":
            writer.compress()
    return path


# -- a cache in the making -----------------------------------------------------------------------------------


def computing(folder: Path, name: str, size: int) -> Results:
    """Two workers beside one, the share of writing, and what types and compression make of the file."""
    synth = pnp.synths.make(name)
    features = published_features(synth)

    few = 16

    def run(out: str, size: int, **options: Any) -> float:
        return precompute(
            synth, features, folder / out, size=size, block=2, progress=False, **options
        ).seconds

    # Workers stay between runs: the first two start them and compile what is compiled.
    run("first.h5", few, jobs=1)
    run("second.h5", few, jobs=2)
    # Every run begins with a sound or two in one process, to check the synthesizer and to count features: of a run of
    # a few sounds that is a part, of a cache it is not.
    rounds = [
        {jobs: run(f"{turn}-{jobs}.h5", size, jobs=jobs, probe=False) for jobs in (1, 2)} for turn in range(3)
    ]
    with TimedWriting() as spent:
        whole = run("written.h5", few, jobs=1, probe=False)
    sizes = {}
    for dtype in ("float32", "float16"):
        for compression in ("none", "gzip"):
            out = f"{dtype}-{compression}.h5"
            run(out, few, jobs=2, dtype=dtype, compression=compression, probe=False)
            sizes[f"{dtype}, {compression}"] = chunk_bytes(folder / out) / few
    return {
        "sounds": size,
        "n_features": header_of(folder / "first.h5").n_features,
        "seconds": {str(jobs): [turn[jobs] for turn in rounds] for jobs in (1, 2)},
        "speedup": [turn[1] / turn[2] for turn in rounds],
        "writing_share": spent() / whole,
        "bytes_per_sound": sizes,
        "gb_for_rows": {
            f"{store}, {dtype}": size_gb(header_of(folder / "first.h5"), store, dtype)
            for store in ("metric", "features", "jacobian")
            for dtype in (("float16", "float32") if store != "metric" else ("float32",))
        },
    }


class TimedWriting:
    """Adds up the time that a writer spends in creating the file and in writing blocks."""

    names = ("__enter__", "write_block", "compress", "__exit__")

    def __enter__(self) -> Callable[[], float]:
        self.seconds = 0.0
        self.methods = {name: getattr(CacheWriter, name) for name in self.names}
        for name, method in self.methods.items():
            setattr(CacheWriter, name, self._timed(method))
        return lambda: self.seconds

    def __exit__(self, *_: object) -> None:
        for name, method in self.methods.items():
            setattr(CacheWriter, name, method)

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.perf_counter() - started

        return call


def header_of(path: Path) -> CacheHeader:
    """Return what a cache says of itself."""
    with open_cache(path) as file:
        return read_header(file, str(path))


def size_gb(header: CacheHeader, store: str, dtype: str) -> float:
    """Size of a plain file of ROWS such sounds."""
    asked = replace(header, n_rows=ROWS, block=16, store=STORE_LEVELS[store], dtype=dtype)
    return cache_bytes(asked) / 1e9


def chunk_bytes(path: Path) -> int:
    """Bytes on the disk of all datasets, without what a file has however few rows there are."""
    with open_cache(path) as file:
        return sum(file[name].id.get_storage_size() for name in file)


def best(action: Callable[[], object], rounds: int) -> float:
    """Shortest time in seconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return min(times)


# -- report --------------------------------------------------------------------------------------------------


def report(results: Results) -> str:
    """The page, in Markdown."""
    where = results["environment"]
    versions = ", ".join(f"{name} {where['versions'][name]}" for name in ("torch", "h5py", "numpy"))
    parts = [
        "# Speed of the cache",
        f"Made by `{COMMAND}`; do not edit, run it again.",
    ]
    if "loading" in results:
        parts.append(report_loading(results["loading"]))
    if "slices" in results:
        parts.append(report_slices(results["slices"]))
    made = {name: results[name] for name in ("chirp", "drum") if name in results}
    if made:
        parts.append(report_computing(made))
    parts.append(
        f"## Where\n\n{where['cpu']}, {where['cores']} cores, {where['system']}, {versions}, commit "
        f"{where['commit']}, load {where['load']} before the last section. Shared with other work: the best of "
        "several rounds counts, and ratios are of runs that alternate."
    )
    return "\n\n".join(parts) + "\n"


def report_loading(measured: Results) -> str:
    """Section of the page."""
    per_second = measured["rows_per_s"]
    return (
        f"## Opening and loading\n\nA cache of {measured['rows']:,} sounds with five parameters.\n\n"
        + table(
            ["what", "measured"],
            [
                ["opening it: header, and every seal checked", f"{measured['open_s']:.2f} s"],
                ["opening it and moving all metrics to the loss", f"{measured['open_and_loss_s']:.2f} s"],
                [
                    f"random batches of {BATCH} rows of M, DataLoader, 2 workers",
                    f"{per_second['2']:,.0f} rows/s",
                ],
                ["the same without workers", f"{per_second['0']:,.0f} rows/s"],
            ],
        )
        + "\n\nBatches are those of `CacheDataset(cache, metric=True).loader(256, workers=2)`, timed from the second "
        "batch of an epoch on, when the workers are up. Metrics are in memory; workers pay off where sounds are "
        "synthesized. `PNPLoss.from_cache` holds the metrics itself, and needs no M from the loader."
    )


def report_slices(measured: Results) -> str:
    """Section of the page."""
    rows = [
        [
            f"`--compression {name}`",
            f"{measured[name]['file_mb']:.0f} MB",
            f"{measured[name]['written_per_s']:,.0f} rows/s",
            f"{measured[name]['block_ms']:.1f} ms",
            f"{measured[name]['scattered_ms']:.1f} ms",
            f"{measured[name]['memory_mb']:.1f} MB",
        ]
        for name in ("none", "gzip")
    ]
    return (
        f"## Slices\n\nJacobians of 5305 features and 5 parameters, 106 kB each, of {measured['rows']} sounds: random "
        "numbers, which gzip can do little about, in the page cache.\n\n"
        + table(
            [
                "file",
                "its size",
                "written",
                "16 rows in a row",
                "16 random rows",
                "growth of the process's peak memory",
            ],
            rows,
        )
    )


def report_computing(made: dict[str, Results]) -> str:
    """Sections of the page."""
    speed = [
        [
            name,
            str(of["sounds"]),
            f"{of['sounds'] / min(of['seconds']['1']):.1f}",
            f"{of['sounds'] / min(of['seconds']['2']):.1f}",
            f"{min(of['seconds']['1']) / min(of['seconds']['2']):.2f}",
            ", ".join(f"{ratio:.2f}" for ratio in of["speedup"]),
            f"{of['writing_share']:.1%}",
        ]
        for name, of in made.items()
    ]
    kinds = list(next(iter(made.values()))["bytes_per_sound"])
    packed = [
        [name, *(f"{of['bytes_per_sound'][kind] / 1e3:.1f} kB" for kind in kinds)]
        for name, of in made.items()
    ]
    stores = list(next(iter(made.values()))["gb_for_rows"])
    whole = [[name, *(f"{of['gb_for_rows'][kind]:.2g} GB" for kind in stores)] for name, of in made.items()]
    return (
        "## Workers and writing\n\nSounds a second with one worker and with two, once the workers are up. *Writing* "
        "is the share of a run that the writer takes: creating the file, checksums, two flushes to the disk a block, "
        "and closing it. A block is 2 sounds here, and 16 by default, which costs the writer less.\n\n"
        + table(
            ["", "sounds", "1 worker", "2 workers", "ratio of the best", "ratio in each round", "writing"],
            speed,
        )
        + "\n\n## Size\n\nOn the disk, a sound with features and Jacobian (`--dtype`, `--compression`):\n\n"
        + table(["", *kinds], packed)
        + f"\n\nA plain file of {ROWS:,} sounds (`--store`, `--dtype`), by arithmetic:\n\n"
        + table(["", *stores], whole)
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    """Table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    main()
