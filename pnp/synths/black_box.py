"""Program of any kind that turns parameters into samples, differentiated numerically."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pnp._arguments import finite_number, whole_number
from pnp._own_code import module_name
from pnp._torch.concrete import is_concrete
from pnp.errors import SynthesisError
from pnp.jacobian.derivatives import by_name
from pnp.jacobian.numerical import DifferencedSounds, NumericalTangents, Progress
from pnp.parameters import ParameterSpace
from pnp.parameters.values import described_values, named_values
from pnp.store.plain_values import captured_values
from pnp.synths.base import Synthesizer
from pnp.synths.clipping import is_clipped
from pnp.synths.command import CommandLine
from pnp.synths.normalization import normalize_with_tangents

__all__ = ["BlackBox"]

Program = Callable[..., Any]

# Ways to call a function so that earlier sounds do not matter.
_WARM_UPS = (
    "",
    "every sound is rendered twice, and the second is kept",
    "a sound that is always the same is rendered before each",
)

# Seconds: a year. The operating system counts no longer than some decades.
_LONGEST_WAIT = 366 * 86400

# A function may not be safe to call twice at once, whoever asks: precomputation may itself run in threads.
_ONE_AT_A_TIME = threading.RLock()


# Room for what a sound file holds beside eight channels of its samples.
_FILE_BYTES = 1 << 20


class BlackBox(DifferencedSounds, Synthesizer):
    r"""Function or external program as a synthesizer, with finite differences for derivatives.

    The derivative along each unit coordinate is a central difference at two steps, extrapolated to 0:

    $$\partial x \approx \frac{16\, \delta(h/4) - \delta(h)}{15}, \qquad
    \delta(h) = \frac{x(u+h) - x(u-h)}{2h}$$

    which is exact for quartics. Where u ± h leaves the range, the same four points are moved inside, and the
    derivative is that of the cubic through them at u.

    The step h of each parameter is chosen by measurement. Along a ladder of steps, neighbouring
    extrapolations disagree at long steps by truncation (the sound's curvature) and at short ones by rounding
    (its noise: float64 in a Python function, 2⁻¹⁵ in a 16-bit file). The step where they disagree least is
    taken. A parameter for which they disagree at every step has no derivative; one with kinks has none at some
    sounds. Each is named in a warning, and the offline stage takes differences of features over a longer step in the
    place of what is missing. Every other derivative is refused where its two differences contradict each other by
    more than they did while the step was measured.

    A function that remembers earlier sounds is called twice for each sound, or after a sound that is always the same,
    if that makes it repeatable.

    Args:
        program: A function called with each parameter by name (a float, an int for an integer, a str for a choice) that
            returns N samples; or a command line, a list of strings with a placeholder `{name}` for each parameter and
            `{output}` for the WAV file that it writes: `["csound", "-o", "{output}", "--omacro:F={f0}", "a.csd"]`.
        space: Parameters, choices and conditions of the program.
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N.
        jobs: Sounds made at the same time, in threads. Defaults to the number of cores for a command line and
            to 1 for a function, which may not be safe to run twice at once.
        timeout: Seconds after which a command line is stopped.
        steps: Step in unit coordinates in place of the measured ones: a number for all parameters, or by name.
        tolerance: Relative disagreement of finite differences beyond which there is no derivative: a number for all
            parameters, or by name.
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

    Examples:
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

    # Its derivatives are renders, perhaps in threads of its own.
    forward_mode = False

    def __init__(
        self,
        program: Program | Sequence[str],
        space: ParameterSpace,
        sample_rate: float,
        n_samples: int,
        *,
        jobs: int | None = None,
        timeout: float = 60.0,
        steps: float | Mapping[str, float] | None = None,
        tolerance: float | Mapping[str, float] = 0.1,
        version: str = "",
        normalization: str = "none",
        ranges: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__(
            space, sample_rate=sample_rate, n_samples=n_samples, normalization=normalization, ranges=ranges
        )
        jobs = None if jobs is None else whole_number("jobs", jobs, least=1)
        self.timeout = finite_number("timeout", timeout, above=0, most=_LONGEST_WAIT)
        self.version = version
        self.steps = by_name(self.space, "steps", steps or {}, 0.0, 1.0)
        self.tolerance = tolerance
        self.program: Program
        if callable(program):
            self.program, self.jobs = program, jobs or 1
        else:
            self.program = CommandLine(
                program, space.column_names, self.sample_rate, self.timeout, _FILE_BYTES + 64 * self.n_samples
            )
            self.jobs = jobs or os.cpu_count() or 1
        self._warm_up = 0
        self.numerical = NumericalTangents(
            self._run,
            self.space,
            self.n_samples,
            self._label,
            steps=self.steps,
            tolerance=tolerance,
            several=self.jobs,
            settle=self._settle,
        )

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
        rows = self._run(theta.reshape(-1, theta.shape[-1]).double())
        return rows.reshape(*theta.shape[:-1], self.n_samples).to(theta)

    def calibrate(self, progress: Progress | None = None) -> dict[str, float]:
        """Measure the step of each parameter; done once, before the first derivative.

        Args:
            progress: Shows the progress of an iterable, as `tqdm` does.

        Returns:
            From parameter name to step, in unit coordinates.

        Raises:
            ValueError: If the program is not deterministic.
            SynthesisError: If the program fails.
        """
        return {name: step.size for name, step in self.numerical.calibrate(progress).items()}

    def config(self) -> dict[str, Any]:
        """Settings that determine the sounds, for JSON; `make` does not take it, for it holds no program."""
        program = self.program
        described = program.arguments if isinstance(program, CommandLine) else _qualified_name(program)
        settings = {
            "name": self.name,
            "program": described,
            "version": self.version,
            "steps": self.steps,
            "normalization": self.normalization,
            "ranges": self.ranges,
        }
        captured = {} if isinstance(program, CommandLine) else captured_values(program)
        return settings | ({"captured": captured} if captured else {})

    @property
    def _label(self) -> str:
        program = self.program
        # Its folder is left out: reasons of failures have room for a sentence.
        named = PurePath(program.arguments[0]).name if isinstance(program, CommandLine) else None
        name = named or getattr(program, "__name__", type(program).__name__)
        return f"the program {name!r}"

    def synthesize_with_tangents(
        self, theta: Float[Tensor, "B P"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sound before normalization and its tangents, by finite differences along continuous parameters.

        Args:
            theta: Physical parameters, shape (B, P), or (B, D).

        Returns:
            Sounds, shape (B, N), and tangents, shape (B, P, N), or (B, D, N); those of integers, choices and
            conditions are not rendered, and 0.

        Raises:
            ValueError: If the program is not deterministic.
            SynthesisError: If the program fails, or a parameter has no derivative at one of these sounds.
        """
        axes = [column for column, parameter in enumerate(self.space) if not parameter.is_whole]
        x, some, missing = self.numerical.tangents(theta, axes)
        for row, place in missing.nonzero().tolist():
            raise SynthesisError(
                f"parameter {self.space.names[axes[place]]!r} of {self._label} has no derivative here",
                described_values(self.space, theta[row].tolist()),
            )
        tangents = some.new_zeros(*theta.shape, self.n_samples)
        tangents[:, axes] = some
        return x, tangents

    def tangents_where_they_exist(
        self, theta: Float[Tensor, "B D"], axes: Sequence[int]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B A N"], Bool[Tensor, "B A"]]:
        """Return normalized sounds, their tangents, and where there are none; see `DifferencedSounds`."""
        self._check(theta)
        x, tangents, missing = super().tangents_where_they_exist(theta, axes)
        return *normalize_with_tangents(x, tangents, self.normalization), missing

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

    def _settle(self) -> str | None:
        """Take the next way to make a function forget earlier sounds; None where there is none."""
        if isinstance(self.program, CommandLine) or self._warm_up + 1 == len(_WARM_UPS):
            self._warm_up = 0
            return None
        self._warm_up += 1
        return _WARM_UPS[self._warm_up]

    def _forget(self, parameters: dict[str, Any]) -> None:
        """Render what lets a function forget earlier sounds."""
        if self._warm_up == 1:
            self.program(**parameters)
        elif self._warm_up == 2:
            lowest = self.space.from_unit(-torch.ones(len(self.space.columns), dtype=torch.float64))
            self.program(**named_values(self.space, lowest.tolist()))

    def _run_once(self, row: list[float]) -> Tensor:
        parameters = named_values(self.space, row)
        where = described_values(self.space, row)
        try:
            with nullcontext() if isinstance(self.program, CommandLine) or self.jobs > 1 else _ONE_AT_A_TIME:
                self._forget(parameters)
                samples = np.asarray(self.program(**parameters))
            x = samples.astype(np.float64)
        except SynthesisError as error:
            raise SynthesisError(error.reason, where) from error
        except MemoryError:
            raise
        except Exception as error:
            raise SynthesisError(f"{self._label} raised {type(error).__name__}: {error}", where) from error
        if x.shape != (self.n_samples,):
            expected = f"expected ({self.n_samples},)"
            raise SynthesisError(f"{self._label} returned samples of shape {x.shape}, {expected}", where)
        if not np.isfinite(x).all():
            raise SynthesisError(f"{self._label} returned NaN or infinite samples", where)
        # Of the sounds that derivatives are made of, a caller never sees but the one in the middle.
        if np.issubdtype(samples.dtype, np.integer) and is_clipped(samples):
            raise SynthesisError(
                f"{self._label} returned a clipped sound, flat at full scale; lower its gain", where
            )
        return torch.from_numpy(x)


def _qualified_name(program: Program) -> str:
    kind = program if hasattr(program, "__qualname__") else type(program)
    return f"{module_name(kind.__module__)}.{kind.__qualname__}"
