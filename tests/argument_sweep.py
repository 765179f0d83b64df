"""Every numeric option of the public surface, given what is no number; for a process of its own, without type checks.

In the tests the annotations are checked first, by another error than users see. Prints a line for each option that
takes what it should not, or answers by an error that nobody wrote for it.
"""

from __future__ import annotations

import math
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from task import MemoryCache
from torch import nn
from toy import ToyFeatures, ToySynth

import pnp
from pnp import diagnostics
from pnp.cli.outcome import sentence_of
from pnp.features.compression import Features
from pnp.features.scalogram import scalogram
from pnp.features.spectrogram import MultiscaleSpectrogram
from pnp.features.standard import scattering_settings
from pnp.matching.recording import as_recording
from pnp.metric.reach import ceiling_of_reach
from pnp.synths.with_gain import WithGain
from pnp.training.encoder import Encoder
from pnp.training.front_end import LogFrequencySpectrogram

NEVER = ("1", [1], True, math.nan, math.inf, 1 + 0j, object())
NUMPY = (np.float32, np.float64, np.int16, np.int64, np.uint8)


def targets(folder: Path) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
    """Functions and constructors, each with arguments that it takes."""
    cache, synth, features = MemoryCache(), ToySynth(), ToyFeatures()
    metric, u = cache.metrics(), cache.u
    space = synth.space
    pnp.precompute(synth, features, folder / "toy.h5", size=40, progress=False)
    stored = pnp.MetricCache(folder / "toy.h5")
    x = torch.sin(torch.arange(400.0))
    yield pnp.Parameter, {"name": "f", "low": 1.0, "high": 2.0, "scale": "log", "offset": 0.5}
    yield pnp.Parameter, {"name": "f", "low": 1.0, "high": 2.0, "scale": "power", "exponent": 2.0}
    yield space.sample, {"n": 4, "seed": 1}
    yield space.sample, {"n": 4, "seed": 1, "method": "grid"}
    yield pnp.ParameterLoss, {"scale": 2.0}
    yield (
        pnp.PNPLoss,
        {"metric": metric, "damping": 1.0, "scale": 2.0, "ceiling": 3.0, "volume_weighting": 0.5},
    )
    yield pnp.PNPLoss.from_cache, {"cache": cache, "reach": 2.0, "damping": 1.0, "scale": 1.0}
    yield pnp.PNPLoss.from_cache, {"cache": cache, "ceiling": 2.0, "normalize": True, "mean_metric": False}
    yield pnp.SurrogateLoss.from_cache, {
        "cache": cache, "rank": 3, "neighbours": 5, "reach": 2.0, "scale": 1.0, "normalize": True,
    }  # fmt: skip
    yield pnp.SpectralLoss, {"synth": synth, "features": features, "power": 2, "scale": 1.0}
    yield pnp.ChoiceLoss, {"distances": {"wave": torch.tensor([[0.0, 1.0]])}, "scale": 1.0}
    yield pnp.LevenbergMarquardt, {
        "loss": pnp.PNPLoss(metric), "initial": 1.0, "decrease": 0.5, "brake": 2.0, "patience": 3, "threshold": 0.1,
        "revert": False,
    }  # fmt: skip
    yield ceiling_of_reach, {"cache": cache, "reach": 1.0}
    yield metric.saturated, {"ceiling": 1.0}
    yield metric.scaled, {"mu": 1.0}
    yield metric.damped, {"lam": 1.0}
    yield pnp.RiemannianMetric.from_matrix, {"matrix": metric[cache.rows()[0]].matrix, "rtol": 0.1}
    yield pnp.MetricField.from_cache, {"cache": cache, "method": "shepard", "neighbours": 3}
    yield pnp.DistanceSurrogate.from_cache, {"cache": cache, "rank": 2, "neighbours": 3, "reach": 1.0}
    yield Features, {"representation": nn.Identity(), "scale": 10.0}
    yield MultiscaleSpectrogram, {"windows": (8, 16)}
    yield scalogram, {
        "x": x, "sample_rate": 1000.0, "low": 50.0, "high": 400.0, "bins_per_octave": 4, "quality": 2.0,
    }  # fmt: skip
    yield scattering_settings, {"n_samples": 4096, "sample_rate": 8192.0}
    yield (
        pnp.standard_features,
        {"synth": pnp.synths.make("chirp", n_samples=2048), "scale": 10.0, "J": 5, "F": 2},
    )
    yield pnp.TimeFrequencyScattering, {
        "shape": 400, "J": 5, "Q": 4, "J_fr": 2, "Q_fr": 1, "T": 50, "F": 2,
    }  # fmt: skip
    yield pnp.synths.Chirp, {"sample_rate": 8000.0, "n_samples": 64, "bandwidth": 2.0, "shift": 3.0}
    yield pnp.synths.Drum, {"sample_rate": 8000.0, "n_samples": 64, "order": 3}
    yield pnp.synths.String, {"sample_rate": 8000.0, "n_samples": 64, "order": 3, "heard_at": 0.1}
    yield pnp.synths.Ripple, {
        "sample_rate": 8192.0, "n_samples": 64, "lowest": 200.0, "octaves": 4.0, "tones_per_octave": 3, "depth": 0.5,
        "shift": 3.0,
    }  # fmt: skip
    yield pnp.synths.BlackBox, {
        "program": print, "space": space, "sample_rate": 8000.0, "n_samples": 64, "jobs": 1, "timeout": 3.0,
        "tolerance": 0.5,
    }  # fmt: skip
    yield WithGain, {"synth": synth, "low": 0.5, "high": 2.0}
    yield pnp.precompute, {
        "synth": synth, "features": features, "out": folder / "new.h5", "size": 4, "seed": 1, "jobs": 1, "block": 2,
        "progress": False,
    }  # fmt: skip
    yield pnp.TrainOptions, {
        "epochs": 2, "time_budget": 3.0, "patience": 2, "n_sounds": 3, "batch_size": 2, "learning_rate": 1.0,
        "weight_decay": 1.0, "seed": 3, "resume": False,
    }  # fmt: skip
    yield pnp.CacheDataset(stored).loader, {"batch_size": 2, "workers": 0}
    yield pnp.CacheDataset(stored).__getitem__, {"item": 1}
    yield stored.metric, {"rows": 1}
    yield stored.features, {"rows": 1}
    yield pnp.evaluate, {
        "encoder": lambda x: torch.zeros(len(x), 2), "cache": stored, "synth": synth, "n_sounds": 2,
        "progress": False,
    }  # fmt: skip
    yield pnp.match, {
        "sound": torch.sin(torch.arange(64.0)), "cache": stored, "synth": synth, "features": features, "starts": 1,
        "max_evaluations": 2, "sample_rate": 1000.0,
    }  # fmt: skip
    yield as_recording, {"channels": np.sin(np.arange(64.0)), "sample_rate": 1000.0}
    yield Encoder, {"space": space, "sample_rate": 1000.0, "n_modulations": 4, "n_hidden": 3}
    yield LogFrequencySpectrogram, {
        "sample_rate": 8000.0, "n_bands": 8, "n_octaves": 4.0, "frame_rate": 100.0, "gain": 10.0,
    }  # fmt: skip
    yield diagnostics.just_noticeable_steps, {"metric": metric, "distance": 1.0}
    yield diagnostics.in_words, {"vector": [0.6, 0.8], "names": ["a", "b"], "least": 0.1, "most": 2}
    yield diagnostics.smoothness, {"metric": metric, "u": u, "neighbours": 2, "most": 3, "seed": 1}
    yield diagnostics.clusters, {"cosines": torch.eye(3), "least": 0.5}
    yield diagnostics.linearization_error, {
        "synth": synth, "features": features, "u": stored.u[:1], "metric": stored.metrics()[:1], "directions": 1,
        "seed": 1, "radii": (0.1,),
    }  # fmt: skip
    yield diagnostics.rank, {"metric": metric, "tolerance": 0.1}
    yield diagnostics.outliers, {"metric": metric, "threshold": 3.0}
    yield diagnostics.geodesic, {
        "field": pnp.MetricField.from_cache(cache), "start": torch.zeros(2), "end": torch.ones(2) / 2, "segments": 2,
        "iterations": 2,
    }  # fmt: skip


def is_numeric(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def call(function: Callable[..., Any], arguments: dict[str, Any]) -> Exception | None:
    """Call a function; return what it raised."""
    for path in (arguments.get("out"),):
        if path is not None:
            Path(path).unlink(missing_ok=True)
    try:
        function(**arguments)
    except Exception as error:  # noqa: BLE001
        return error
    return None


def accepted_on_purpose(function: Callable[..., Any], name: str, wrong: Any) -> bool:
    """Some options take more than numbers."""
    label = f"{function.__qualname__}.{name}"
    if label.endswith((".Q", ".n", "size", ".rows", ".shape")) and wrong == [1]:
        return True  # a sequence has a meaning there
    return isinstance(wrong, bool) is False and wrong is None


def problems(folder: Path) -> Iterator[str]:
    for function, arguments in targets(folder):
        label = getattr(function, "__qualname__", str(function))
        error = call(function, arguments)
        if error is not None:
            yield f"{label}: the right arguments raise {type(error).__name__}: {error}"
            continue
        for name, value in arguments.items():
            if isinstance(value, bool):
                wrongs: tuple[Any, ...] = ("no", 1, None, [True], math.nan)
                if "from_cache" in label:
                    wrongs = tuple(wrong for wrong in wrongs if wrong is not None)
            elif is_numeric(value):
                wrongs = NEVER
            else:
                continue
            for wrong in wrongs:
                error = call(function, arguments | {name: wrong})
                place = f"{label}({name}={wrong!r})"
                if error is None:
                    if not accepted_on_purpose(function, name, wrong):
                        yield f"{place} is accepted"
                elif sentence_of(error) is None or not isinstance(
                    error, (ValueError, TypeError, pnp.PnpError)
                ):
                    yield f"{place} raises {type(error).__name__}: {error}"
                elif len(str(error)) > 300 or "\n" in str(error):
                    yield f"{place} is no sentence: {error}"
            for kind in NUMPY if is_numeric(value) else ():
                whole = np.issubdtype(kind, np.integer)
                if float(np.float64(value).astype(kind)) == value and (whole or isinstance(value, float)):
                    error = call(function, arguments | {name: kind(value)})
                    if error is not None:
                        yield f"{label}({name}={kind.__name__}) raises {type(error).__name__}: {error}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found = [re.sub(r" at 0x[0-9a-f]+", "", problem) for problem in problems(Path(place))]
    sys.stdout.write("\n".join(found))
