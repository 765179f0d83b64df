"""No difference is stored that the sounds at hand contradict: it is right, or refused, or a user is warned."""

import logging
import math
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pnp import Parameter, ParameterSpace
from pnp.errors import SynthesisError
from pnp.synths import BlackBox

N, RATE = 1024, 8000.0
SPACE = ParameterSpace(
    [Parameter("f0", 200.0, 400.0, "log", "Hz"), Parameter("decay", 0.05, 0.2, "log", "s")]
)
T = np.arange(N) / RATE


def tone(f0: float, decay: float) -> np.ndarray:
    return np.exp(-T / decay) * np.sin(2 * np.pi * f0 * T)


def exact(theta: torch.Tensor) -> torch.Tensor:
    def tensor(theta: torch.Tensor) -> torch.Tensor:
        f0, decay = theta.unsqueeze(-2).unbind(-1)
        t = torch.from_numpy(T)
        return torch.exp(-t / decay) * torch.sin(2 * math.pi * f0 * t)

    axes = torch.eye(2, dtype=torch.float64)
    return torch.stack([torch.func.jvp(tensor, (theta,), (axes[p].expand_as(theta),))[1] for p in (0, 1)], 1)


def boxed(program: Callable[..., np.ndarray], **options: object) -> BlackBox:
    return BlackBox(program, SPACE, RATE, N, **options)


def outcome(box: BlackBox, rows: int = 40) -> tuple[list[float], list[str]]:
    """Errors of the derivatives that are given, and reasons of those that are refused; a row at a time."""
    errors, reasons = list[float](), list[str]()
    for theta in SPACE.from_unit(0.95 * SPACE.sample(rows, seed=1)):
        try:
            tangents = box.value_and_tangents(theta[None])[1]
        except (SynthesisError, ValueError) as refusal:
            reasons.append(str(refusal))
            continue
        expected = exact(theta[None])
        errors.append(float(((tangents - expected).norm(dim=-1) / expected.norm(dim=-1)).max()))
    return errors, reasons


# A sound in 20 goes wrong, whichever it is asked for: bits of its parameters decide.
GLITCHES = {
    "silent": lambda x: 0.0 * x,
    "quiet": lambda x: 0.99 * x,
    "upside down": lambda x: -x,
    "late by a sample": lambda x: np.roll(x, 1),
    "another sound": lambda x: tone(311.0, 0.1),
    "a click": lambda x: x + (np.arange(N) == 100),
}


@pytest.mark.parametrize("glitch", GLITCHES)
def test_a_glitch_in_one_of_the_renders_is_never_a_derivative(glitch: str) -> None:
    def glitchy(f0: float, decay: float) -> np.ndarray:
        x = tone(f0, decay)
        return GLITCHES[glitch](x) if hash((f0, decay)) % 20 == 7 else x

    box = boxed(glitchy)
    box._calibrated = boxed(tone)._steps()  # measured elsewhere, so that rows alone are tried
    errors, reasons = outcome(box)
    assert errors
    assert max(errors) < 0.01
    assert reasons
    assert all("has no derivative here" in reason for reason in reasons)


@pytest.mark.parametrize("chance", [1.0, 0.2, 0.02])
def test_a_program_that_plays_the_sound_before_is_refused(chance: float) -> None:
    rng, last = np.random.default_rng(0), [tone(300.0, 0.1)]

    def late(f0: float, decay: float) -> np.ndarray:
        before, last[0] = last[0], tone(f0, decay)
        return before if rng.random() < chance else last[0]

    box = boxed(late)
    if chance < 0.1:
        box._calibrated = boxed(tone)._steps()
    errors, reasons = outcome(box)
    assert max(errors, default=0.0) < 0.01
    assert reasons


@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
def test_hysteresis_is_refused(width: float) -> None:
    state = [300.0]

    def lazy(f0: float, decay: float) -> np.ndarray:
        # The wheel has play: it follows when it is pushed.
        state[0] = min(max(state[0], f0 * (1 - width)), f0 * (1 + width))
        return tone(state[0], decay)

    with pytest.raises(ValueError, match="other samples after other sounds"):
        boxed(lazy).calibrate()


@pytest.mark.parametrize("bits", range(4, 31, 2))
def test_a_parameter_on_a_grid_is_refused_or_warned_of_or_right(
    bits: int, caplog: pytest.LogCaptureFixture
) -> None:
    def gridded(f0: float, decay: float) -> np.ndarray:
        position = np.log2(f0 / 200.0)
        return tone(200.0 * 2.0 ** (np.round(position * 2**bits) / 2**bits), decay)

    with caplog.at_level(logging.WARNING):
        errors, _ = outcome(boxed(gridded))
    warned = "uncertain" in caplog.text or "no derivative at some sounds" in caplog.text
    assert max(errors, default=0.0) < (0.3 if warned else 0.03)


@pytest.mark.parametrize("bits", [8, 12, 16, 24])
def test_samples_on_a_grid_are_refused_or_warned_of_or_right(
    bits: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        errors, _ = outcome(boxed(lambda f0, decay: np.round(tone(f0, decay) * 2**bits) / 2**bits))
    assert max(errors, default=0.0) < (0.3 if "uncertain" in caplog.text else 0.05)


def between_pilots() -> float:
    """A pitch below which one of the three sounds lies that steps are measured at."""
    pitches = SPACE.from_unit(0.75 * SPACE.sample(3))[:, 0].sort().values
    return float(pitches[:2].mean())


def test_a_parameter_without_effect_at_one_sound_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    threshold = between_pilots()

    def dead(f0: float, decay: float) -> np.ndarray:
        return tone(max(f0, threshold), decay)

    with caplog.at_level(logging.WARNING):
        box = boxed(dead)
        step = box.calibrate()["f0"]
    assert "'f0' of the program 'dead' has no derivative at some sounds" in caplog.text
    assert f"step of {step:.2g}" in caplog.text
    theta = torch.tensor([[threshold / 1.05, 0.1], [threshold * 1.05, 0.1]], dtype=torch.float64)
    tangents, expected = box.value_and_tangents(theta)[1][:, 0], exact(theta)[:, 0]
    assert not tangents[0].any()
    assert (tangents[1] - expected[1]).norm() < 1e-5 * expected[1].norm()


def test_a_larger_tolerance_accepts_a_larger_disagreement() -> None:
    def rough(f0: float, decay: float) -> np.ndarray:
        return tone(200.0 * 2.0 ** (np.round(np.log2(f0 / 200.0) * 400) / 400), decay)

    with pytest.raises(
        ValueError, match=r"disagree by \d+ % or more at every step, least at .* `tolerance` accepts"
    ):
        boxed(rough).calibrate()
    assert boxed(rough, tolerance=0.9).calibrate()["f0"] > 0.001
    with pytest.raises(ValueError, match="tolerance must be a finite number above 0 and below 1"):
        boxed(rough, tolerance=1.0)


@pytest.mark.parametrize("waves", [2, 3, 5])
def test_a_parameter_that_jumps_between_plateaus_is_named(waves: int) -> None:
    def program(f0: float, decay: float) -> np.ndarray:
        shape = int((np.log2(f0 / 200.0) * waves).clip(0, waves - 1))
        return np.exp(-T / decay) * np.sin(2 * np.pi * 250.0 * T) ** (2 * shape + 1)

    with pytest.raises(ValueError, match=r"'f0' of the program 'program' has no derivative"):
        boxed(program).calibrate()


def test_floating_point_sounds_have_no_full_scale() -> None:
    loud = boxed(lambda f0, decay: 2.0 * tone(f0, decay))
    square = boxed(lambda f0, decay: np.tanh(50.0 * tone(f0, 100.0 * decay)), normalization="peak")
    for box in (loud, square):
        errors, reasons = outcome(box, 4)
        assert len(errors) + len(reasons) == 4
        assert not any("clipped" in reason for reason in reasons)


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_integers_at_the_ends_of_their_type_are_clipped(dtype: type) -> None:
    limits = np.iinfo(dtype)

    def program(f0: float, decay: float, level: float = 1.0) -> np.ndarray:
        return (level * limits.max * tone(f0, decay)).clip(limits.min, limits.max).astype(dtype)

    theta = torch.tensor([[300.0, 0.1]], dtype=torch.float64)
    assert boxed(program)(theta).abs().max() > 0.9 * limits.max
    with pytest.raises(SynthesisError, match="returned a clipped sound"):
        boxed(lambda f0, decay: program(f0, decay, 3.0))(theta)


@pytest.mark.slow
def test_memory_is_bounded_by_the_block(tmp_path: Path) -> None:
    """P = 78, one second, four rows: a few times the block's tangents (55 MB), not all 1,252 sounds (440 MB) twice."""
    script = """
        import resource, sys
        import numpy as np, torch
        import pnp
        names = [f"p{k}" for k in range(78)]
        space = pnp.ParameterSpace([pnp.Parameter(name, 0.0, 1.0) for name in names])
        t = np.arange(44100) / 44100
        carrier = np.sin(2 * np.pi * 200 * t)
        program = lambda **p: carrier * (1 + sum((k + 1) * v for k, v in enumerate(p.values())) * t)
        box = pnp.synths.BlackBox(program, space, 44100, 44100, steps={name: 0.1 for name in names})
        class Energies(torch.nn.Module):
            def forward(self, x):
                return x.unflatten(-1, (10, -1)).square().mean(-1)
        # In kilobytes, beyond what PyTorch and one row take.
        options = {"block": 4, "store": "metric", "progress": False}
        pnp.precompute(box, Energies(), sys.argv[1] + "1", size=1, **options)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pnp.precompute(box, Energies(), sys.argv[1], size=4, **options)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "a.h5")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(run.stdout) < 250_000
