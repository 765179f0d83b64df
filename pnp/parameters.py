"""Synthesizer parameters: physical values, the unit cube, and designs that fill it."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, overload

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pnp._torch.concrete import is_concrete
from pnp._torch.modes import ordinary

__all__ = ["Parameter", "ParameterSpace"]

_SCALES = ("linear", "log")
_METHODS = ("sobol", "uniform", "lhs", "grid")

# Roundings that a value may collect between the unit cube and its physical unit without being out of range.
_ROUNDINGS = 16.0


@dataclass(frozen=True)
class Parameter:
    """One synthesizer parameter: its name, range, scale and unit.

    Args:
        name: A Python identifier.
        low: Lower end of the range, in `unit`.
        high: Upper end of the range, in `unit`; larger than `low`.
        scale: "linear", or "log" where equal ratios matter equally (frequencies, times) and `low` > 0.
        unit: Physical unit for messages and figures, e.g. "Hz"; empty for a pure number.

    Raises:
        ValueError: If the name, the range or the scale is not valid.

    Example:
        >>> Parameter("f_c", 512.0, 1024.0, scale="log", unit="Hz").high
        1024.0
    """

    name: str
    low: float
    high: float
    scale: str = "linear"
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a parameter name must be a Python identifier such as 'f_c', got {self.name!r}")
        if self.scale not in _SCALES:
            allowed = " or ".join(repr(scale) for scale in _SCALES)
            raise ValueError(f"parameter {self.name!r}: scale must be {allowed}, got {self.scale!r}")
        for end in ("low", "high"):
            # Plain floats keep equality, JSON and messages independent of how the number was written.
            object.__setattr__(self, end, float(getattr(self, end)))
            if not math.isfinite(getattr(self, end)):
                raise ValueError(f"parameter {self.name!r}: {end} must be finite, got {getattr(self, end)}")
        if not self.low < self.high:
            raise ValueError(
                f"parameter {self.name!r}: low must be less than high, got [{self.low:g}, {self.high:g}]"
            )
        if self.scale == "log" and self.low <= 0.0:
            raise ValueError(
                f"parameter {self.name!r}: a log scale needs low > 0, got low = {self.low:g}; "
                "raise low or use scale='linear'"
            )

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.name} in [{self.low:g}, {self.high:g}]{unit} ({self.scale})"


class ParameterSpace(Sequence[Parameter]):
    """The box of P parameters that a synthesizer understands, and its map to the unit cube [-1, 1]^P.

    Scaled coordinates u = h(theta) run from -1 at `low` to 1 at `high`, along the logarithm for scale "log".
    They are what networks predict and what the metric is expressed in.

    Args:
        parameters: One `Parameter` per axis of theta, in order.

    Raises:
        ValueError: If there is no parameter, or two have the same name.
        TypeError: If an element is not a `Parameter`.

    Source:
        Han, Lostanlen, Lagrange, "Perceptual-Neural-Physical Sound Matching", ICASSP 2023: the scaling h.

    Example:
        >>> space = ParameterSpace([Parameter("f_c", 512, 1024, "log", "Hz"), Parameter("pan", -2, 2)])
        >>> space.from_unit(torch.tensor([-1.0, 0.5]))
        tensor([512.,   1.])
        >>> space["pan"].low, len(space)
        (-2.0, 2)
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._parameters = tuple(parameters)
        if not self._parameters:
            raise ValueError("a parameter space needs at least one Parameter, got none")
        for position, parameter in enumerate(self._parameters):
            if not isinstance(parameter, Parameter):
                raise TypeError(f"element {position} must be a pnp.Parameter, got {type(parameter).__name__}")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise ValueError(f"parameter names must be unique, got {repeated[0]!r} more than once")
        with ordinary():
            self._lows = torch.tensor([p.low for p in self], dtype=torch.float64)
            self._highs = torch.tensor([p.high for p in self], dtype=torch.float64)
            self._is_log = torch.tensor([p.scale == "log" for p in self])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of the trailing axis of theta."""
        return tuple(parameter.name for parameter in self._parameters)

    @property
    def lows(self) -> Float[Tensor, " P"]:
        """Lower ends in physical units, float64."""
        return self._lows.clone()

    @property
    def highs(self) -> Float[Tensor, " P"]:
        """Upper ends in physical units, float64."""
        return self._highs.clone()

    def __len__(self) -> int:
        return len(self._parameters)

    @overload
    def __getitem__(self, key: int | str) -> Parameter: ...

    @overload
    def __getitem__(self, key: slice) -> ParameterSpace: ...

    def __getitem__(self, key: int | str | slice) -> Parameter | ParameterSpace:
        if isinstance(key, str):
            return self._parameters[self._position(key)]
        if isinstance(key, slice):
            return ParameterSpace(self._parameters[key])
        return self._parameters[key]

    def __contains__(self, item: object) -> bool:
        return item in self.names if isinstance(item, str) else item in self._parameters

    def __eq__(self, other: object) -> bool:
        return self._parameters == other._parameters if isinstance(other, ParameterSpace) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._parameters)

    def __repr__(self) -> str:
        return f"ParameterSpace([{', '.join(repr(parameter) for parameter in self._parameters)}])"

    def replace(self, ranges: Mapping[str, Sequence[float]]) -> ParameterSpace:
        """The same space with other ranges.

        Args:
            ranges: From parameter name to (low, high) in physical units; others keep their range.

        Returns:
            A new space.

        Raises:
            ValueError: If a name is unknown or a range is not a valid pair.
        """
        parameters = list(self._parameters)
        for name, bounds in ranges.items():
            position = self._position(name)
            if len(bounds) != 2:
                raise ValueError(f"parameter {name!r}: a range is a pair (low, high), got {list(bounds)}")
            parameters[position] = replace(parameters[position], low=bounds[0], high=bounds[1])
        return ParameterSpace(parameters)

    def to_unit(self, theta: Shaped[Tensor, "*batch P"]) -> Float[Tensor, "*batch P"]:
        """Map physical values to the unit cube.

        Args:
            theta: Physical values, shape (..., P), each axis in its parameter's unit.

        Returns:
            Scaled coordinates, same shape, dtype and device; -1 at `low`, 1 at `high`.

        Raises:
            ValueError: If the trailing axis is not P long.
            TypeError: If `theta` is not a floating-point tensor.
        """
        lows, highs, is_log = self._constants(theta)
        ratio = (theta - lows) / lows.where(is_log, 1.0)
        # log1p of the relative distance stays accurate close to `low` and in narrow ranges.
        height = torch.where(is_log, torch.log1p(ratio.where(is_log, 0.0)), ratio)
        span = torch.where(is_log, torch.log(highs / lows.where(is_log, highs)), highs - lows)
        return 2.0 * height / span - 1.0

    def from_unit(self, u: Shaped[Tensor, "*batch P"]) -> Float[Tensor, "*batch P"]:
        """Map the unit cube to physical values: the inverse of `to_unit`.

        Args:
            u: Scaled coordinates, shape (..., P).

        Returns:
            Physical values, same shape, dtype and device.

        Raises:
            ValueError: If the trailing axis is not P long.
            TypeError: If `u` is not a floating-point tensor.
        """
        lows, highs, is_log = self._constants(u)
        fraction = 0.5 * (u + 1.0)
        exponent = fraction.where(is_log, 0.0) * torch.log(highs / lows.where(is_log, highs))
        return torch.where(is_log, lows * torch.exp(exponent), lows + (highs - lows) * fraction)

    def sample(self, n: int | Sequence[int], method: str = "sobol", seed: int = 0) -> Float[Tensor, "n P"]:
        """Draw a design of n points in the unit cube.

        Args:
            n: Number of points. For "grid" either k**P, or the number of points along each of the P axes.
            method: "sobol" (scrambled Sobol sequence), "uniform" (independent draws), "lhs" (Latin hypercube)
                or "grid". A grid holds both ends of every range (the middle where an axis has one point), and
                its last parameter varies fastest, as in `itertools.product`.
            seed: Seed; equal arguments give equal points. Ignored by "grid".

        Returns:
            Points in [-1, 1]^P, shape (n, P), float64, on the CPU. For "sobol" and "uniform" a smaller design
            is the beginning of a larger one with the same seed.

        Raises:
            ValueError: If the method is unknown or `n` does not fit it.

        Source:
            Owen, "Scrambling Sobol' and Niederreiter-Xing points", J. Complexity 14 (1998).

        Example:
            >>> space = ParameterSpace([Parameter("a", 0, 1), Parameter("b", 0, 1)])
            >>> space.sample((2, 3), method="grid")[:4]
            tensor([[-1., -1.],
                    [-1.,  0.],
                    [-1.,  1.],
                    [ 1., -1.]], dtype=torch.float64)
        """
        if method not in _METHODS:
            allowed = ", ".join(repr(name) for name in _METHODS)
            raise ValueError(f"unknown sampling method {method!r}, expected one of {allowed}")
        if method == "grid":
            return self._grid(n)
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"sample(method={method!r}) needs a number of points n >= 1, got {n!r}")
        import numpy as np

        rng = np.random.default_rng(seed)
        if method == "uniform":
            unit = rng.random((n, len(self)))
        else:
            from scipy.stats import qmc

            if method == "lhs":
                unit = qmc.LatinHypercube(len(self), rng=rng).random(n)
            else:
                # Whole powers of two keep the sequence balanced; its prefix is the same whatever their size.
                unit = qmc.Sobol(len(self), rng=rng).random_base2((n - 1).bit_length())[:n]
        return torch.from_numpy(2.0 * unit - 1.0)

    def check_unit(self, u: Tensor) -> None:
        """Refuse scaled coordinates outside [-1, 1], beyond rounding.

        Values are only looked at when `u` is concrete: inside `torch.func` transforms and `torch.compile`
        this checks shape and dtype alone.

        Args:
            u: Scaled coordinates, shape (..., P).

        Raises:
            ValueError: If the trailing axis is not P long, or a value is outside [-1, 1] or not finite.
            TypeError: If `u` is not a floating-point tensor.
        """
        self._check_layout(u)
        if is_concrete(u):
            self._check_inside(u, u, "u", [("-1", "1", "") for _ in self], "unit coordinates")

    def check_physical(self, theta: Tensor) -> None:
        """Refuse physical values outside their range, beyond rounding.

        Values are only looked at when `theta` is concrete: inside `torch.func` transforms and `torch.compile`
        this checks shape and dtype alone.

        Args:
            theta: Physical values, shape (..., P).

        Raises:
            ValueError: If the trailing axis is not P long, or a value is outside its range or not finite.
            TypeError: If `theta` is not a floating-point tensor.
        """
        self._check_layout(theta)
        if is_concrete(theta):
            ranges = [(f"{p.low:g}", f"{p.high:g}", f" {p.unit}" if p.unit else "") for p in self]
            self._check_inside(theta, self.to_unit(theta.double()), "theta", ranges, "physical units")

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary that `from_dict` turns back into an equal space."""
        return {"parameters": [asdict(parameter) for parameter in self]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ParameterSpace:
        """Build a space from the dictionary of `to_dict`.

        Args:
            data: A mapping with one key "parameters": a list of mappings with the fields of `Parameter`.

        Returns:
            A space equal to the one that was written.

        Raises:
            ValueError: If a key is missing or unknown.
        """
        if set(data) != {"parameters"}:
            raise ValueError(
                f"a parameter space is a mapping with the one key 'parameters', got keys {sorted(data)}"
            )
        allowed = {field.name for field in fields(Parameter)}
        required = {"name", "low", "high"}
        for position, entry in enumerate(data["parameters"]):
            unknown, missing = sorted(set(entry) - allowed), sorted(required - set(entry))
            if unknown or missing:
                problem = f"has unknown field {unknown[0]!r}" if unknown else f"lacks field {missing[0]!r}"
                raise ValueError(f"parameter {position} {problem}; fields are {sorted(allowed)}")
        return cls(Parameter(**entry) for entry in data["parameters"])

    def to_json(self) -> str:
        """JSON text that `from_json` turns back into an equal space, bit for bit."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> ParameterSpace:
        """Build a space from the text of `to_json`.

        Args:
            text: JSON.

        Returns:
            A space equal to the one that was written.

        Raises:
            ValueError: If the text is not JSON, or lacks or adds a key.
        """
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError(f"a parameter space is a JSON object, got {type(data).__name__}")
        return cls.from_dict(data)

    def _position(self, name: str) -> int:
        if name in self.names:
            return self.names.index(name)
        close = difflib.get_close_matches(name, self.names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown parameter {name!r}, expected one of {', '.join(self.names)}{hint}")

    def _constants(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self._check_layout(like)
        return self._lows.to(like), self._highs.to(like), self._is_log.to(like.device)

    def _check_layout(self, values: Tensor) -> None:
        if not isinstance(values, Tensor):
            raise TypeError(f"parameters must be a torch.Tensor, got {type(values).__name__}")
        if not values.is_floating_point():
            raise TypeError(f"parameters must be a floating-point tensor, got dtype {values.dtype}")
        if values.ndim == 0 or values.shape[-1] != len(self):
            raise ValueError(
                f"parameters must have shape (..., {len(self)}), one column for each of "
                f"{', '.join(self.names)}, got shape {tuple(values.shape)}"
            )

    def _check_inside(
        self, values: Tensor, u: Tensor, symbol: str, ranges: list[tuple[str, str, str]], expected: str
    ) -> None:
        """Raise at the first of `values` whose unit coordinate in `u` is not in the cube; NaN is not."""
        slack = self._slack(values.dtype).to(u.device)
        outside = ~(u.detach().abs().double() <= 1.0 + slack)
        if not bool(outside.any()):
            return
        *row, column = (int(i) for i in outside.nonzero()[0])
        low, high, unit = ranges[column]
        value = float(values.detach()[(*row, column)])
        where = f" in row {row[0] if len(row) == 1 else tuple(row)}" if row else ""
        cause = f"{symbol} must be in {expected}" if math.isfinite(value) else f"{symbol} must be finite"
        raise ValueError(
            f"parameter {self.names[column]!r} must lie in [{low}, {high}]{unit}, "
            f"got {value:g}{unit}{where}; {cause}"
        )

    def _slack(self, dtype: torch.dtype) -> Float[Tensor, " P"]:
        """Distance beyond the cube's faces that rounding to `dtype` alone can cause, in unit coordinates."""
        magnitude = torch.maximum(self._lows.abs(), self._highs.abs()) / (self._highs - self._lows)
        nepers = torch.log(torch.where(self._is_log, self._highs / self._lows, math.e))
        growth = torch.where(self._is_log, 1.0 / nepers, magnitude)
        return _ROUNDINGS * torch.finfo(dtype).eps * (1.0 + growth)

    def _grid(self, n: int | Sequence[int]) -> Float[Tensor, "n P"]:
        if isinstance(n, int):
            side = round(n ** (1.0 / len(self))) if n > 0 else 0
            if side < 1 or side ** len(self) != n:
                near = " or ".join(str(max(side + step, 1) ** len(self)) for step in (0, 1))
                raise ValueError(
                    f"a grid over {len(self)} parameters has k**{len(self)} points, got n = {n}; "
                    f"take {near}, or give the number of points along each axis"
                )
            counts: Sequence[int] = (side,) * len(self)
        else:
            counts = tuple(n)
            if len(counts) != len(self) or min(counts) < 1:
                raise ValueError(
                    f"a grid needs a positive number of points for each of {', '.join(self.names)}, "
                    f"got {list(counts)}"
                )
        axes = [torch.linspace(-1.0 if k > 1 else 0.0, 1.0, k, dtype=torch.float64) for k in counts]
        return torch.cartesian_prod(*axes).reshape(-1, len(self))
