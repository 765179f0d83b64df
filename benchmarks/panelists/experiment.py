"""Caches, training runs and their judgement, each kept as soon as it is there."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pnp
from pnp._files import write_atomically
from pnp.features.standard import standard_features
from pnp.metric.reach import DEFAULT_REACH, ceiling_of_reach
from pnp.training.encoder import Encoder
from pnp.training.spectrograms import Spectrograms

from .judges import EARS, Judges
from .members import PANEL, Member

__all__ = ["CONDITIONS", "RULES", "Condition", "Experiment"]

_log = logging.getLogger(__name__)

# Sounds that encoders are judged on, drawn beside those of the caches.
HELD_OUT, HELD_OUT_SEED = 128, 1
# Of programs that PyTorch does not differentiate: that of `precompute(derivatives="difference")`.
DEFAULT_STEP = 0.1


@dataclass(frozen=True)
class Condition:
    """A way of training.

    Args:
        loss: Loss as `pnp.train` names it.
        options: Options of the loss.
        step: Step of the differences that the metric is made of; None for the derivatives of a default cache.
        features: Changes of the standard representation.
        listens: True where the loss makes sounds, so that it needs PyTorch's derivatives and a budget of time.
    """

    loss: str
    options: Mapping[str, Any] = field(default_factory=dict)
    step: float | None = None
    features: Mapping[str, Any] = field(default_factory=dict)
    listens: bool = False


CONDITIONS: dict[str, Condition] = {
    "P": Condition("p"),
    "PNP": Condition("pnp"),
    "multiscale": Condition("multiscale", listens=True),
    "PNP, no reach": Condition("pnp", {"reach": None}),
    "PNP, reach 1": Condition("pnp", {"reach": 1.0}),
    "PNP, reach 10": Condition("pnp", {"reach": 10.0}),
    "PNP, reach 30": Condition("pnp", {"reach": 30.0}),
    "PNP, step 0.1": Condition("pnp", step=0.1),
    "PNP, step 0.1, no reach": Condition("pnp", {"reach": None}, step=0.1),
    "PNP, step 0.3": Condition("pnp", step=0.3),
    "PNP, step 0.3, no reach": Condition("pnp", {"reach": None}, step=0.3),
}
# Rules by which the metric could be made and used, of which one is the default.
RULES = [name for name in CONDITIONS if name.startswith("PNP")]
CONDITIONS |= {f"PNP, {name}": Condition("pnp", features=changes) for name, changes in EARS.items()}


class Experiment:
    """The panel in a folder, and its results in a file.

    Args:
        work: Folder of the caches.
        results: JSON file, read first if it is there.
        deadline: Time of the clock, in seconds since the epoch, after which nothing new is begun.
    """

    def __init__(self, work: Path, results: Path, deadline: float) -> None:
        self.work, self.path, self.deadline = work, results, deadline
        work.mkdir(parents=True, exist_ok=True)
        empty: dict[str, Any] = {"members": {}, "runs": []}
        self.content = json.loads(results.read_text("utf-8")) if results.exists() else empty

    def over(self) -> bool:
        """True once the deadline has passed."""
        return time.time() > self.deadline

    def save(self) -> None:
        """Write the results, whole or not at all."""
        write_atomically(self.path, (json.dumps(self.content, indent=1) + "\n").encode())

    # -- caches ---------------------------------------------------------------------------------------------

    def cache(self, name: str, condition: Condition) -> pnp.MetricCache:
        """Cache of a member, made or completed first."""
        member, synth = PANEL[name], PANEL[name].make()
        step = condition.step if condition.step is not None or member.differentiable else DEFAULT_STEP
        changes = {} if step is None else {"derivatives": "difference", "step": step}
        label = "-".join([name, *([f"step{step:g}"] if step else []), *map(str, condition.features.values())])
        path = self.work / f"{label}.h5"
        record = self.content["members"].setdefault(name, _described(member, synth))
        if label not in record["seconds"]:
            began = time.process_time()
            features = standard_features(synth, **condition.features)
            summary = pnp.precompute(
                synth, features, path, size=member.size, store="features", progress=False, **changes
            )
            record["seconds"][label] = round(time.process_time() - began, 1)
            record["failed"][label] = summary.n_failed
            _log.info("%s: cache in %.0f s, %d failed", label, record["seconds"][label], summary.n_failed)
        cache = pnp.MetricCache(path)
        if label not in record["saturated"]:
            metrics = cache.metrics()
            held_down = metrics.saturated(ceiling_of_reach(cache, DEFAULT_REACH))
            record["condition"][label] = float(metrics.condition.nanmedian())
            record["saturated"][label] = float(held_down.condition.nanmedian())
            self.save()
        return cache

    # -- runs -----------------------------------------------------------------------------------------------

    def due(
        self, names: list[str], conditions: list[str], seeds: range
    ) -> Iterator[tuple[str, int, list[str]]]:
        """Members, seeds and conditions that are not yet run; seeds in the outer loop."""
        done = {(run["member"], run["condition"], run["seed"]) for run in self.content["runs"]}
        for seed in seeds:
            for name in names:
                missing = [
                    condition
                    for condition in conditions
                    if (name, condition, seed) not in done
                    and (PANEL[name].differentiable or not CONDITIONS[condition].listens)
                ]
                if missing:
                    yield name, seed, missing

    def train(self, names: list[str], conditions: list[str], seeds: range) -> None:
        """Train and judge all that is due until the deadline."""
        for name, seed, missing in self.due(names, conditions, seeds):
            sounds: _Sounds | None = None
            for condition in missing:
                if self.over():
                    return
                cache = self.cache(name, CONDITIONS[condition])
                sounds = sounds or _Sounds(cache, PANEL[name])
                run = {"member": name, "condition": condition, "seed": seed}
                run |= self._run(CONDITIONS[condition], cache, sounds, seed, self._budget(name, seed))
                self.content["runs"].append(run)
                self.save()
                _log.info("%s, %s, seed %d: %s", name, condition, seed, run["distance"])

    def match(self, names: list[str], n_sounds: int, starts: int = 4) -> None:
        """Match sounds that no cache has, by each representation of `EARS` and the standard one.

        Args:
            names: Members; those that are not judged by several representations are left out.
            n_sounds: Number of sounds.
            starts: Starts of each search.
        """
        found = self.content.setdefault("matches", {})
        for name, (label, changes) in product(names, {"standard": {}, **EARS}.items()):
            if not PANEL[name].ears or label in found.get(name, {}):
                continue
            if self.over():
                return
            synth = PANEL[name].make()
            cache = self.cache(name, Condition("pnp", features=changes))
            u = synth.space.sample(n_sounds, seed=HELD_OUT_SEED)
            began, errors = time.process_time(), []
            for true, sound in zip(u, synth(synth.space.from_unit(u).float()), strict=True):
                features = standard_features(synth, **changes)
                matched = pnp.match(
                    sound, cache, synth=synth, features=features, starts=starts, fit_gain=False, align=False
                )
                ends = torch.tensor([one.u for one in matched.parameters], dtype=torch.float64)
                errors.append(round(float((ends - true).abs().max()), 6))
            found.setdefault(name, {})[label] = {
                "errors": errors,
                "seconds": round(time.process_time() - began, 1),
            }
            self.save()
            _log.info("%s, matched by %s: %s", name, label, errors)

    def _budget(self, name: str, seed: int) -> float | None:
        """Seconds that P-loss trained."""
        for run in self.content["runs"]:
            if (run["member"], run["condition"], run["seed"]) == (name, "P", seed):
                return float(run["seconds"])
        return None

    def _run(
        self, condition: Condition, cache: pnp.MetricCache, sounds: _Sounds, seed: int, budget: float | None
    ) -> dict[str, Any]:
        result = pnp.train(
            cache,
            sounds.synth,
            loss=condition.loss,
            loss_options=dict(condition.options),
            seed=seed,
            spectrograms=sounds.spectrograms,
            time_budget=budget if condition.listens else None,
            clock=time.process_time,
            progress=False,
        )
        return {
            "epochs": len(result.history),
            "best_epoch": result.best_epoch,
            "seconds": round(result.seconds, 2),
            **sounds.judge(result.encoder),
        }


class _Sounds:
    """Sounds of a member: what its encoders hear, and what they are judged by."""

    def __init__(self, cache: pnp.MetricCache, member: Member) -> None:
        synth = member.make()
        self.cache, self.synth = cache, synth
        front_end = Encoder(cache.space, float(cache.config["synthesizer"]["sample_rate"])).front_end
        self.spectrograms = Spectrograms(front_end, synth, cache.theta, cache.rows(), torch.device("cpu"))
        self.u = cache.space.sample(HELD_OUT, seed=HELD_OUT_SEED)
        true = self._play(self.u)
        self.judges = Judges(synth, true, EARS if member.ears else {})
        with torch.no_grad():
            self.heard = torch.cat([front_end(some) for some in true.split(16)])

    def _play(self, u: Tensor) -> Tensor:
        with torch.no_grad():
            chunks = self.cache.space.from_unit(u.double().clamp(-1, 1)).float().split(16)
            return torch.cat([self.synth(chunk) for chunk in chunks])

    def judge(self, encoder: Encoder) -> dict[str, Any]:
        """Distances and errors of an encoder over sounds that no cache has."""
        with torch.no_grad():
            u_hat = torch.cat([encoder.body(x) for x in self.heard.split(16)])
        return {
            "distance": self.judges(self._play(u_hat)),
            "error": [round(value, 5) for value in (u_hat - self.u).abs().mean(0).tolist()],
        }


def _described(member: Member, synth: Any) -> dict[str, Any]:
    return {
        "title": member.title,
        "parameters": list(synth.space.names),
        "rate": float(synth.sample_rate),
        "n_samples": int(synth.n_samples),
        "size": member.size,
        "seconds": {},
        "failed": {},
        "condition": {},
        "saturated": {},
    }
