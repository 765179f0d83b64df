"""Spaces of synthesizer parameters, and their map to the unit cube."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

from jaxtyping import Float, Shaped
from torch import Tensor

from pnp._arguments import shown
from pnp._text import did_you_mean
from pnp._torch.concrete import is_concrete
from pnp.parameters.checks import check_inside, check_layout
from pnp.parameters.designs import draw
from pnp.parameters.parameter import Parameter, listed
from pnp.parameters.scales import Scales, snapped

__all__ = ["ParameterSpace"]


class ParameterSpace(Sequence[Parameter]):
    """Parameters of a synthesizer, and their map to the unit cube [-1, 1]^P.

    Scaled coordinates u = h(theta) run from -1 at `low` to 1 at `high`, along the parameter's scale. They are
    what networks predict and what the metric is expressed in.

    As a sequence, a space holds the P parameters that the metric is about: continuous ones and integers. Choices have
    no derivative, and conditions (a MIDI note, a velocity) vary without being predicted. A synthesizer receives all
    of them: θ has D = P + K + Q columns, first the P parameters, then the K choices, then the Q conditions, each in
    the order given. Without choices and conditions, D = P.

    Args:
        parameters: Continuous parameters, integers and choices.
        conditions: Parameters that are drawn, stored and given to the synthesizer and to the network, but are neither
            predicted nor part of the metric.

    Raises:
        ValueError: If there is no continuous parameter or integer, or two have the same name.
        TypeError: If an element is not a `Parameter`.

    Source:
        Han, Lostanlen, Lagrange, "Perceptual-Neural-Physical Sound Matching", ICASSP 2023: the scaling h.

    Examples:
        >>> import torch
        >>> space = ParameterSpace([Parameter("f_c", 512, 1024, "log", "Hz"), Parameter("pan", -2, 2)])
        >>> space.from_unit(torch.tensor([-1.0, 0.5]))
        tensor([512.,   1.])
        >>> space["pan"].low, len(space)
        (-2.0, 2)

        >>> wave, note = Parameter("wave", choices=("saw", "square")), Parameter("note", 36, 84, kind="integer")
        >>> space = ParameterSpace([Parameter("cutoff", 50, 12000, "log", "Hz"), wave], conditions=[note])
        >>> space.names, space.column_names
        (('cutoff',), ('cutoff', 'wave', 'note'))
    """

    def __init__(self, parameters: Iterable[Parameter], conditions: Iterable[Parameter] = ()) -> None:
        self._listed, self._conditions = listed(parameters), listed(conditions, "conditions")
        for parameter in self._listed:
            if parameter.kind == "seed":
                raise ValueError(f"the seed {parameter.name!r} is not predicted; list it under conditions")
        if sum(parameter.kind == "seed" for parameter in self._conditions) > 1:
            raise ValueError("a parameter space has one seed at most, got several")
        self._parameters = tuple(parameter for parameter in self._listed if not parameter.choices)
        self._choices = tuple(parameter for parameter in self._listed if parameter.choices)
        if not self._parameters:
            got = f"{len(self._choices)} choices" if self._choices else "none"
            raise ValueError(
                f"a parameter space needs at least one Parameter that is no choice, for the metric; got {got}"
            )
        self._columns = (*self._parameters, *self._choices, *self._conditions)
        repeated = sorted({name for name in self.column_names if self.column_names.count(name) > 1})
        if repeated:
            raise ValueError(f"parameter names must be unique, got {repeated[0]!r} more than once")
        # Columns of the cube: the P parameters alone, and all D.
        self._scales = {
            len(self._parameters): Scales(self._parameters),
            len(self._columns): Scales(self._columns),
        }

    @property
    def choices(self) -> tuple[Parameter, ...]:
        """Choices: K parameters that have options instead of a range."""
        return self._choices

    @property
    def conditions(self) -> tuple[Parameter, ...]:
        """Conditions: Q parameters that vary but are not predicted."""
        return self._conditions

    @property
    def told(self) -> tuple[Parameter, ...]:
        """Conditions that a network is told: all but a seed, which nobody could know."""
        return tuple(condition for condition in self._conditions if condition.kind != "seed")

    @property
    def columns(self) -> tuple[Parameter, ...]:
        """All D parameters that a synthesizer receives, in the order of the trailing axis of θ."""
        return self._columns

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all D columns of θ."""
        return tuple(parameter.name for parameter in self._columns)

    @property
    def is_plain(self) -> bool:
        """True where θ holds continuous parameters and nothing else."""
        return all(parameter.kind == "continuous" for parameter in self._columns) and not self._conditions

    def column(self, name: str) -> int:
        """Return the column of θ that holds a parameter, choice or condition.

        Args:
            name: Its name.

        Returns:
            Position in the trailing axis of θ.

        Raises:
            ValueError: If the name is unknown.
        """
        if name in self.column_names:
            return self.column_names.index(name)
        raise ValueError(
            f"unknown parameter {name!r}, expected one of {', '.join(self.column_names)}"
            f"{did_you_mean(name, self.column_names)}"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the P parameters that the metric is about."""
        return tuple(parameter.name for parameter in self._parameters)

    @property
    def lows(self) -> Float[Tensor, " P"]:
        """Lower ends in physical units, float64."""
        return self._scales[len(self)].lows.clone()

    @property
    def highs(self) -> Float[Tensor, " P"]:
        """Upper ends in physical units, float64."""
        return self._scales[len(self)].highs.clone()

    def __len__(self) -> int:
        return len(self._parameters)

    @overload
    def __getitem__(self, key: int | str) -> Parameter: ...

    @overload
    def __getitem__(self, key: slice) -> ParameterSpace: ...

    def __getitem__(self, key: int | str | slice) -> Parameter | ParameterSpace:
        if isinstance(key, str):
            return self._columns[self.column(key)]
        if isinstance(key, slice):
            return ParameterSpace(self._parameters[key])
        return self._parameters[key]

    def __contains__(self, item: object) -> bool:
        return item in self.column_names if isinstance(item, str) else item in self._columns

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParameterSpace):
            return NotImplemented
        return (self._listed, self._conditions) == (other._listed, other._conditions)

    def __hash__(self) -> int:
        return hash((self._listed, self._conditions))

    def __str__(self) -> str:
        return ", ".join(map(str, self._columns))

    def __repr__(self) -> str:
        conditions = f", conditions={list(self._conditions)!r}" if self._conditions else ""
        return f"ParameterSpace({list(self._listed)!r}{conditions})"

    def replace(self, ranges: Mapping[str, Sequence[float]]) -> ParameterSpace:
        """The same space with other ranges.

        Args:
            ranges: From parameter name to (low, high) in physical units; others keep their range.

        Returns:
            A new space.

        Raises:
            ValueError: If a name is unknown or a range is not a valid pair.
        """
        changed = {parameter.name: parameter for parameter in self._columns}
        for name, bounds in ranges.items():
            self.column(name)
            if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
                raise ValueError(f"parameter {name!r}: a range is a pair (low, high), got {shown(bounds)}")
            changed[name] = replace(changed[name], low=bounds[0], high=bounds[1])
        return ParameterSpace(
            [changed[parameter.name] for parameter in self._listed],
            [changed[parameter.name] for parameter in self._conditions],
        )

    def select(self, names: Iterable[str]) -> ParameterSpace:
        """Return a space with fewer predicted parameters and choices; conditions stay.

        Args:
            names: Names of the parameters and choices to keep; they keep their order in this space.

        Returns:
            A new space.

        Raises:
            ValueError: If a name is unknown or a condition, or no parameter with a metric is left.
        """
        wanted = tuple(names)
        listed = [parameter.name for parameter in self._listed]
        for name in wanted:
            if name not in listed:
                raise ValueError(
                    f"unknown parameter {name!r}, expected some of {', '.join(listed)}{did_you_mean(name, listed)}"
                )
        return ParameterSpace([p for p in self._listed if p.name in wanted], self._conditions)

    def to_unit(self, theta: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Map physical values to the unit cube.

        Args:
            theta: Physical values, shape (..., D), each column in its parameter's unit; or (..., P), the
                parameters alone.

        Returns:
            Scaled coordinates, same shape, dtype and device; -1 at `low`, 1 at `high`.

        Raises:
            ValueError: If the trailing axis is neither P nor D long.
            TypeError: If `theta` is not a floating-point tensor.
        """
        self._check_layout(theta)
        return self._scales[theta.shape[-1]].to_unit(theta)

    def from_unit(self, u: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Map the unit cube to physical values: the inverse of `to_unit`.

        Integers and choices come out between whole numbers where u does; `snap` moves u to where they are whole.

        Args:
            u: Scaled coordinates, shape (..., D), or (..., P).

        Returns:
            Physical values, same shape, dtype and device.

        Raises:
            ValueError: If the trailing axis is neither P nor D long.
            TypeError: If `u` is not a floating-point tensor.
        """
        self._check_layout(u)
        return self._scales[u.shape[-1]].from_unit(u)

    def slope(self, u: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Derivatives of `from_unit`: how fast each physical value changes with its scaled coordinate.

        Args:
            u: Scaled coordinates, shape (..., D), or (..., P).

        Returns:
            dθ/du, same shape, dtype and device; each in its parameter's unit.

        Raises:
            ValueError: If the trailing axis is neither P nor D long.
            TypeError: If `u` is not a floating-point tensor.

        Examples:
            >>> import torch
            >>> ParameterSpace([Parameter("level", 0.0, 10.0)]).slope(torch.zeros(1, 1))
            tensor([[5.]])
        """
        self._check_layout(u)
        return self._scales[u.shape[-1]].slope(u)

    def snap(self, u: Shaped[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Move scaled coordinates to the nearest point where integers and choices are whole.

        Args:
            u: Scaled coordinates, shape (..., D), or (..., P).

        Returns:
            Scaled coordinates, same shape; columns of continuous parameters are unchanged.

        Raises:
            ValueError: If the trailing axis is neither P nor D long.
            TypeError: If `u` is not a floating-point tensor.

        Examples:
            >>> import torch
            >>> space = ParameterSpace([Parameter("voices", 1, 5, kind="integer")])
            >>> space.snap(torch.tensor([[-0.8], [0.3]]))
            tensor([[-1.0000],
                    [ 0.5000]])
        """
        self._check_layout(u)
        return snapped(u, self._columns[: u.shape[-1]], self._scales[u.shape[-1]])

    def sample(self, n: int | Sequence[int], method: str = "sobol", seed: int = 0) -> Float[Tensor, "n D"]:
        """Draw a design of n points in the unit cube.

        Integers and choices are whole, each value equally likely but on a grid, whose points are moved to the
        nearest whole value.

        Args:
            n: Number of points. For "grid" either k**D, or the number of points along each of the D axes.
            method: "sobol" (scrambled Sobol sequence), "uniform" (independent draws), "lhs" (Latin hypercube)
                or "grid". A grid holds both ends of every range (the middle where an axis has one point), and
                its last parameter varies fastest, as in `itertools.product`.
            seed: Seed; equal arguments give equal points. Ignored by "grid".

        Returns:
            Points in [-1, 1]^D, shape (n, D), float64, on the CPU. For "sobol" and "uniform" a smaller design
            is the beginning of a larger one with the same seed.

        Raises:
            ValueError: If the method is unknown or `n` does not fit it.

        Source:
            Owen, "Scrambling Sobol' and Niederreiter-Xing points", J. Complexity 14 (1998).

        Examples:
            >>> space = ParameterSpace([Parameter("a", 0, 1), Parameter("b", 0, 1)])
            >>> space.sample((2, 3), method="grid")[:4]
            tensor([[-1., -1.],
                    [-1.,  0.],
                    [-1.,  1.],
                    [ 1., -1.]], dtype=torch.float64)
        """
        return draw(self._columns, n, method, seed)

    def check_unit(self, u: Tensor) -> None:
        """Refuse scaled coordinates outside [-1, 1], beyond rounding.

        Values are only looked at when `u` is concrete: inside `torch.func` transforms and `torch.compile`
        this checks shape and dtype alone.

        Args:
            u: Scaled coordinates, shape (..., D), or (..., P).

        Raises:
            ValueError: If the trailing axis is neither P nor D long, or a value is outside [-1, 1] or not finite.
            TypeError: If `u` is not a floating-point tensor.
        """
        self._check_layout(u)
        if is_concrete(u):
            check_inside(u, u, self._scales[u.shape[-1]].slack(u.dtype), self._columns, physical=False)

    def check_physical(self, theta: Tensor) -> None:
        """Refuse physical values outside their range; otherwise as `check_unit`.

        Args:
            theta: Physical values, shape (..., D), or (..., P).

        Raises:
            ValueError: As `check_unit`.
            TypeError: As `check_unit`.
        """
        self._check_layout(theta)
        if is_concrete(theta):
            scales = self._scales[theta.shape[-1]]
            u, slack = scales.to_unit(theta.double()), scales.slack(theta.dtype)
            check_inside(theta, u, slack, self._columns, physical=True)

    def _check_layout(self, values: Tensor) -> None:
        check_layout(values, self.column_names, self._scales)

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dictionary that `from_dict` turns back into an equal space."""
        described: dict[str, Any] = {"parameters": [parameter.to_dict() for parameter in self._listed]}
        if self._conditions:
            described["conditions"] = [parameter.to_dict() for parameter in self._conditions]
        return described

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ParameterSpace:
        """Build a space from the dictionary of `to_dict`.

        Args:
            data: A mapping with a key "parameters" and, if there are any, "conditions": lists of mappings with
                the fields of `Parameter`.

        Returns:
            A space equal to the one that was written.

        Raises:
            ValueError: If a key is missing or unknown.
        """
        if not {"parameters"} <= set(data) <= {"parameters", "conditions"}:
            raise ValueError(
                "a parameter space is a mapping with the one key 'parameters', and 'conditions' where it has some, "
                f"got keys {sorted(data)}"
            )
        read = {
            key: [
                _read(entry, f"{key.removesuffix('s')} {position}") for position, entry in enumerate(entries)
            ]
            for key, entries in data.items()
        }
        return cls(**read)

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


def _read(entry: Mapping[str, Any], where: str) -> Parameter:
    try:
        return Parameter.from_dict(entry)
    except ValueError as error:
        raise ValueError(f"{where} {error}") from None
