"""The whole benchmark, section after section."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from pnp._files import write_atomically
from pnp.bench.ceilings import measure_ceilings
from pnp.bench.configurations import STANDARD, Configuration
from pnp.bench.environment import commit, environment
from pnp.bench.gpu import measure_cuda
from pnp.bench.jacobian import measure_jacobian
from pnp.bench.peer import Peer
from pnp.bench.precision import measure_precision
from pnp.bench.processes import gradient_memory, throughput
from pnp.bench.results import BenchmarkResults, Run
from pnp.bench.sweep import SWEEPS, Sweep, measure_sweep
from pnp.bench.table import measure_configuration

_log = logging.getLogger(__name__)

GRADIENT_SOUNDS = 8
SECTIONS = ("table", "precision", "jacobian", "throughput", "memory", "cost")


def run_benchmark(
    configurations: Sequence[Configuration] = tuple(STANDARD.values()),
    rounds: int = 5,
    peer: str | None = None,
    sections: Sequence[str] = SECTIONS,
    json_file: Path | None = None,
    command: str = "pnp bench",
    sweeps: Sequence[Sweep] = SWEEPS,
    sounds: int = 16,
    ceiling_size: int = 2048,
    ceiling_seconds: float = 1.0,
) -> BenchmarkResults:
    """Measure speed, accuracy, throughput, memory and cost.

    Args:
        configurations: Transforms to measure.
        rounds: Times that ours and the peer's are timed in turn.
        peer: Python interpreter of an environment with Kymatio's development version; None to measure ours alone.
        sections: Some of "table", "precision", "jacobian", "throughput", "memory" and "cost".
        json_file: File for the result; written after each part, so that an interruption loses one.
        command: Command that the result names as its own.
        sweeps: Parameters whose cost is measured.
        sounds: Number of sounds for throughput.
        ceiling_size: Side of the matrices that the machine's ceiling is measured with.
        ceiling_seconds: Time to spend on each of its operations.

    Returns:
        The measurements.

    Raises:
        FileNotFoundError: If there is no interpreter at `peer`.
        RuntimeError: If the peer or a worker fails.
        ValueError: If a section is unknown or `rounds` is not positive.
    """
    if unknown := set(sections) - set(SECTIONS):
        raise ValueError(f"unknown section {sorted(unknown)[0]!r}, expected some of {', '.join(SECTIONS)}")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    place = environment()
    run = Run(command, commit(), datetime.now(timezone.utc).isoformat(timespec="minutes"), place.load)
    results = BenchmarkResults(
        runs=(run,),
        environment=replace(place, load=None),
        peer=None,
        configurations={},
        throughput={},
        gradient_memory=None,
        cost=(),
        cuda=None,
    )

    def add(**measured: Any) -> None:
        nonlocal results
        results = replace(results, **measured)
        if json_file is not None:
            write_atomically(json_file, json.dumps(results.to_dict(), indent=1) + "\n")

    _log.info("ceilings of this machine")
    ceilings = measure_ceilings(seconds=ceiling_seconds, size=ceiling_size)
    transforms = different(configurations)
    if "table" in sections:
        with Peer(peer) if peer else nullcontext() as other:
            for configuration in transforms:
                _log.info("%s: times and errors", configuration.name)
                table, versions = measure_configuration(configuration, other, rounds, ceilings)
                add(
                    peer=versions or results.peer,
                    configurations={**results.configurations, configuration.name: table},
                )
        if torch.cuda.is_available():
            add(cuda=measure_cuda(transforms, rounds, ceiling_size))
    if "precision" in sections:
        for configuration in transforms:
            _log.info("%s: fast and exact", configuration.name)
            precision = measure_precision(configuration, rounds)
            add(precision={**results.precision, configuration.name: precision})
    if "jacobian" in sections:
        for configuration in configurations:
            _log.info("%s: Jacobian with synthesis", configuration.name)
            whole = measure_jacobian(configuration, rounds)
            add(jacobian={**results.jacobian, configuration.name: whole})
    if "throughput" in sections:
        for configuration in configurations:
            _log.info("%s: throughput", configuration.name)
            rates = tuple(
                throughput(configuration, sounds, workers, batch) for workers in (1, 2) for batch in (1, 8)
            )
            add(throughput={**results.throughput, configuration.name: rates})
    if "memory" in sections:
        # The chirp with global averages where it is measured at all.
        measured = {configuration.name: configuration for configuration in configurations}
        configuration = measured.get("B", configurations[-1])
        _log.info("%s: memory of a gradient", configuration.name)
        add(gradient_memory=gradient_memory(configuration, GRADIENT_SOUNDS, torch.get_num_threads()))
    if "cost" in sections:
        for sweep in sweeps:
            _log.info("cost against %s", sweep.name)
            add(cost=(*results.cost, measure_sweep(sweep, rounds, ceilings)))
    return results


def different(configurations: Sequence[Configuration]) -> list[Configuration]:
    """Return the first configuration with each transform: a black box shares that of the voice inside.

    Args:
        configurations: Configurations.
    """
    found = list[Configuration]()
    for configuration in configurations:
        length = configuration.synthesizer().n_samples
        if not any(
            other.settings == configuration.settings and other.synthesizer().n_samples == length
            for other in found
        ):
            found.append(configuration)
    return found


def load_results(files: Sequence[Path]) -> BenchmarkResults:
    """Read results of runs on one machine, and join them.

    Args:
        files: JSON files that `run_benchmark` wrote.

    Returns:
        The same as from one run.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a file is not one of these, or they come from different environments.
    """
    return merge_results([_load(file) for file in files])


def _load(file: Path) -> BenchmarkResults:
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON; expected what `pnp bench --json` wrote") from error
    if not isinstance(results, dict) or "runs" not in results:
        raise ValueError(f"{file} holds no runs; expected what `pnp bench --json` wrote")
    try:
        return BenchmarkResults.from_dict(results)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} is incomplete or was edited ({type(error).__name__}: {error}); "
            "expected what `pnp bench --json` wrote"
        ) from error


def merge_results(parts: Sequence[BenchmarkResults]) -> BenchmarkResults:
    """Join results of several runs on one machine; where two measured the same, the later one counts.

    Args:
        parts: Results of `run_benchmark`.

    Returns:
        The same as from one run, with all runs.

    Raises:
        ValueError: If the environments differ, so that their numbers cannot be compared.
    """
    merged = parts[0]
    for part in parts[1:]:
        if part.environment != merged.environment:
            raise ValueError(
                "results of different machines, numbers of threads or versions cannot share a report"
            )
        merged = BenchmarkResults(
            runs=merged.runs + part.runs,
            environment=merged.environment,
            peer=part.peer or merged.peer,
            configurations={**merged.configurations, **part.configurations},
            jacobian={**merged.jacobian, **part.jacobian},
            precision={**merged.precision, **part.precision},
            throughput={**merged.throughput, **part.throughput},
            gradient_memory=part.gradient_memory or merged.gradient_memory,
            cost=part.cost or merged.cost,
            cuda=part.cuda or merged.cuda,
        )
    return merged
