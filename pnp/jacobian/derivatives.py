"""Kinds of derivatives that a Jacobian is made of, and the steps of differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pnp._arguments import finite_number
from pnp._text import did_you_mean
from pnp.parameters import ParameterSpace

__all__ = ["DEFAULT_STEP", "KINDS", "Derivatives", "by_name"]

KINDS = ("auto", "forward", "difference")

# Step of "difference" in units of u: the size of a network's error. The reach of a loss is of the same size.
DEFAULT_STEP = 0.1

# Beyond it both ends of every difference lie on faces of the cube.
_LONGEST = 2.0


@dataclass(frozen=True)
class Derivatives:
    """Kind of derivative of each parameter.

    Args:
        kind: "auto", "forward" or "difference".
        steps: Step h in units of u of each parameter whose column of J is a difference of features over ±h.

    Examples:
        >>> space = ParameterSpace.from_dict({"parameters": [{"name": "f0", "low": 1.0, "high": 2.0}]})
        >>> Derivatives.of(space, "difference", 0.3)
        Derivatives(kind='difference', steps={'f0': 0.3})
    """

    kind: str = "auto"
    steps: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, space: ParameterSpace, kind: str = "auto", step: Any = None) -> Derivatives:
        """Return the derivatives that a user asks for.

        Args:
            space: Parameters.
            kind: "auto", "forward" or "difference".
            step: Step in units of u: a number for all continuous parameters, or from name to number.

        Returns:
            Derivatives with a step for each parameter that is to have one.

        Raises:
            TypeError: If a step is no number.
            ValueError: If the kind is unknown, a step is out of range or contradicts the kind, or a name is unknown.
        """
        if kind not in KINDS:
            raise ValueError(f"derivatives must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
        if kind == "forward" and step is not None:
            raise ValueError(
                f"derivatives='forward' are exact and take no step, got step={step!r}; use 'difference'"
            )
        smooth = [parameter.name for parameter in space if not parameter.is_whole]
        if isinstance(step, Mapping):
            given = {name: _checked_step(space, name, size) for name, size in step.items()}
        elif step is not None:
            kind, given = "difference", {name: _checked_step(space, name, step) for name in smooth}
        else:
            given = {}
        if kind == "difference":
            given = {name: given.get(name, DEFAULT_STEP) for name in smooth}
        return cls(kind, given)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Derivatives:
        """Return the derivatives of a cache.

        Args:
            config: Configuration of the cache.
        """
        described = config.get("derivatives") or {}
        return cls(described.get("kind", "auto"), described.get("steps") or {})

    @property
    def is_default(self) -> bool:
        """True where nothing was asked for."""
        return self.kind == "auto" and not self.steps

    def to_dict(self) -> dict[str, Any]:
        """Return kind and steps as JSON can hold them."""
        return {"kind": self.kind, "steps": dict(self.steps)}

    def __str__(self) -> str:
        exact = {"auto": "exact where possible", "forward": "exact", "difference": ""}[self.kind]
        if not self.steps:
            return exact or "none"
        sizes = set(self.steps.values())
        if self.kind == "difference" and len(sizes) == 1:
            return f"differences over ±{sizes.pop():g} of u"
        steps = ", ".join(f"±{step:g} of {name}" for name, step in self.steps.items())
        return f"differences over {steps}" + (f"; others {exact}" if exact else "")


def _checked_step(space: ParameterSpace, name: str, step: Any) -> float:
    if name not in space.names:
        raise ValueError(
            f"step names {name!r}, expected one of {', '.join(space.names)}{did_you_mean(name, space.names)}"
        )
    if space[name].is_whole:
        raise ValueError(
            f"step names {name!r}, a whole number: the difference to the next one takes the place of its derivative"
        )
    return finite_number(f"the step of {name!r} in units of u", step, above=0, most=_LONGEST)


def by_name(
    space: ParameterSpace,
    what: str,
    values: float | Mapping[str, float],
    low: float,
    high: float,
    *,
    exclusive: bool = False,
) -> dict[str, float]:
    """Return a number for each continuous parameter that has one.

    Args:
        space: Parameters.
        what: Name of the option in messages.
        values: A number for all, or from name to number.
        low: Values are above.
        high: Values are at most that.
        exclusive: Values are below `high`.

    Returns:
        From name to number.

    Raises:
        ValueError: If a name is unknown or a number out of range.
    """
    names = [parameter.name for parameter in space if not parameter.is_whole]
    found = dict(values) if isinstance(values, Mapping) else dict.fromkeys(names, values)
    for name, value in found.items():
        if name not in names:
            raise ValueError(f"unknown parameter {name!r} in {what}, expected {', '.join(names)}")
        whose = f"{what} of {name!r}" if isinstance(values, Mapping) else what
        found[name] = finite_number(whose, value, above=low, **{"below" if exclusive else "most": high})
    return found
