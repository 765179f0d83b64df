"""Jobs in processes of their own: throughput of several workers, and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

from pnp.bench.configurations import Configuration
from pnp.bench.results import GradientMemory, Throughput, Usage


def run_jobs(
    name: str, configuration: Configuration, workers: int = 1, threads: int = 1, **options: Any
) -> Usage:
    """Run a job of `pnp.bench.job` in some processes at once.

    Args:
        name: Name of the job.
        configuration: Its configuration.
        workers: Number of processes that run it, each the whole of it.
        threads: Threads of each.
        **options: Other arguments of the job.

    Returns:
        Time of the slowest, and the peak memory of the largest.

    Raises:
        RuntimeError: If one fails.
    """
    job = {"job": name, "configuration": configuration.to_dict(), "threads": threads, **options}
    variables = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "pnp.bench.job"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=variables,
                )
            )
            for _ in range(workers)
        ]
        for process in processes:
            _send(process, json.dumps(job))
        for process in processes:
            _receive(process)  # "ready": all start together
        for process in processes:
            _send(process, "go")
        answers = [Usage.from_dict(json.loads(_receive(process))) for process in processes]
    return Usage(
        seconds=max(answer.seconds for answer in answers),
        peak_bytes=max(answer.peak_bytes for answer in answers),
        before_bytes=max(answer.before_bytes for answer in answers),
    )


def _send(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _receive(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, errors = process.communicate()
        raise RuntimeError(f"a worker of the benchmark failed: {errors.strip()[-500:] or 'no message'}")
    return line


def throughput(configuration: Configuration, sounds: int, workers: int, batch: int) -> Throughput:
    """Measure sounds per second, Jacobians included, and peak memory of workers of one thread each."""
    usage = run_jobs("throughput", configuration, workers, sounds=sounds, batch=batch)
    return Throughput(
        workers=workers,
        batch=batch,
        sounds_per_second=workers * sounds / usage.seconds,
        peak_bytes=usage.peak_bytes,
    )


def gradient_memory(configuration: Configuration, sounds: int, threads: int) -> GradientMemory:
    """Measure time and peak memory of the gradient of a distance, for a batch of sounds."""
    usage = run_jobs("distance_gradient", configuration, threads=threads, sounds=sounds)
    return GradientMemory(
        configuration=configuration.name,
        sounds=sounds,
        seconds=usage.seconds,
        peak_bytes=usage.peak_bytes,
        before_bytes=usage.before_bytes,
    )
