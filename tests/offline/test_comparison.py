"""A cache is continued only by what made it: settings are compared, and a row is computed again."""

import functools
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy import ToyFeatures

from pnp import Parameter, ParameterSpace, precompute
from pnp.errors import CacheConfigMismatch
from pnp.synths import BlackBox

N = 256
SPACE = ParameterSpace(
    [Parameter("f0", 200.0, 800.0, "log", "Hz"), Parameter("decay", 0.05, 0.5, "log", "s")]
)
OPTIONS: dict[str, Any] = {"size": 8, "block": 4, "progress": False}


class Tone(torch.nn.Module):
    """A user's module: no `config()`."""

    def __init__(self, ratio: float = 1.0) -> None:
        super().__init__()
        self.space, self.sample_rate, self.n_samples = SPACE, 8000.0, N
        self.ratio = ratio
        self._last = None

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        t = torch.arange(N, dtype=theta.dtype) / 8000.0
        return torch.exp(-t / theta[..., 1:]) * torch.sin(2 * math.pi * self.ratio * theta[..., :1] * t)


class Scaled(ToyFeatures):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(N)
        vars(self).update({"gain": 1.0, "_gain": 1.0} | attributes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(np.prod(self.gain) * self._gain * x)


def of_closure(ratio: float) -> torch.nn.Module:
    class Captured(Tone):
        def forward(self, theta: torch.Tensor) -> torch.Tensor:
            return ratio * super().forward(theta)

    return Captured()


def of_default(value: float) -> torch.nn.Module:
    class Default(Tone):
        def forward(self, theta: torch.Tensor, ratio: float = value) -> torch.Tensor:
            return ratio * super().forward(theta)

    return Default()


def of_class(value: float) -> torch.nn.Module:
    class Constant(Tone):
        level = value

        def forward(self, theta: torch.Tensor) -> torch.Tensor:
            return self.level * super().forward(theta)

    return Constant()


def note(f0: float, decay: float, ratio: float = 1.0) -> np.ndarray:
    t = np.arange(N) / 8000
    return np.exp(-t / decay) * np.sin(2 * np.pi * ratio * f0 * t)


def boxed(program: Callable[..., np.ndarray]) -> BlackBox:
    return BlackBox(program, SPACE, 8000.0, N)


class Engine:
    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def play(self, f0: float, decay: float) -> np.ndarray:
        return note(f0, decay, self.ratio)


# From a value to a synthesizer that differs by it alone, with the field that a refusal names.
SYNTHESIZERS = {
    "attribute": (Tone, r"synthesizer\.attributes\.ratio: the file has 1.0, asked 1.5"),
    "closure": (of_closure, r"synthesizer\.attributes\.forward\.ratio"),
    "default": (of_default, r"synthesizer\.attributes\.forward\.ratio"),
    "class": (of_class, r"synthesizer\.attributes\.level"),
    "black box closure": (lambda v: boxed(lambda f0, decay: note(f0, decay, v)), r"config\.captured\.v"),
    "black box default": (
        lambda v: boxed(lambda f0, decay, ratio=v: note(f0, decay, ratio)),
        r"config\.captured\.ratio",
    ),
    "partial": (lambda v: boxed(functools.partial(note, ratio=v)), r"config\.captured\.ratio"),
    "method": (lambda v: boxed(Engine(v).play), r"config\.captured\.ratio"),
}


@pytest.mark.parametrize("kind", SYNTHESIZERS)
def test_a_synthesizer_whose_plain_values_differ_is_refused_by_their_names(kind: str, tmp_path: Path) -> None:
    make, field = SYNTHESIZERS[kind]
    path, features = tmp_path / "toy.h5", ToyFeatures(N).double()
    precompute(make(1.0), features, path, **OPTIONS)
    assert precompute(make(1.0), features, path, **OPTIONS).n_resumed == 8
    with pytest.raises(CacheConfigMismatch, match=field):
        precompute(make(1.5), features, path, **OPTIONS)


@pytest.mark.parametrize("value", [2.0, (1.0, 2.0), np.full(2, 1.5)], ids=["number", "tuple", "array"])
def test_features_whose_attributes_differ_are_refused(value: Any, tmp_path: Path) -> None:
    precompute(Tone(), Scaled(), tmp_path / "toy.h5", **OPTIONS)
    with pytest.raises(CacheConfigMismatch, match=r"features\.attributes\.gain"):
        precompute(Tone(), Scaled(gain=value), tmp_path / "toy.h5", **OPTIONS)


LEVEL = {"level": 1.0}


class Global(Tone):
    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        return LEVEL["level"] * super().forward(theta)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("store", ["metric", "jacobian"])
def test_what_no_setting_knows_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool, precision: str, store: str
) -> None:
    path, options = tmp_path / "toy.h5", OPTIONS | {"precision": precision, "store": store}
    features = ToyFeatures(N).to(getattr(torch, precision))
    begin = precompute if finished else _interrupted
    begin(Global(), features, path, **options)
    content = path.read_bytes()
    monkeypatch.setitem(LEVEL, "level", 1.01)
    with pytest.raises(CacheConfigMismatch, match=r"settings are the same: [MS] of row 0 differs by"):
        precompute(Global(), features, path, **options)
    monkeypatch.setitem(LEVEL, "level", 1.0)
    assert path.read_bytes() == content
    assert precompute(Global(), features, path, **options).n_done == 8


def _interrupted(synth: torch.nn.Module, features: torch.nn.Module, path: Path, **options: Any) -> None:
    """A run that ends after its first block."""
    import pnp.offline.precompute as stage

    original = stage.computed_blocks

    def one_block(*arguments: Any) -> Any:
        yield next(original(*arguments))
        raise KeyboardInterrupt

    stage.computed_blocks = one_block
    try:
        with pytest.raises(KeyboardInterrupt):
            precompute(synth, features, path, **options)
    finally:
        stage.computed_blocks = original


def test_private_attributes_and_containers_that_fill_are_no_settings(tmp_path: Path) -> None:
    heard: list[float] = []

    def program(f0: float, decay: float) -> np.ndarray:
        heard.append(f0)
        return note(f0, decay)

    path, features = tmp_path / "toy.h5", ToyFeatures(N).double()
    precompute(boxed(program), features, path, **OPTIONS)
    assert heard
    precompute(boxed(program), features, path, **OPTIONS)
    used = Tone()
    used._last = 3.0
    precompute(Tone(), features, tmp_path / "tone.h5", **OPTIONS)
    precompute(used, features, tmp_path / "tone.h5", **OPTIONS)


def test_a_cache_that_describes_no_attributes_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As earlier versions wrote it."""
    path = tmp_path / "toy.h5"
    with monkeypatch.context() as patch:
        patch.setattr("pnp.store.provenance.module_attributes", lambda _: {})
        precompute(Tone(), ToyFeatures(N), path, **OPTIONS)
    shutil.copy(path, tmp_path / "other.h5")
    assert precompute(Tone(), ToyFeatures(N), path, **OPTIONS).n_resumed == 8
    with pytest.raises(CacheConfigMismatch, match="settings are the same: M of row 0"):
        precompute(Tone(1.5), ToyFeatures(N), tmp_path / "other.h5", **OPTIONS)
