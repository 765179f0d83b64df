#!/usr/bin/env python
"""Cost of a training step under each loss, on the same batch of chirps.

    python benchmarks/losses.py --json benchmarks/results/losses.json --docs docs [--peer DIR/bin/python]

Three tables. At a large batch and at a small one, the losses that do not synthesize: the loss alone (forward, and
backward to the prediction), and the whole optimizer step of the package's encoder with it. At a small batch, all of
them. Runs are interleaved; medians, with the least and the most, of seconds of the process, which are those of the wall
clock where nothing else runs. `--results FILE` measures nothing and writes the page; `--keep FILE` measures the losses
that do not synthesize and takes the others from an earlier run.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from published import published_features
from torch import Tensor

import pnp
from pnp.bench.environment import commit, environment
from pnp.bench.peer import Peer
from pnp.features.multiscale import MultiscaleSTFT
from pnp.features.standard import scattering_settings
from pnp.training.encoder import Encoder

Step = Callable[[], Any]


class Batch:
    """Sounds, predictions of a network, and metrics.

    Metrics are random: their values have no effect on the cost.
    """

    def __init__(self, size: int, n_sounds: int = 4096) -> None:
        self.synth = pnp.synths.make("chirp")
        generator = torch.Generator().manual_seed(0)
        n_parameters = len(self.synth.space)
        self.u = self.synth.space.sample(size, "uniform", 0).float()
        self.u_hat = (self.u + 0.1 * torch.randn(size, n_parameters, generator=generator)).clamp(-1, 1)
        self.index = torch.randint(n_sounds, (size,), generator=generator)
        self.metric = pnp.RiemannianMetric.from_jacobian(
            torch.randn(n_sounds, 8, n_parameters, generator=generator)
        )
        self.encoder = Encoder(self.synth.space, self.synth.sample_rate)
        with torch.no_grad():
            sounds = [self.synth(self.synth.space.from_unit(part)) for part in self.u.split(16)]
            self.spectrograms = torch.cat([self.encoder.front_end(x) for x in sounds])
        self.optimizer = torch.optim.AdamW(self.encoder.parameters())

    def alone(self, loss: Callable[..., Tensor]) -> None:
        """Loss of the batch, and its gradient with respect to the prediction."""
        u_hat = self.u_hat.requires_grad_()
        u_hat.grad = None
        loss(u_hat, self.u, self.index).backward()

    def step(self, loss: Callable[..., Tensor]) -> None:
        """Optimizer step: forward through the encoder, loss, backward, AdamW."""
        self.optimizer.zero_grad()
        loss(self.encoder.body(self.spectrograms), self.u, self.index).backward()
        self.optimizer.step()


def mean_squared_error(u_hat: Tensor, u: Tensor, _index: Tensor) -> Tensor:
    """PyTorch's own."""
    return torch.nn.functional.mse_loss(u_hat, u)


def cheap_losses(batch: Batch) -> dict[str, Callable[..., Tensor]]:
    """Losses that do not synthesize."""
    losses: dict[str, Callable[..., Tensor]] = {
        "mean squared error": mean_squared_error,
        "P": pnp.ParameterLoss(),
        "PNP": pnp.PNPLoss(batch.metric),
    }
    for kind in ("identity", "diagonal", "mean"):
        losses[f"PNP, {kind} damping"] = pnp.PNPLoss(batch.metric, damping=0.1, damping_kind=kind)
    return losses


def interleaved(runs: dict[str, Step], rounds: int, calls: int) -> dict[str, dict[str, float]]:
    """Seconds of each: median, least and most over the rounds, each the mean of some calls."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            started = time.process_time()
            for _ in range(calls):
                run()
            times[name].append((time.process_time() - started) / calls)
    return {name: summary(values) for name, values in times.items()}


def summary(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def measure_cheap(size: int, rounds: int, steps: int) -> dict[str, Any]:
    """Losses that do not synthesize, with so many optimizer steps of each."""
    batch = Batch(size)
    losses = cheap_losses(batch)
    # In every call the cache holds what the call before used: what a small loss costs in a loop of its own.
    alone = interleaved({name: partial(batch.alone, loss) for name, loss in losses.items()}, 20 * rounds, 20)
    step = interleaved({name: partial(batch.step, loss) for name, loss in losses.items()}, steps, 1)
    return {"batch": size, "alone": alone, "step": step}


def measure_all(size: int, rounds: int, peer: str | None) -> dict[str, Any]:
    """All losses."""
    batch = Batch(size)
    features = published_features(batch.synth)
    losses: dict[str, Callable[..., Tensor]] = {
        "P": pnp.ParameterLoss(),
        "PNP": pnp.PNPLoss(batch.metric),
        "multiscale STFT": pnp.SpectralLoss(batch.synth, MultiscaleSTFT(), power=1),
        "JTFS": pnp.SpectralLoss(batch.synth, features),
    }
    with torch.no_grad():
        targets = torch.zeros(
            len(batch.metric), features(batch.synth(batch.synth.space.from_unit(batch.u[:1]))).shape[1]
        )
    losses["JTFS, stored targets"] = pnp.SpectralLoss(batch.synth, features, targets=targets)
    alone = interleaved({name: partial(batch.alone, loss) for name, loss in losses.items()}, rounds, 1)
    step = interleaved({name: partial(batch.step, loss) for name, loss in losses.items()}, rounds, 1)
    result = {"batch": size, "alone": alone, "step": step, "scrapl": None}
    if peer:
        result["scrapl"], alone["SCRAPL"], step["SCRAPL"] = measure_scrapl(batch, peer, rounds)
    return result


def measure_scrapl(
    batch: Batch, python: str, rounds: int
) -> tuple[dict[str, Any], dict[str, float], dict[str, float]]:
    """SCRAPL in a process of its own: network and synthesis here, its loss and the gradient of the sound there.

    A path a call, spread over all of them, for what they cost differs.
    """
    settings = scattering_settings(batch.synth.n_samples, batch.synth.sample_rate, "mesostructures")
    q1, q2 = settings["Q"]
    options = {name: settings[name] for name in ("J", "J_fr", "Q_fr", "T", "F")}
    options |= {"shape": batch.synth.n_samples, "Q1": q1, "Q2": q2}
    times, steps, worker = [], [], []
    with torch.no_grad():
        target = batch.synth(batch.synth.space.from_unit(batch.u))
    with Peer(python) as other:
        place = other.request(
            "build", settings=_kymatio(settings, batch.synth.n_samples), threads=torch.get_num_threads()
        )
        for number in range(3 * rounds):
            batch.optimizer.zero_grad()
            began = time.perf_counter()
            predicted = batch.encoder.body(batch.spectrograms)
            forward = time.perf_counter() - began
            began = time.perf_counter()
            u_hat = predicted.detach().requires_grad_()
            sound = batch.synth(batch.synth.space.from_unit(u_hat))
            here = time.perf_counter() - began
            there, gradient = other.result(
                "scrapl",
                x=other.store(sound.detach()),
                target=other.store(target),
                settings=options,
                path=37 * number,
            )
            began = time.perf_counter()
            sound.backward(gradient)
            here += time.perf_counter() - began
            began = time.perf_counter()
            predicted.backward(u_hat.grad)
            batch.optimizer.step()
            backward = time.perf_counter() - began
            if number:
                # The first builds the transform's tables.
                worker.append(there)
                times.append(here + there)
                steps.append(forward + here + there + backward)
    return {"loss": summary(worker), "environment": place}, summary(times), summary(steps)


def _kymatio(settings: dict[str, Any], n_samples: int) -> dict[str, Any]:
    names = ("J", "Q", "J_fr", "Q_fr", "T", "F")
    return {name: settings[name] for name in names} | {"shape": n_samples}


def as_markdown(results: dict[str, Any]) -> str:
    """The page."""
    cheap, every, place = results["cheap"], results["all"], results["environment"]
    earlier = results.get("earlier")
    lines = [
        "# Cost of the losses",
        "",
        f"Made by this command; do not edit, run it again: `{results['command']}`",
        f"at commit {results['commit']}, {results['date']}.",
        "",
        "## Losses that do not synthesize",
        "",
        *_cheap_table(cheap),
        "",
        *_cheap_table(results["small"]),
        "",
        "*Loss alone* is the call and the gradient with respect to the prediction, nothing else. *Optimizer step* is",
        "the forward pass of the package's encoder on stored spectrograms, the loss, the backward pass and AdamW.",
        f"Relative to mean squared error, an optimizer step with PNP loss costs {_ratio(cheap):.3f} at a batch of",
        f"{cheap['batch']}, and {_ratio(results['small']):.3f} at a batch of {results['small']['batch']}. Steps are",
        "short at a small batch. Most of what is measured there is how long PyTorch and Python take to call a loss",
        "and to record it for the derivative.",
        "",
        f"## All losses, batch of {every['batch']}",
        "",
        "| | loss alone, ms | times P | optimizer step, ms |",
        "|---|---:|---:|---:|",
    ]
    base = every["alone"]["P"]["median"]
    for name, alone in every["alone"].items():
        digits = 3 if alone["median"] < 1e-3 else 0
        step = _range(every["step"][name], 1e3, 0) if name in every["step"] else "–"
        lines.append(f"| {name} | {_range(alone, 1e3, digits)} | {alone['median'] / base:.0f} | {step} |")
    lines += [
        "",
        'Chirps of 32768 samples; JTFS of the preset "mesostructures"; the multiscale STFT has',
        "auraloss's resolutions. Losses that synthesize do so for the prediction and, without stored targets, for the",
        "truth.",
    ]
    if earlier:
        lines.append(
            f"Losses that synthesize were measured at commit {earlier['commit']}, {earlier['date']}."
        )
    if every["scrapl"]:
        scrapl = every["scrapl"]
        lines += [
            "SCRAPL (`scrapl-loss`, the same JTFS, one path a step) runs in a process of its own, which takes",
            f"{_range(scrapl['loss'], 1e3, 0)} ms of the time. Its targets are there already. Network and",
            "synthesis run here.",
        ]
    lines += [
        "",
        "## Where it ran",
        "",
        f"{place['cpu']}, {place['cores']} cores, {place['threads']} thread(s), load average {place['load']}",
        f"before it began. Versions: {', '.join(f'{name} {version}' for name, version in place['versions'].items())}.",
    ]
    return "\n".join(lines) + "\n"


def _cheap_table(results: dict[str, Any]) -> list[str]:
    base, base_step = (results[key]["mean squared error"]["median"] for key in ("alone", "step"))
    lines = [
        f"| batch of {results['batch']} | loss alone, µs | times MSE | optimizer step, ms | times MSE's |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, alone in results["alone"].items():
        step = results["step"][name]
        lines.append(
            f"| {name} | {_range(alone, 1e6, 0)} | {alone['median'] / base:.2f} | {_range(step, 1e3, 1)} | "
            f"{step['median'] / base_step:.3f} |"
        )
    return lines


def _ratio(results: dict[str, Any]) -> float:
    step = results["step"]
    ratio: float = step["PNP"]["median"] / step["mean squared error"]["median"]
    return ratio


def _range(value: dict[str, float], unit: float, digits: int) -> str:
    median, low, high = (f"{unit * value[key]:.{digits}f}" for key in ("median", "low", "high"))
    return f"{median} ({low}–{high})"


def main() -> None:
    """Measure, or read what was measured, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--large-batch", type=int, default=256, help="for losses that do not synthesize")
    parser.add_argument("--batch", type=int, default=16, help="for all losses")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch threads")
    parser.add_argument("--peer", help="interpreter of an environment with scrapl-loss")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--results", type=Path, help="measure nothing, read these numbers")
    parser.add_argument("--keep", type=Path, help="earlier numbers, for the losses that synthesize")
    parser.add_argument("--docs", type=Path, help="folder for losses-cost.md, such as docs/evidence")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.results:
        results = json.loads(options.results.read_text())
    else:
        peer = ["--peer", "DIR/bin/python"] if options.peer else []
        results = {
            "command": shlex.join(["python", "benchmarks/losses.py", *_given(options), *peer]),
            "commit": commit(),
            "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
            "environment": environment().to_dict(),
            "cheap": measure_cheap(options.large_batch, options.rounds, options.rounds),
            "small": measure_cheap(options.batch, options.rounds, 60 * options.rounds),
        }
        if options.keep:
            kept = json.loads(options.keep.read_text())
            results["all"] = kept["all"]
            results["earlier"] = kept.get("earlier", {name: kept[name] for name in ("commit", "date")})
            for key, name in product(("alone", "step"), ("P", "PNP")):
                results["all"][key][name] = results["small"][key][name]
        else:
            results["all"] = measure_all(options.batch, options.rounds, options.peer)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")
    page = as_markdown(results)
    sys.stdout.write(page)
    if options.docs:
        (options.docs / "losses-cost.md").write_text(page)


def _given(options: argparse.Namespace) -> list[str]:
    return [
        *("--large-batch", str(options.large_batch), "--batch", str(options.batch)),
        *("--rounds", str(options.rounds), "--threads", str(options.threads)),
        *(["--keep", str(options.keep)] if options.keep else []),
    ]


if __name__ == "__main__":
    main()
