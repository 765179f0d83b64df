#!/usr/bin/env python
"""Experiment: a precomputed metric beside parameter loss, from nothing to its results as JSON.

    python scripts/reproduce_training.py chirp                    # 16³ = 4096 chirps, the published transform
    python scripts/reproduce_training.py drum                     # 2048 drums
    python scripts/reproduce_training.py chirp-reduced            # 512 chirps, a cheaper transform, minutes a run
    python scripts/reproduce_training.py drum --sounds 256 --conditions P "PNP, saturated"         # fewer sounds
    python scripts/reproduce_training.py drum --longer 320 --conditions P "PNP, saturated"         # longer runs
    python scripts/reproduce_training.py drum --converge                   # every cheap loss until it gains no more

Every cache, tuning run and final run is kept in --work, and what is there is not done again: interrupt it, or give it
--time-limit, and the same command goes on. Results go to benchmarks/results/training-EXPERIMENT.json, from which
scripts/evidence_page.py writes docs/evidence/training.md. --extend takes the runs that are in that file for done, so
that an experiment can be added to where its runs are no longer at hand.

One encoder, one set of sounds and folds, one budget of time for all losses, on one thread, in seconds of the process,
which are those of the wall clock where nothing else runs; synthesis, transforms and gradients of a loss count, the
encoder's own spectrograms of the training sounds do not. Every loss is tuned over the same learning rates, damped
ones over λ at the rate that is best without damping, on the validation fold by the distance that the metric is made
of, with a seed of its own.

With --converge no time is set: the learning rate falls whenever the validation loss does not, and a run ends when that
gains nothing any more (`decay="plateau"` in `pnp.train`). How long that takes each loss is a result. λ is that of
the search above; learning rates, and then the reach, are searched once more, but for --as-found.

SCRAPL needs an interpreter with scrapl-loss, which carries a Kymatio of its own (see benchmarks/README.md); name it by
--peer and its runs are made there.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import pnp
from pnp.errors import CacheBusy
from pnp.features.standard import standard_features
from pnp.offline.precompute import precompute
from pnp.offline.rebuild import features_of
from pnp.training.checkpoint import LAST, load_encoder
from pnp.training.encoder import Encoder
from pnp.training.evaluate import evaluate
from pnp.training.spectrograms import Spectrograms
from pnp.training.train import TrainResult, train

_log = logging.getLogger("reproduce_training")

TUNING_SEED = 1000
LEARNING_RATES = (1e-3, 3e-3, 1e-2)
DAMPINGS = (0.01, 0.1, 1.0)
REACHES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
# Of runs to convergence: drums preferred the longest reach above.
LADDER = (*REACHES, 30.0, 100.0)


@dataclass(frozen=True)
class Condition:
    """A way of training.

    Attributes:
        loss: Loss as `pnp.train` names it, or "scrapl".
        options: Its options.
        damped: True where λ is tuned.
        saturated: True where eigenvalues of the metric are held down, with a reach that is tuned.
        schedule: True where λ follows Levenberg and Marquardt.
        cheap: True where it costs no more than parameter loss: such are repeated with all seeds.
        metric: True where it depends on the cache's metric or features.
        norm: True where the loss is the distance, not half its square.
    """

    loss: str
    options: dict[str, Any] = field(default_factory=dict)
    damped: bool = False
    saturated: bool = False
    schedule: bool = False
    cheap: bool = True
    metric: bool = True
    norm: bool = False


CONDITIONS = {
    "P": Condition("p", metric=False),
    "PNP": Condition("pnp"),
    "PNP, identity": Condition("pnp", {"damping_kind": "identity"}, damped=True),
    "PNP, diagonal": Condition("pnp", {"damping_kind": "diagonal"}, damped=True),
    "PNP, mean": Condition("pnp", {"damping_kind": "mean"}, damped=True),
    "PNP, scheduled": Condition("pnp", schedule=True),
    "PNP, saturated": Condition("pnp", saturated=True),
    "PNP, saturated, identity": Condition("pnp", saturated=True, damped=True),
    "PNP, saturated, mean": Condition("pnp", {"damping_kind": "mean"}, saturated=True, damped=True),
    "PNP, saturated, mean metric": Condition("pnp", {"mean_metric": True}, saturated=True),
    "PNP, saturated, norm": Condition("pnp", saturated=True, norm=True),
    "PNP, mean metric": Condition("pnp", {"mean_metric": True}),
    "P, norm": Condition("p", metric=False, norm=True),
    "PNP, norm": Condition("pnp", norm=True),
    "surrogate": Condition("surrogate", {"reach": None}),
    "surrogate, saturated": Condition("surrogate", saturated=True),
    "multiscale": Condition("multiscale", cheap=False, metric=False),
    "JTFS": Condition("spectral", cheap=False),
    "SCRAPL": Condition("scrapl", cheap=False),
}


@dataclass(frozen=True)
class Experiment:
    """Sounds, and what they are compared by.

    Attributes:
        synth: Registered name of the synthesizer.
        size: Number of sounds.
        method: Design of the sounds.
        transforms: Options of the scattering transform that differ from the standard ones, by name.
        budget: Seconds of training of a run.
        encoder: Options of the encoder.
        judged: Sounds of the validation and of the test fold on which distances are taken, at most.
    """

    synth: str
    size: int
    method: str
    transforms: dict[str, dict[str, Any]]
    budget: float
    encoder: dict[str, Any] = field(default_factory=dict)
    judged: int | None = None


SMALL_ENCODER = {
    "n_channels": [8, 16, 24, 32],
    "n_modulation_channels": [8, 16, 16],
    "n_hidden": 96,
    "front_end": {"n_bands": 32, "frame_rate": 96.0},
}
# A drum's partials lie close and last: finer bands, and fewer frames.
DRUM_ENCODER = SMALL_ENCODER | {"front_end": {"n_bands": 64, "frame_rate": 43.0}}
EXPERIMENTS = {
    "chirp": Experiment(
        "chirp", 4096, "grid", {"global": {}}, budget=80.0, encoder=SMALL_ENCODER, judged=256
    ),
    "drum": Experiment("drum", 2048, "sobol", {"local": {}}, budget=80.0, encoder=DRUM_ENCODER, judged=128),
    "chirp-reduced": Experiment(
        "chirp",
        512,
        "sobol",
        {
            "global": {"Q": (8, 1), "J_fr": 4, "Q_fr": 1, "F": "global"},
            "local": {"Q": (8, 1), "J_fr": 3, "Q_fr": 1, "F": 4},
        },
        budget=20.0,
        encoder=SMALL_ENCODER,
    ),
}
SPLIT = (0.7, 0.1, 0.2)


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        condition: Name of the condition.
        transform: Name of the transform whose metric is used; "-" where none is.
        learning_rate: Initial learning rate.
        damping: λ, of normalized metrics.
        seed: Seed of weights and of the order of sounds.
        budget: Seconds of training; None until it has converged.
        sounds: Sounds of the training fold that it learns from; None for all.
        reach: Reach for which the metric is saturated; None if it is not.
    """

    condition: str
    transform: str
    learning_rate: float
    damping: float
    seed: int
    budget: float | None
    sounds: int | None = None
    reach: float | None = None

    @property
    def name(self) -> str:
        """Name of its file."""
        condition = self.condition.replace(", ", "-").replace(" ", "-")
        return (
            f"{condition}_{self.transform}_lr{self.learning_rate:g}_lambda{self.damping:g}_"
            + (f"{self.budget:g}s" if self.budget else "converged")
            + f"_seed{self.seed}"
            + (f"_{self.sounds}sounds" if self.sounds else "")
            + (f"_reach{self.reach:g}" if self.reach else "")
        )


class Norm(nn.Module):
    """Mean distance, where a loss is half the mean of its square: what the evaluation takes the mean of.

    Outliers weigh less, and with PNP loss the sounds whose metric is large.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, u_hat: Tensor, u: Tensor, index: Tensor) -> Tensor:
        """√(2 L), with a floor under the root that keeps its gradient finite."""
        squared: Tensor = 2 * self.loss(u_hat, u, index)
        return (squared + 1e-8).sqrt().mean()


class ScraplLoss(nn.Module):
    """SCRAPL between the sounds of predicted and true parameters, one random path a step.

    In validation, the path is always the same for the same batch.
    """

    def __init__(self, synth: nn.Module, settings: dict[str, Any]) -> None:
        super().__init__()
        from scrapl import SCRAPLLoss  # type: ignore[import-not-found, unused-ignore]

        logging.getLogger("scrapl").setLevel(logging.WARNING)
        q1, q2 = settings["Q"]
        options = {name: settings[name] for name in ("J", "J_fr", "Q_fr", "T", "F")}
        self.synth = synth
        self.scrapl = SCRAPLLoss(
            shape=synth.n_samples, Q1=q1, Q2=q2, use_rho_log1p=True, grad_mult=1.0, **options
        )

    def forward(self, u_hat: Tensor, u: Tensor, index: Tensor) -> Tensor:
        """Distance along one path."""
        space: Any = self.synth.space
        training = torch.is_grad_enabled()
        self.scrapl.train(training)
        with torch.no_grad():
            target = self.synth(space.from_unit(u)).unsqueeze(1)
        sound = self.synth(space.from_unit(u_hat)).unsqueeze(1)
        distance: Tensor = self.scrapl(sound, target, seed=None if training else int(index[0]))
        return distance

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Plain gradient descent: SCRAPL's own Adam and SAGA act on the gradients before it."""
        attached = list(parameters)
        self.scrapl.attach_params(attached)
        return torch.optim.SGD(attached, lr=1.0, weight_decay=1e-2)


class Runner:
    """An experiment in a directory."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        experiment = EXPERIMENTS[name]
        changes = {key: getattr(options, key) for key in ("size", "method", "budget")}
        self.experiment = replace(
            experiment, **{key: value for key, value in changes.items() if value is not None}
        )
        self.name, self.options = name, options
        self.folder = Path(options.work) / name
        self.runs = self.folder / "runs"
        self.runs.mkdir(parents=True, exist_ok=True)
        self.synth = pnp.synths.make(self.experiment.synth)
        self.started = time.monotonic()
        if options.extend:
            self.take_over()
        self._spectrograms: Spectrograms | None = None

    # -- what there is to do ---------------------------------------------------------------------------------

    def cache_path(self, transform: str) -> Path:
        """Cache made with a transform."""
        return self.folder / f"{transform}.h5"

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Conditions and the transforms that they are run with."""
        for condition in self.options.conditions or CONDITIONS:
            transforms = self.options.transforms or list(self.experiment.transforms)
            yield from product([condition], transforms if CONDITIONS[condition].metric else ["-"])

    def candidates(self, condition: str, transform: str) -> list[Run]:
        """The search space."""
        kind = CONDITIONS[condition]
        rates: tuple[float, ...] = LEARNING_RATES
        dampings: tuple[float, ...] = DAMPINGS if kind.damped else (0.0,)
        reaches: tuple[float | None, ...] = REACHES if kind.saturated else (None,)
        if kind.saturated and kind.damped:
            found = self.best("PNP, saturated", transform)
            rates, reaches = (found.learning_rate,), (found.reach,)
        elif kind.saturated:
            # Its gradients are as large as those of P-loss, and spread as little.
            rates = (self.best("P", "-").learning_rate,)
        elif (kind.damped or kind.schedule) and not self.options.full_search:
            # At the learning rate that is best for the undamped metric.
            rates = (self.best("PNP", transform).learning_rate,)
        elif self.options.learning_rate:
            rates = (self.options.learning_rate,)
        budget, sounds = self.experiment.budget, self.options.sounds
        return [
            Run(condition, transform, rate, damping, TUNING_SEED, budget, sounds, reach)
            for rate, damping, reach in product(rates, dampings, reaches)
        ]

    def best(self, condition: str, transform: str) -> Run:
        """The candidate with the lowest distance on validation sounds."""
        return self.lowest(self.candidates(condition, transform), transform)

    def lowest(self, candidates: Sequence[Run], transform: str) -> Run:
        """The one of several runs with the lowest distance on validation sounds."""
        results = [(self.result(run), run) for run in candidates]
        return min(results, key=lambda pair: self.validation_distance(pair[0], transform))[1]

    def validation_distance(self, result: dict[str, Any], transform: str) -> float:
        """Quantity that is tuned for: distance under the transform of the metric, or the mean over all without one."""
        distances = result["distance"]
        return (
            distances[transform] if transform in distances else math.fsum(distances.values()) / len(distances)
        )

    def take_over(self) -> None:
        """Take the runs of the results file for done."""
        results = json.loads(self.results_path.read_text())
        names = [item.name for item in fields(Run)]
        for result in results["runs"]:
            run = Run(**{name: result.get(name) for name in names})
            if not (self.runs / f"{run.name}.json").exists():
                self.keep(run, result | {"cpu": result.get("cpu", results["environment"]["cpu"])})

    @property
    def results_path(self) -> Path:
        """Path of the results."""
        return Path(self.options.results) / f"training-{self.name}.json"

    def go(self) -> None:
        """Do everything that is not done."""
        for transform in self.experiment.transforms:
            self.precompute(transform)
        for condition, transform in self.pairs():
            if self.options.converge and not CONDITIONS[condition].cheap:
                continue
            if self.options.converge and not self.options.as_found:
                chosen = self.best_converged(condition, transform)
            else:
                chosen = self.best(condition, transform)
            if self.options.converge:
                chosen = replace(chosen, budget=None)
            if self.options.longer:
                chosen = replace(chosen, budget=self.options.longer)
            seeds = self.options.seeds if CONDITIONS[condition].cheap else self.options.seeds_of_dear
            for seed in range(self.options.first_seed, self.options.first_seed + seeds):
                run = replace(chosen, seed=seed)
                self.result(run)
                if self.options.last:
                    self.judge_last(run)

    def best_converged(self, condition: str, transform: str) -> Run:
        """Best settings when runs end by themselves: the learning rate, and then the reach."""
        kind, chosen = CONDITIONS[condition], replace(self.best(condition, transform), budget=None)
        if kind.saturated and kind.damped:
            chosen = replace(chosen, reach=self.best_converged("PNP, saturated", transform).reach)
        best = self.lowest([replace(chosen, learning_rate=rate) for rate in LEARNING_RATES], transform)
        if kind.saturated and not kind.damped:
            best = self.climb(best)
        return best

    def climb(self, run: Run) -> Run:
        """From the reach of a run along the ladder of reaches to one with a worse neighbour on either side."""
        while True:
            place = LADDER.index(run.reach or 0.0)
            neighbours = [replace(run, reach=reach) for reach in LADDER[max(0, place - 1) : place + 2]]
            best = self.lowest(neighbours, run.transform)
            if best == run:
                return run
            run = best

    def check_time(self) -> None:
        """End in time for --time-limit."""
        limit = self.options.time_limit
        if limit is not None and time.monotonic() - self.started > limit:
            raise SystemExit(f"time limit of {limit:g} s: the same command goes on from here")

    # -- doing it --------------------------------------------------------------------------------------------

    def precompute(self, transform: str) -> None:
        """Make a cache, or go on with it."""
        preset = {"chirp": "mesostructures", "drum": "pnp"}[
            str(self.synth.name)
        ]  # which the recorded runs had
        features = standard_features(self.synth, preset, **self.experiment.transforms[transform])
        size: Any = self.experiment.size
        while True:
            try:
                summary = precompute(
                    self.synth,
                    features,
                    self.cache_path(transform),
                    size=size,
                    method=self.experiment.method,
                    seed=0,
                    split=SPLIT,
                    jobs=self.options.jobs,
                    progress=not self.options.quiet,
                )
                break
            except CacheBusy:
                # Runs of several of these at once may share the caches.
                time.sleep(5)
        _log.info("%s", summary)

    def result(self, run: Run) -> dict[str, Any]:
        """Result of a run, made now if it is not there."""
        path = self.runs / f"{run.name}.json"
        if not path.exists():
            self.check_time()
            if run.condition == "SCRAPL" and self.options.peer:
                self.train_in_peer(run)
            trained = self.train(run)
            result = self.judge(run, trained)
            self.keep(run, result)
            _log.info("%s: %s", run.name, result["distance"])
        loaded: dict[str, Any] = json.loads(path.read_text())
        return loaded

    def train_in_peer(self, run: Run) -> None:
        """Train in the other interpreter; the checkpoint that it leaves is picked up here."""
        # scrapl first: it brings the only Kymatio that there is in its environment.
        start = "import runpy, scrapl, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
        command = [self.options.peer, "-c", start, __file__, self.name, "--work", self.options.work]
        command += ["--single", json.dumps(vars(run)), "--size", str(self.experiment.size)]
        environment = {**os.environ, "PYTHONPATH": str(Path(pnp.__file__).parents[1])}
        subprocess.run(command, check=True, env=environment)

    def spectrograms(self, cache: pnp.MetricCache) -> Spectrograms:
        """Input of the encoder, made once for all runs."""
        if self._spectrograms is None:
            rate: Any = self.synth.sample_rate
            encoder = Encoder(cache.space, float(rate), **self.experiment.encoder)
            self._spectrograms = Spectrograms(
                encoder.front_end, self.synth, cache.theta, cache.rows(), torch.device("cpu")
            )
        return self._spectrograms

    def train(self, run: Run) -> TrainResult:
        """Train, or go on with what a run left."""
        condition = CONDITIONS[run.condition]
        transform = next(iter(self.experiment.transforms)) if run.transform == "-" else run.transform
        checkpoint = self.runs / run.name
        with pnp.MetricCache(self.cache_path(transform)) as cache:
            options: dict[str, Any] = dict(condition.options)
            if condition.loss == "pnp":
                options["reach"] = None  # unless the condition has one
            if condition.loss == "pnp" and run.damping:
                options["damping"] = run.damping
            if run.reach:
                options["reach"] = run.reach
            loss: Any = condition.loss
            if condition.norm:
                loss = Norm(
                    pnp.PNPLoss.from_cache(cache, normalize=True, reduction="none", **options)
                    if loss == "pnp"
                    else pnp.ParameterLoss(reduction="none")
                )
                options = {}
            features = optimizer = None
            if loss == "spectral":
                features = features_of(cache)
            elif loss == "scrapl" and not (checkpoint / "done").exists():
                settings = cache.config["features"]["config"]["representation"]
                loss = ScraplLoss(self.synth, settings)
                optimizer = loss.optimizer
            elif loss == "scrapl":
                # Trained in the peer: what is left to do is to read it.
                return _finished(checkpoint)
            result = train(
                cache,
                self.synth,
                loss=loss,
                loss_options=options or None,
                features=features,
                optimizer=optimizer,
                damping_schedule={} if condition.schedule else None,
                epochs=None,
                time_budget=run.budget,
                decay="cosine" if run.budget else "plateau",
                clock=time.process_time,
                learning_rate=run.learning_rate,
                n_sounds=run.sounds,
                spectrograms=self.spectrograms(cache),
                encoder_options=self.experiment.encoder,
                seed=run.seed,
                out=checkpoint,
                overwrite=True,
                progress=False,
            )
            (checkpoint / "done").write_text(json.dumps({"seconds": result.seconds}))
            return result

    def judge(self, run: Run, trained: TrainResult) -> dict[str, Any]:
        """Record of a run: its settings, its course and its held-out errors."""
        return {
            **vars(run),
            **self.errors(trained.encoder, "validation" if run.seed == TUNING_SEED else "test"),
            "cpu": _environment()["cpu"],
            "stopped": trained.stopped,
            "seconds": trained.seconds,
            "epochs": len(trained.history),
            "best_epoch": trained.best_epoch,
            "course": [[epoch["seconds"], epoch["validation_error"]] for epoch in trained.history],
        }

    def judge_last(self, run: Run) -> None:
        """Add to what is kept of a run the errors with the weights of its last epoch, not of its best one.

        The best epoch is that of the lowest validation loss, which every loss measures with its own measure.
        """
        result = self.result(run)
        if "last" not in result:
            last = self.errors(load_encoder(self.runs / run.name / LAST), result["fold"])
            self.keep(run, result | {"last": last})

    def keep(self, run: Run, result: dict[str, Any]) -> None:
        """Write down a result, whole or not at all."""
        path = self.runs / f"{run.name}.json"
        temporary = path.with_suffix(".partial")
        temporary.write_text(json.dumps(result))
        temporary.replace(path)

    def errors(self, encoder: Encoder, fold: str) -> dict[str, Any]:
        """Errors on the sounds of a fold: on validation sounds for tuning, on test sounds else."""
        distance: dict[str, float] = {}
        for transform in self.experiment.transforms:
            with pnp.MetricCache(self.cache_path(transform)) as cache:
                evaluation = evaluate(
                    encoder,
                    cache,
                    self.synth,
                    features=features_of(cache),
                    fold=fold,
                    n_sounds=self.experiment.judged,
                    spectrograms=self.spectrograms(cache),
                    progress=False,
                )
            distance[transform] = evaluation.feature_distance or 0.0
            if not math.isfinite(distance[transform]):
                raise FloatingPointError(f"an encoder of {self.name} predicts sounds that have no features")
        if fold == "test":
            u = cache.u[evaluation.rows].float()
            distance["multiscale"] = self.multiscale(evaluation.u_hat, u)
        return {
            "fold": fold,
            "n_sounds": evaluation.n_sounds,
            "parameters": evaluation.parameters,
            "parameter_error_percent": evaluation.parameter_error_percent,
            "distance": distance,
        }

    @torch.no_grad()
    def multiscale(self, u_hat: Tensor, u: Tensor) -> float:
        """Mean multiscale spectral distance."""
        from pnp.features.multiscale import MultiscaleSTFT

        loss = pnp.SpectralLoss(self.synth, MultiscaleSTFT(), power=1, reduction="sum")
        pairs = zip(u_hat.split(8), u.split(8), strict=True)
        return math.fsum(float(loss(a, b)) for a, b in pairs) / len(u)

    # -- results ---------------------------------------------------------------------------------------------

    def report(self) -> Path:
        """All results so far, small enough to be kept."""
        caches, runs = {}, []
        for transform in self.experiment.transforms:
            if not self.cache_path(transform).exists():
                continue
            with pnp.MetricCache(self.cache_path(transform)) as cache:
                metric = cache.metrics()[cache.rows("train")]
                mean = metric.mean()
                caches[transform] = {
                    "features": cache.config["features"]["config"],
                    "sounds": int(cache.ok.sum()),
                    "folds": {name: len(cache.rows(name)) for name in ("train", "validation", "test")},
                    "mean_metric": mean.matrix.tolist(),
                    "median_condition": float(metric.condition.median()),
                }
        for path in sorted(self.runs.glob("*.json")):
            result = json.loads(path.read_text())
            # First, for a run to begin a line below.
            result = {"condition": result.pop("condition")} | result
            course = result["course"]
            step = max(1, len(course) // 40)
            result["course"] = [[round(x, 4) for x in point] for point in course[::step]]
            runs.append(result)
        out = self.results_path
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(
            json.dumps(
                {
                    "experiment": {"name": self.name, **vars(self.experiment)},
                    "full_size": EXPERIMENTS[self.name].size,
                    "search": {
                        "learning_rate": LEARNING_RATES,
                        "damping": DAMPINGS,
                        "reach": REACHES,
                        "reach_to_convergence": LADDER,
                    },
                    "full_search": self.options.full_search,
                    "fixed_learning_rate": self.options.learning_rate,
                    "environment": _environment(),
                    "caches": caches,
                    "runs": runs,
                },
                indent=None,
                separators=(",", ":"),
                default=str,
            ).replace('{"condition"', '\n{"condition"')
            + "\n"
        )
        return out


def _finished(folder: Path) -> TrainResult:
    """Read what a finished run left on disk."""
    import csv

    with (folder / "log.csv").open() as file:
        history = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    encoder: Encoder = load_encoder(folder)
    best = min(range(len(history)), key=lambda place: history[place]["validation_loss"])
    seconds = json.loads((folder / "done").read_text())["seconds"]
    return TrainResult(
        encoder=encoder,
        loss_name="ScraplLoss",
        history=history,
        best_epoch=best + 1,
        best_validation_loss=history[best]["validation_loss"],
        stopped="time",
        seconds=seconds,
        out=folder,
    )


def _environment() -> dict[str, Any]:
    from pnp.bench.environment import environment

    return environment().to_dict()


def main() -> None:
    """Run an experiment."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("experiment", choices=EXPERIMENTS)
    add("--size", type=int, help="number of sounds, in place of the experiment's own")
    add("--method", choices=("grid", "sobol"), help="design, likewise")
    add("--budget", type=float, metavar="SECONDS", help="training time of a run, likewise")
    add("--seeds", type=int, default=5, help="runs of each cheap loss")
    add("--first-seed", type=int, default=0, help="their first seed")
    add("--seeds-of-dear", type=int, default=2, help="runs of each loss that synthesizes at every step")
    add("--sounds", type=int, help="learn from so many sounds of the training fold, not from all")
    ending = parser.add_mutually_exclusive_group()
    ending.add_argument(
        "--longer",
        type=float,
        metavar="SECONDS",
        help="final runs of so long, with what the search found at the experiment's own budget",
    )
    ending.add_argument(
        "--converge", action="store_true", help="final runs of the cheap losses to convergence"
    )
    add(
        "--as-found",
        action="store_true",
        help="runs to convergence with all that the search found at the experiment's own budget",
    )
    add("--extend", action="store_true", help="take the runs that the results file holds for done")
    add("--last", action="store_true", help="judge the weights of the last epoch too, not of the best alone")
    add("--conditions", nargs="+", choices=CONDITIONS, metavar="NAME", help=f"some of {list(CONDITIONS)}")
    add("--transforms", nargs="+", metavar="NAME", help="some of the experiment's transforms")
    add("--learning-rate", type=float, help="do not search for it")
    add(
        "--full-search",
        action="store_true",
        help="damping with every learning rate, not with the best for λ = 0",
    )
    add("--work", default="cache/evidence", help="caches and runs")
    add("--results", default="benchmarks/results", help="where the JSON goes")
    add("--jobs", type=int, default=1, help="processes of the offline stage")
    add("--threads", type=int, default=1, help="PyTorch threads")
    add("--time-limit", type=float, metavar="SECONDS", help="start no run after this time")
    add("--peer", help="interpreter with scrapl-loss, h5py, jaxtyping, joblib, cloudpickle and tqdm")
    add("--report", action="store_true", help="run nothing; write down what is there")
    add("--single", help=argparse.SUPPRESS)
    add("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    torch.set_num_threads(options.threads)
    runner = Runner(options.experiment, options)
    if options.single:
        runner.train(Run(**json.loads(options.single)))
        return
    try:
        if not options.report:
            runner.go()
    finally:
        sys.stdout.write(f"{runner.report()}\n")


if __name__ == "__main__":
    main()
