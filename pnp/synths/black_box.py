"""Program of any kind that turns parameters into samples, differentiated numerically."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pnp._torch.concrete import is_concrete
from pnp._torch.pushforward import jvp
from pnp.errors import SynthesisError
from pnp.parameters import ParameterSpace
from pnp.synths.base import Synthesizer
from pnp.synths.clipping import is_clipped
from pnp.synths.command import CommandLine

__all__ = ["BlackBox"]

_log = logging.getLogger(__name__)

Program = Callable[..., Any]

# Steps that are tried, in unit coordinates: from an eighth of the range down to where float64 ends.
_RATIO = 4.0
_LADDER = tuple(0.25 / _RATIO**rung for rung in range(13))

# Points at which they are tried, and how far from the middle of the range: the largest step must stay inside.
_N_PILOTS = 3
_MOST_TRIED = 24
_PILOT_REACH = 0.75

# Derivatives at neighbouring steps that disagree by more than this at every step are not derivatives.
_DISCONTINUOUS = 0.1

# A quarter of a step changes a smooth sound by a quarter as much; beyond these bounds it jumps, or turns its phase too
# far within the step. Changes below this part of the sound may be its noise, which does not shrink with the step.
_QUARTER_BOUNDS = (0.05, 0.75)
_NOTABLE = 0.01

# Step for a parameter that does not change the sound anywhere it was tried: its derivative is 0 at any step.
_INAUDIBLE_STEP = 1e-3


class BlackBox(Synthesizer):
    r"""Function or external program as a synthesizer, with finite differences for derivatives.

    The derivative along each unit coordinate is a central difference at two steps, extrapolated to 0:

    $$\partial x \approx \frac{16\, \delta(h/4) - \delta(h)}{15}, \qquad
    \delta(h) = \frac{x(u+h) - x(u-h)}{2h}$$

    which is exact for quartics. Where u ± h leaves the range, the same four points are moved inside, and the
    derivative is that of the cubic through them at u.

    The step h of each parameter is chosen by measurement. Along a ladder of steps, neighbouring
    extrapolations disagree at long steps by truncation (the sound's curvature) and at short ones by rounding
    (its noise: float64 in a Python function, 2⁻¹⁵ in a 16-bit file). The step where they disagree least is
    taken. A parameter for which they disagree at every step has no derivative, and is named; so is one that has
    none at some sounds alone, where the sound jumps between the four points.

    Args:
        program: A function called with one float for each parameter, by name, that returns N samples; or a
            command line, a list of strings with a placeholder `{name}` for each parameter and `{output}` for
            the WAV file that it writes, e.g. `["csound", "-o", "{output}", "--omacro:F={f0}", "bell.csd"]`.
        space: Parameters of the program.
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N.
        jobs: Sounds made at the same time, in threads. Defaults to the number of cores for a command line and
            to 1 for a function, which may not be safe to run twice at once.
        timeout: Seconds after which a command line is stopped.
        steps: From parameter name to step in unit coordinates, in place of the measured ones.
        version: Anything that changes when the program does: a cache begun with another is not continued.
        normalization: "none", "peak" or "energy".
        ranges: From parameter name to (low, high) in place of those of `space`.

    Raises:
        ValueError: If an option is out of its range, or the command line lacks a placeholder.

    Source:
        Richardson extrapolation with the step at the smallest measured change: Ridders, "Accurate computation
        of F'(x) and F'(x)F''(x)", Advances in Engineering Software 4 (1982). Balance of truncation and noise:
        Gill, Murray, Saunders, Wright, "Computing forward-difference intervals for numerical optimization",
        SIAM J. Sci. Stat. Comput. 4 (1983).

    Example:
        >>> import numpy as np
        >>> from pnp import Parameter, ParameterSpace
        >>> def tone(f0, decay):
        ...     t = np.arange(4000) / 8000
        ...     return np.exp(-t / decay) * np.sin(2 * np.pi * f0 * t)
        >>> space = ParameterSpace([Parameter("f0", 100, 400, "log", "Hz"), Parameter("decay", 0.1, 1)])
        >>> synth = BlackBox(tone, space, sample_rate=8000, n_samples=4000)
        >>> synth(torch.tensor([[200.0, 0.3]])).shape
        torch.Size([1, 4000])
    """

    name = "black box"

    def __init__(
        self,
        program: Program | Sequence[str],
        space: ParameterSpace,
        sample_rate: float,
        n_samples: int,
        *,
        jobs: int | None = None,
        timeout: float = 60.0,
        steps: Mapping[str, float] | None = None,
        version: str = "",
        normalization: str = "none",
        ranges: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__(
            space, sample_rate=sample_rate, n_samples=n_samples, normalization=normalization, ranges=ranges
        )
        if jobs is not None and jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {jobs}")
        if not timeout > 0:
            raise ValueError(f"timeout must be a positive number of seconds, got {timeout}")
        self.timeout = float(timeout)
        self.version = version
        self.steps = dict(steps or {})
        for name, step in self.steps.items():
            if name not in space.names:
                raise ValueError(f"unknown parameter {name!r} in steps, expected {', '.join(space.names)}")
            if not 0 < step <= 1:
                raise ValueError(f"the step of {name!r} must be in (0, 1] in unit coordinates, got {step}")
        self.program: Program
        if callable(program):
            self.program, self.jobs = program, jobs or 1
        else:
            self.program = CommandLine(program, space.names, sample_rate, self.timeout)
            self.jobs = jobs or os.cpu_count() or 1
        self._calibrated: dict[str, float] | None = None

    def synthesize(self, theta: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch N"]:
        """Sound before normalization, outside of automatic differentiation.

        Args:
            theta: Physical parameters, shape (..., P).

        Returns:
            Sounds, shape (..., N).

        Raises:
            SynthesisError: If the program fails, or returns something else than N finite samples that are not
                clipped.
            RuntimeError: If a derivative is asked of automatic differentiation.
        """
        if not is_concrete(theta) or (theta.requires_grad and torch.is_grad_enabled()):
            raise RuntimeError(
                "a BlackBox cannot be differentiated or transformed by PyTorch; "
                "take the derivatives of value_and_tangents"
            )
        rows = self._run(theta.reshape(-1, len(self.space)).double())
        return rows.reshape(*theta.shape[:-1], self.n_samples).to(theta)

    def calibrate(self) -> dict[str, float]:
        """Measure the step of each parameter; done once, before the first derivative.

        Returns:
            From parameter name to step, in unit coordinates.

        Raises:
            ValueError: If the program is not deterministic, or a parameter has no derivative.
            SynthesisError: If the program fails.
        """
        pilots = self._pilots()
        steps = {
            name: self.steps[name] if name in self.steps else self._measure(column, name, pilots)
            for column, name in enumerate(self.space.names)
        }
        _log.info("steps of %s: %s", self._label, steps)
        self._calibrated = steps
        return dict(steps)

    def config(self) -> dict[str, Any]:
        """Settings that determine the sounds, for JSON; `make` does not take it, for it holds no program."""
        program = self.program
        described = program.arguments if isinstance(program, CommandLine) else _qualified_name(program)
        return {
            "name": self.name,
            "program": described,
            "version": self.version,
            "steps": self.steps,
            "normalization": self.normalization,
            "ranges": self.ranges,
        }

    @property
    def _label(self) -> str:
        program = self.program
        named = program.arguments[0] if isinstance(program, CommandLine) else None
        name = named or getattr(program, "__name__", type(program).__name__)
        return f"the program {name!r}"

    def synthesize_with_tangents(
        self, theta: Float[Tensor, "B P"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sound before normalization and its tangents, by finite differences.

        Args:
            theta: Physical parameters, shape (B, P).

        Returns:
            Sounds, shape (B, N), and tangents, shape (B, P, N).

        Raises:
            ValueError: If the program is not deterministic, or a parameter has no derivative.
            SynthesisError: If the program fails, or a parameter has no derivative at one of these sounds.
        """
        steps = self._calibrated or self.calibrate()
        step = torch.tensor([steps[name] for name in self.space.names], dtype=torch.float64)
        exact = theta.detach().double().cpu()
        u = self.space.to_unit(exact)
        # Where along its axis each difference is taken: (B, P, 4).
        nodes = step[:, None] * torch.tensor([-1.0, -1.0 / _RATIO, 1.0 / _RATIO, 1.0], dtype=torch.float64)
        centre = torch.minimum(torch.maximum(u, step - 1.0), 1.0 - step)
        along = centre[..., None] + nodes
        moved = torch.eye(len(self.space), dtype=torch.bool)[:, None]
        points = torch.where(moved, along[..., None], u[:, None, None])
        flat = torch.cat([exact, self.space.from_unit(points).reshape(-1, len(self.space))])
        sounds = self._run(flat)
        x, around = sounds[: len(exact)], sounds[len(exact) :].reshape(*along.shape, -1)
        self._check_smooth(x, around, flat)
        weights = _derivative_weights(along - u[..., None])
        # The weights sum to 0 but for rounding: with the sound itself taken off, no change gives exactly 0.
        tangents = torch.einsum("bpi,bpin->bpn", weights, around - x[:, None, None])
        slope = jvp(self.space.from_unit, u, torch.ones_like(u))[1]
        return x.to(theta), (tangents / slope[..., None]).to(theta)

    def _check_smooth(self, x: Tensor, around: Tensor, theta: Tensor) -> None:
        """Refuse sounds, (B, N), that jump between those around them, (B, P, 4, N)."""
        step = (around[:, :, 3] - around[:, :, 0]).norm(dim=-1)
        quarter = (around[:, :, 2] - around[:, :, 1]).norm(dim=-1)
        low, high = _QUARTER_BOUNDS
        # Who gives a step may want the slope across a jump.
        measured = torch.tensor([name not in self.steps for name in self.space.names])
        jumps = (
            measured
            & ((quarter < low * step) | (quarter > high * step))
            & (step > _NOTABLE * x.norm(dim=-1)[:, None])
        )
        for row, column in jumps.nonzero()[:1].tolist():
            where = self._where(theta[row].tolist())
            raise SynthesisError(
                f"parameter {self.space.names[column]!r} of {self._label} has no derivative here: a quarter of a step "
                f"changes the sound by {float(quarter[row, column] / step[row, column]):.0%} of what the step does, "
                f"25 % expected; it switches, or its step is too long ({where})"
            )

    def _where(self, row: list[float]) -> str:
        """Parameters, for messages."""
        return ", ".join(f"{name} = {value:g}" for name, value in zip(self.space.names, row, strict=True))

    def _pilots(self) -> list[Tensor]:
        """Points in unit coordinates where the program sounds, and the same twice."""
        found, failure = list[Tensor](), None
        for u in _PILOT_REACH * self.space.sample(_MOST_TRIED):
            theta = self.space.from_unit(u)[None]
            try:
                first, second = self._run(theta), self._run(theta)
            except SynthesisError as error:
                # A program may fail in part of its range: that concerns the sounds there, not the whole run.
                failure = error
                continue
            if not torch.equal(first, second):
                raise ValueError(
                    f"{self._label} is not deterministic: the same parameters twice give different samples; "
                    "seed its noise, or switch off dither"
                )
            found.append(u)
            if len(found) == _N_PILOTS:
                break
        if failure is not None and not found:
            raise failure
        return found

    def _measure(self, column: int, name: str, pilots: list[Tensor]) -> float:
        """Step at which the derivative of the sound at the pilots depends least on the step."""
        slopes, failure = list[Tensor](), None
        for pilot in pilots:
            try:
                slopes.append(self._slopes(column, pilot))
            except SynthesisError as error:  # noqa: PERF203  (a step may lead to where the program fails)
                failure = error
        if failure is not None and not slopes:
            raise failure
        central = torch.stack(slopes)
        audible = central.any(-1).any(-1)
        if not audible.any():
            _log.warning("parameter %r of %s did not change the sound where it was tried", name, self._label)
            return _INAUDIBLE_STEP
        central = central[audible]
        extrapolated = (_RATIO**2 * central[:, 1:] - central[:, :-1]) / (_RATIO**2 - 1.0)
        change = (extrapolated[:, 1:] - extrapolated[:, :-1]).norm(dim=-1)
        size = extrapolated[:, 1:].norm(dim=-1)
        # Exactly 0 at a short step but not at a longer one is a plateau, not a derivative.
        disagreement = torch.where(size > 0, change / size, torch.inf).amax(0)
        best = int(disagreement.argmin())
        if not float(disagreement[best]) < _DISCONTINUOUS:
            raise ValueError(
                f"parameter {name!r} of {self._label} has no derivative: finite differences disagree by "
                f"{float(disagreement[best]):.0%} or more at every step; likely it switches (an integer, "
                "a choice) or its effect drowns in noise (16-bit samples)"
            )
        return _LADDER[best + 1]

    def _slopes(self, column: int, pilot: Tensor) -> Tensor:
        """Central differences along one axis at each step of the ladder, (rungs, N)."""
        ladder = torch.tensor(_LADDER, dtype=torch.float64)
        points = pilot.expand(len(ladder), 2, -1).clone()
        points[..., column] += ladder[:, None] * torch.tensor([1.0, -1.0], dtype=torch.float64)
        sounds = self._run(self.space.from_unit(points).reshape(-1, len(self.space)))
        above, below = sounds.reshape(len(ladder), 2, -1).unbind(1)
        return (above - below) / (2.0 * ladder[:, None])

    def _run(self, theta: Tensor) -> Float[Tensor, "B N"]:
        """Sounds of rows of physical parameters, float64, in their order whatever the number of threads."""
        rows = theta.detach().cpu().tolist()
        if self.jobs == 1 or len(rows) == 1:
            return torch.stack([self._run_once(row) for row in rows])
        with ThreadPoolExecutor(self.jobs) as pool:
            futures = [pool.submit(self._run_once, row) for row in rows]
            try:
                return torch.stack([future.result() for future in futures])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _run_once(self, row: list[float]) -> Tensor:
        parameters = dict(zip(self.space.names, row, strict=True))
        where = self._where(row)
        try:
            x = np.asarray(self.program(**parameters), dtype=np.float64)
        except SynthesisError as error:
            raise SynthesisError(f"{error} ({where})") from error
        except MemoryError:
            raise
        except Exception as error:
            raise SynthesisError(f"{self._label} raised {type(error).__name__}: {error} ({where})") from error
        if x.shape != (self.n_samples,):
            raise SynthesisError(
                f"{self._label} returned samples of shape {x.shape}, expected ({self.n_samples},) ({where})"
            )
        if not np.isfinite(x).all():
            raise SynthesisError(f"{self._label} returned NaN or infinite samples ({where})")
        sound = torch.from_numpy(x.copy())
        # Of the sounds that derivatives are made of, a caller never sees but the one in the middle.
        if is_clipped(sound):
            raise SynthesisError(
                f"{self._label} returned a clipped sound, flat at full scale; lower its gain ({where})"
            )
        return sound


def _derivative_weights(offsets: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch K"]:
    """Weights of the derivative at 0 of the polynomial through K points at the given offsets."""
    scale = offsets.abs().amax(-1, keepdim=True)
    powers = torch.arange(offsets.shape[-1], dtype=offsets.dtype)
    vandermonde = (offsets / scale).unsqueeze(-2) ** powers[:, None]
    derivative = (powers == 1).to(offsets).expand(offsets.shape).unsqueeze(-1)
    solved: Tensor = torch.linalg.solve(vandermonde, derivative).squeeze(-1) / scale
    return solved


def _qualified_name(program: Program) -> str:
    kind = program if hasattr(program, "__qualname__") else type(program)
    return f"{kind.__module__}.{kind.__qualname__}"
