"""Job in a process of its own, because its memory is measured: `python -m pnp.bench.job`, JSON on its input.

It says "ready" when all is built and warm, starts at the next line of its input, and ends with its answer in JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import torch

import pnp
from pnp.bench.configurations import Configuration
from pnp.bench.results import Usage


def throughput(configuration: Configuration, sounds: int, batch: int) -> Callable[[], None]:
    """Features and Jacobians of some sounds, synthesis included: the work of the offline stage, but for the file."""
    synth = configuration.synthesizer()
    features = pnp.Features(configuration.transform())
    u = synth.space.sample(sounds, "uniform", 1).float()
    pnp.value_and_jacobian(synth, features, u[:batch])

    def run() -> None:
        for block in u.split(batch):
            pnp.value_and_jacobian(synth, features, block)

    return run


def distance_gradient(configuration: Configuration, sounds: int) -> Callable[[], None]:
    """Gradient with respect to a batch of sounds of their squared distance to other sounds."""
    jtfs = configuration.transform()
    x, _ = configuration.sounds(2 * sounds)
    target = jtfs(x[sounds:].float())

    def run() -> None:
        signal = x[:sounds].float().requires_grad_()
        (jtfs(signal) - target).square().sum().backward()

    return run


JOBS: dict[str, Callable[..., Callable[[], None]]] = {
    "throughput": throughput,
    "distance_gradient": distance_gradient,
}


def peak_memory() -> int:
    """Most memory that this process ever had resident, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a process inherits that of the one that started it.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def serve(requests: TextIO, answers: TextIO) -> None:
    """Prepare a job, wait for the signal to start, run it, and answer."""
    job: dict[str, Any] = json.loads(requests.readline())
    torch.set_num_threads(job.pop("threads"))
    configuration = Configuration.from_dict(job.pop("configuration"))
    run = JOBS[job.pop("job")](configuration, **job)
    before = peak_memory()
    answers.write("ready\n")
    answers.flush()
    requests.readline()
    started = time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    answers.write(json.dumps(Usage(seconds, peak_memory(), before).to_dict()) + "\n")
    answers.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
