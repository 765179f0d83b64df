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

from pnp import Parameter, ParameterSpace, value_and_jacobian
from pnp._text import percent
from pnp.errors import SynthesisError
from pnp.jacobian import DEFAULT_STEP
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
    box.numerical.measured = boxed(
        tone
    ).numerical.calibrate()  # measured elsewhere, so that rows alone are tried
    errors, reasons = outcome(box)
    assert errors
    assert max(errors) < 0.01
    assert reasons
    assert all("has no derivative here" in reason for reason in reasons)


def test_sounds_of_a_program_that_seldom_plays_the_sound_before_are_refused() -> None:
    rng, last = np.random.default_rng(0), [tone(300.0, 0.1)]

    def late(f0: float, decay: float) -> np.ndarray:
        before, last[0] = last[0], tone(f0, decay)
        return before if rng.random() < 0.02 else last[0]

    box = boxed(late)
    box.numerical.measured = boxed(tone).numerical.calibrate()
    errors, reasons = outcome(box)
    assert max(errors, default=0.0) < 0.01
    assert reasons


@pytest.mark.parametrize("chance", [1.0, 0.2])
def test_a_program_that_plays_the_sound_before_is_called_twice(
    chance: float, caplog: pytest.LogCaptureFixture
) -> None:
    rng, last = np.random.default_rng(0), [tone(300.0, 0.1)]

    def late(f0: float, decay: float) -> np.ndarray:
        before, last[0] = last[0], tone(f0, decay)
        return before if rng.random() < chance else last[0]

    with caplog.at_level(logging.WARNING):
        errors, reasons = outcome(boxed(late), 8)
    assert "depends on the sounds before: every sound is rendered twice" in caplog.text
    assert not reasons
    assert max(errors) < 1e-5


@pytest.mark.parametrize("width", [1e-1, 1e-3, 1e-6])
def test_hysteresis_is_led_from_one_side(width: float, caplog: pytest.LogCaptureFixture) -> None:
    state = [300.0]

    def lazy(f0: float, decay: float) -> np.ndarray:
        # The wheel has play: it follows when it is pushed.
        state[0] = min(max(state[0], f0 * (1 - width)), f0 * (1 + width))
        return tone(state[0], decay)

    with caplog.at_level(logging.WARNING):
        box = boxed(lazy)
        box.calibrate()
    assert "a sound that is always the same is rendered before each" in caplog.text
    theta = torch.tensor([[310.0, 0.1]], dtype=torch.float64)
    first = box(theta)
    box(torch.tensor([[390.0, 0.1]], dtype=torch.float64))
    assert torch.equal(box(theta), first)


@pytest.mark.parametrize("bits", range(4, 31, 2))
def test_a_parameter_on_a_grid_is_refused_or_warned_of_or_right(
    bits: int, caplog: pytest.LogCaptureFixture
) -> None:
    def gridded(f0: float, decay: float) -> np.ndarray:
        position = np.log2(f0 / 200.0)
        return tone(200.0 * 2.0 ** (np.round(position * 2**bits) / 2**bits), decay)

    with caplog.at_level(logging.WARNING):
        errors, _ = outcome(boxed(gridded))
    warned = "uncertain" in caplog.text or "no derivative" in caplog.text
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


def rough(f0: float, decay: float) -> np.ndarray:
    return tone(200.0 * 2.0 ** (np.round(np.log2(f0 / 200.0) * 400) / 400), decay)


def test_a_parameter_without_a_derivative_is_warned_of_with_its_best_step_and_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        step = boxed(rough).numerical.calibrate()["f0"]
    assert step.always
    assert step.secant == DEFAULT_STEP
    assert step.disagreement > 0.1
    expected = (
        f"'f0' of the program 'rough' has no derivative: differences disagree by {percent(step.disagreement, 0)} or "
        f"more at every step, least at {step.size:.2g}; differences of features over ±0.1 take its place"
    )
    assert expected in caplog.text


def test_a_larger_tolerance_accepts_a_larger_disagreement() -> None:
    for tolerance in (0.9, {"f0": 0.9}):
        step = boxed(rough, tolerance=tolerance).numerical.calibrate()["f0"]
        assert not step.always
        assert step.size > 0.001
    with pytest.raises(ValueError, match="tolerance must be a finite number above 0 and below 1"):
        boxed(rough, tolerance=1.0)
    with pytest.raises(ValueError, match="unknown parameter 'f1' in tolerance, expected f0, decay"):
        boxed(rough, tolerance={"f1": 0.5})


def test_a_step_is_given_for_all_parameters_or_by_name() -> None:
    assert boxed(tone, steps=0.01).calibrate() == {"f0": 0.01, "decay": 0.01}
    assert boxed(tone, steps={"f0": 0.01}).calibrate()["f0"] == 0.01


@pytest.mark.parametrize("waves", [2, 3, 5])
def test_a_parameter_that_jumps_between_plateaus_gets_a_step_that_reaches_the_next(
    waves: int, caplog: pytest.LogCaptureFixture
) -> None:
    def program(f0: float, decay: float) -> np.ndarray:
        shape = int((np.log2(f0 / 200.0) * waves).clip(0, waves - 1))
        return np.exp(-T / decay) * np.sin(2 * np.pi * 250.0 * T) ** (2 * shape + 1)

    with caplog.at_level(logging.WARNING):
        box = boxed(program)
        step = box.numerical.calibrate()["f0"]
    assert step.always
    assert "'f0' of the program 'program' has no derivative" in caplog.text
    u = 0.75 * SPACE.sample(3)
    ends = [u.clone(), u.clone()]
    for end, sign in zip(ends, (-1, 1), strict=True):
        end[:, 0] = (end[:, 0] + sign * step.secant).clamp(-1, 1)
    below, above = (box(SPACE.from_unit(end)) for end in ends)
    assert (below != above).any(-1).all()


def test_rows_at_a_kink_have_a_longer_difference_and_others_a_derivative(
    caplog: pytest.LogCaptureFixture,
) -> None:
    threshold = between_pilots()

    def kinked(f0: float, decay: float) -> np.ndarray:
        # Flat below the threshold, where one of the pilots lies; steep above.
        return (1.0 + 50.0 * max(0.0, math.log2(f0 / threshold))) * tone(300.0, decay)

    box = boxed(kinked)
    position = float(SPACE.to_unit(torch.tensor([threshold, 0.1], dtype=torch.float64))[0])
    with caplog.at_level(logging.WARNING):
        size = box.numerical.calibrate()["f0"].size
    u = torch.tensor([[position + 0.1 * size, 0.0], [0.9, 0.0]], dtype=torch.float64)
    J = value_and_jacobian(box, torch.nn.Identity(), u)[1][..., 0]
    longer = value_and_jacobian(box, torch.nn.Identity(), u, step=DEFAULT_STEP)[1][..., 0]
    torch.testing.assert_close(J[0], longer[0])
    torch.testing.assert_close(J[1], 25.0 * box(SPACE.from_unit(u[1:]))[0] / (1.0 + 25.0 * (0.9 - position)))


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


@pytest.mark.parametrize("given", [{}, {"a": 0.1}])
def test_no_sound_is_rendered_twice_to_measure_steps(given: dict[str, float]) -> None:
    def renders(names: str) -> int:
        seen = list[tuple[float, ...]]()

        def program(**parameters: float) -> np.ndarray:
            seen.append(tuple(parameters.values()))
            return np.sin(np.arange(64) * (1.0 + sum(parameters.values())))

        space = ParameterSpace([Parameter(name, 0.0, 1.0) for name in names])
        BlackBox(program, space, 8000, 64, steps=given).calibrate()
        return len(seen)

    # Two ends at each of 13 steps, at three sounds; the sounds themselves are there already.
    assert renders("abc") - renders("ab") == 3 * 13 * 2
    assert renders("a") <= renders("ab") - 3 * 13 * 2
