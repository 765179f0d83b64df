"""The whole benchmark: everything it measures, in one dictionary that JSON can hold."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pnp._files import write_atomically
from pnp.bench.ceilings import measure_ceilings
from pnp.bench.configurations import STANDARD, Configuration
from pnp.bench.environment import commit, environment
from pnp.bench.operations import Operations, count
from pnp.bench.peer import Peer
from pnp.bench.precision import measure_precision
from pnp.bench.processes import gradient_memory, throughput
from pnp.bench.sweep import SWEEPS, Sweep, measure_sweep
from pnp.bench.timing import relative_error, summary, timed
from pnp.features.scattering import TimeFrequencyScattering

_log = logging.getLogger(__name__)

# Calls in a row of ours, of which the median is one round's time: one alone would start on a cache that the peer,
# whose calls are longer by orders of magnitude, has just swept.
_REPEATS = 3
# Steps of central differences relative to the norm of the sound: about the cube root of the precision.
_STEPS = {"float32": 3e-3, "float64": 1e-5}
GRADIENT_SOUNDS = 8
SECTIONS = ("table", "precision", "throughput", "memory", "cost")


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
) -> dict[str, Any]:
    """Measure speed, accuracy, throughput, memory and cost.

    Args:
        configurations: Transforms to measure.
        rounds: Times that ours and the peer's are timed in turn.
        peer: Python interpreter of an environment with Kymatio's development version; None to measure ours alone.
        sections: Some of "table", "precision", "throughput", "memory" and "cost".
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
    results: dict[str, Any] = {
        "runs": [
            {
                "command": command,
                "commit": commit(),
                "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
                "load": place.pop("load"),
            }
        ],
        "environment": place,
        "peer": None,
        "configurations": {},
        "precision": {},
        "throughput": {},
        "gradient_memory": None,
        "cost": [],
        "cuda": None,
    }

    def save() -> None:
        if json_file is not None:
            write_atomically(json_file, json.dumps(results, indent=1) + "\n")

    _log.info("ceilings of this machine")
    ceilings, copied = measure_ceilings(seconds=ceiling_seconds, size=ceiling_size)
    if "table" in sections:
        with Peer(peer) if peer else nullcontext() as other:
            for configuration in configurations:
                _log.info("%s: times and errors", configuration.name)
                table = measure_configuration(configuration, other, rounds, ceilings)
                table["ceilings"] = {**ceilings.to_dict(), "copy_bytes": copied}
                results["peer"] = table.pop("peer") or results["peer"]
                results["configurations"][configuration.name] = table
                save()
        if torch.cuda.is_available():
            results["cuda"] = _measure_cuda(configurations, rounds, ceiling_size)
            save()
    if "precision" in sections:
        for configuration in configurations:
            _log.info("%s: fast and exact", configuration.name)
            results["precision"][configuration.name] = measure_precision(configuration, rounds)
            save()
    if "throughput" in sections:
        for configuration in configurations:
            _log.info("%s: throughput", configuration.name)
            results["throughput"][configuration.name] = [
                throughput(configuration, sounds, workers, batch) for workers in (1, 2) for batch in (1, 8)
            ]
            save()
    if "memory" in sections:
        # The chirp with global averages where it is measured at all.
        measured = {configuration.name: configuration for configuration in configurations}
        configuration = measured.get("B", configurations[-1])
        _log.info("%s: memory of a gradient", configuration.name)
        memory = gradient_memory(configuration, GRADIENT_SOUNDS, torch.get_num_threads())
        results["gradient_memory"] = {"configuration": configuration.name, **memory}
        save()
    if "cost" in sections:
        for sweep in sweeps:
            _log.info("cost against %s", sweep.name)
            results["cost"].append(measure_sweep(sweep, rounds, ceilings))
            save()
    return results


def load_results(files: Sequence[Path]) -> dict[str, Any]:
    """Read what runs on one machine wrote, and join it.

    Args:
        files: JSON files that `run_benchmark` wrote.

    Returns:
        The same as of one run.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a file is not one of these, or they come from different environments.
    """
    return merge_results([_load(file) for file in files])


def _load(file: Path) -> dict[str, Any]:
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON; expected what `pnp bench --json` wrote") from error
    if not isinstance(results, dict) or "runs" not in results:
        raise ValueError(f"{file} holds no runs; expected what `pnp bench --json` wrote")
    return results


def merge_results(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join what several runs on one machine measured; where two measured the same, the later one counts.

    Args:
        parts: Results of `run_benchmark`.

    Returns:
        The same as of one run, with all runs under "runs".

    Raises:
        ValueError: If the environments differ, so that their numbers cannot be compared.
    """
    merged = dict(parts[0])
    for part in parts[1:]:
        if part["environment"] != merged["environment"]:
            raise ValueError(
                "results of different machines, numbers of threads or versions cannot share a report"
            )
        merged = {
            "runs": merged["runs"] + part["runs"],
            "environment": merged["environment"],
            **{key: merged[key] | part[key] for key in ("configurations", "throughput")},
            # Results of earlier versions have no such section.
            "precision": merged.get("precision", {}) | part.get("precision", {}),
            **{key: part[key] or merged[key] for key in ("peer", "gradient_memory", "cost", "cuda")},
        }
    return merged


def measure_configuration(
    configuration: Configuration, peer: Peer | None, rounds: int, ceilings: Operations
) -> dict[str, Any]:
    """Times of ours and of the peer in turn, and the differences of their results."""
    jtfs = configuration.transform("kymatio")
    default = configuration.transform()
    exact, exact_tangents = configuration.sounds()
    x, dx = exact.float(), exact_tangents.float()
    n_tangents = dx.shape[1]
    S = jtfs(x)
    weights = torch.randn(S.shape, generator=torch.Generator().manual_seed(0))
    ours: dict[str, Callable[[], Tensor]] = {
        "forward": lambda: jtfs(x),
        "forward and backward": lambda: _gradient(jtfs, x, weights),
        "S and J": lambda: jtfs.value_and_tangents(x, dx)[1],
    }
    for run in ours.values():
        run()
    default.value_and_tangents(x, dx)

    files: dict[str, str] = {}
    described = None
    if peer is not None:
        settings = {**configuration.settings, "shape": jtfs.n_samples}
        described = peer.request("build", settings=settings, threads=torch.get_num_threads())
        files = {"x": peer.store(x), "dx": peer.store(dx), "weights": peer.store(weights)}
        peer.request("forward", x=files["x"])

    own_times: dict[str, list[float]] = {name: [] for name in [*ours, "default"]}
    peer_times: dict[str, list[float]] = {name: [] for name in ours}
    theirs: dict[str, Tensor] = {}
    for _ in range(rounds):
        for name, run in ours.items():
            own_times[name].append(timed(run, repeats=_REPEATS)[0])
            if peer is None:
                continue
            if name == "forward and backward":
                seconds, theirs[name] = peer.result("gradient", x=files["x"], weights=files["weights"])
            else:
                seconds, theirs[name] = peer.result("forward", x=files["x"])
            # The last forward of the peer stands for all of its central differences.
            peer_times[name].append(2 * n_tangents * seconds if name == "S and J" else seconds)
        own_times["default"].append(timed(partial(default.value_and_tangents, x, dx), repeats=_REPEATS)[0])

    rows: dict[str, dict[str, Any]] = {}
    for name in ours:
        rows[name] = {"ours": summary(own_times[name]), "peer": None, "ratio": None, "errors": {}}
        if peer is not None:
            ratios = [b / a for a, b in zip(own_times[name], peer_times[name], strict=True)]
            rows[name] |= {"peer": summary(peer_times[name]), "ratio": summary(ratios)}
    if peer is not None:
        errors = _errors(configuration, jtfs, peer, weights, theirs)
        for name, row in rows.items():
            row["errors"] = errors[name]
        rows["S and J"]["peer_seconds_at_once"] = errors["S and J"].pop("peer_seconds")
    counts = {name: count(jtfs.plan, p) for name, p in (("forward", 0), ("S and J", n_tangents))}
    return {
        "peer": described,
        "configuration": configuration.to_dict(),
        "n_samples": jtfs.n_samples,
        "n_tangents": n_tangents,
        "n_coefficients": S[0].numel(),
        "rows": rows,
        "default_normalization": summary(own_times["default"]),
        "operations": {
            name: {
                **operations.to_dict(),
                "ceiling_seconds": operations.seconds(ceilings),
                "part_of_ceiling": operations.seconds(ceilings) / rows[name]["ours"]["median"],
            }
            for name, operations in counts.items()
        },
    }


def _errors(
    configuration: Configuration,
    jtfs: TimeFrequencyScattering,
    peer: Peer,
    weights: Tensor,
    theirs: dict[str, Tensor],
) -> dict[str, dict[str, float]]:
    """Relative differences, of a synthesized sound and of noise.

    The reference of Jacobians is ours in float64, itself checked against central differences of the peer in float64, in
    one direction that has a part of every tangent.
    """
    exact, exact_tangents = configuration.sounds()
    x, dx = exact.float(), exact_tangents.float()
    noise = configuration.noise(0)[0].float()
    v, noise_file = peer.store(weights), peer.store(noise)
    noise_S = peer.result("forward", x=noise_file)[1]
    noise_gradient = peer.result("gradient", x=noise_file, weights=v)[1]

    # What float32 rounds in the sound is common to all.
    J = jtfs.value_and_tangents(x, dx)[1].flatten(2)
    J64 = jtfs.value_and_tangents(x.double(), dx.double())[1].flatten(2)
    mixed = (dx.double() / dx.double().norm(dim=-1, keepdim=True)).sum(1, keepdim=True)
    along_mixed = jtfs.value_and_tangents(x.double(), mixed)[1].flatten(2)
    files = {"x": peer.store(x)}
    _, reference = peer.result(
        "finite_differences", **files, dx=peer.store(mixed), step=_STEPS["float64"], dtype="float64"
    )
    at_once, differences = peer.result(
        "finite_differences", **files, dx=peer.store(dx), step=_STEPS["float32"]
    )

    # The gradient with respect to the parameters is what the gradient of the samples is for. Where the sound is silent
    # the latter is rounding noise (see the report), but in directions that the synthesizer cannot take.
    gradients = _gradient(jtfs, x, weights), theirs["forward and backward"]
    gradient64 = _gradient(jtfs, x.double(), weights.double())
    along = [g.double() @ exact_tangents[0].mT for g in gradients]
    along_reference = (J64 @ weights.double().reshape(-1, 1)).reshape(1, -1)
    return {
        "forward": {
            "sound": relative_error(jtfs(x).flatten(1), theirs["forward"].flatten(1)),
            "noise": relative_error(jtfs(noise).flatten(1), noise_S.flatten(1)),
        },
        "forward and backward": {
            "sound": relative_error(along[0], along_reference),
            "peer": relative_error(along[1], along_reference),
            "noise": relative_error(_gradient(jtfs, noise, weights), noise_gradient),
            "samples": relative_error(gradients[0], gradient64),
            "samples_peer": relative_error(gradients[1], gradient64),
        },
        "S and J": {
            "sound": relative_error(J, J64),
            "peer": relative_error(differences.flatten(2), J64),
            "float64": relative_error(along_mixed, reference.flatten(2)),
            "peer_seconds": at_once,
        },
    }


def _gradient(jtfs: TimeFrequencyScattering, x: Tensor, weights: Tensor) -> Tensor:
    signal = x.detach().clone().requires_grad_()
    (jtfs(signal) * weights).sum().backward()
    assert signal.grad is not None
    return signal.grad


def _measure_cuda(configurations: Sequence[Configuration], rounds: int, ceiling_size: int) -> dict[str, Any]:
    """Ours on a GPU: times, Jacobians per second, part of the ceiling, and difference from the CPU."""
    ceilings, copied = measure_ceilings("cuda", size=ceiling_size)
    measured: dict[str, Any] = {
        "environment": environment("cuda"),
        "ceilings": {**ceilings.to_dict(), "copy_bytes": copied},
        "configurations": {},
    }
    for configuration in configurations:
        jtfs = configuration.transform()
        x, dx = (signal.float() for signal in configuration.sounds())
        S, J = jtfs.value_and_tangents(x, dx)
        gx, gdx = x.cuda(), dx.cuda()
        times: dict[str, list[float]] = {"forward": [], "S and J": []}
        for _ in range(rounds + 1):
            times["forward"].append(timed(partial(jtfs, gx), "cuda", _REPEATS)[0])
            seconds, (gS, gJ) = timed(partial(jtfs.value_and_tangents, gx, gdx), "cuda", _REPEATS)
            times["S and J"].append(seconds)
        ideal = count(jtfs.plan, dx.shape[1]).seconds(ceilings)
        both = summary(times["S and J"][1:])  # the first round warms up
        measured["configurations"][configuration.name] = {
            "forward": summary(times["forward"][1:]),
            "S and J": both,
            "jacobians_per_second": 1 / both["median"],
            "part_of_ceiling": ideal / both["median"],
            "errors": {"S": relative_error(gS, S), "J": relative_error(gJ, J)},
        }
    return measured
