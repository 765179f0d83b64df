"""One synthesizer parameter: its kind, range, scale and unit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pnp._arguments import finite_number, shown
from pnp._text import did_you_mean

__all__ = ["KINDS", "SCALES", "Parameter", "listed"]

KINDS = ("continuous", "integer", "choice", "seed")
SCALES = ("linear", "log", "power")

# Seeds are whole numbers from 0 to this one, which single precision holds exactly, also scaled to the cube.
_LAST_SEED = 65535


@dataclass(frozen=True)
class Parameter:
    """One synthesizer parameter.

    There are four kinds:

    - *continuous*: a number in a range. The metric holds derivatives with respect to it.
    - *integer*: a whole number in a range, such as a number of voices. The difference to the next whole number stands
      for the derivative.
    - *choice*: one of several options without an order, such as a waveform. It has no derivative; the offline stage
      measures the distance between its options.
    - *seed*: a whole number from 0 to 65,535 that decides what a random synthesizer draws. It is a condition that no
      network sees.

    Args:
        name: A Python identifier.
        low: Lower end of the range, in `unit`. Not for a choice or a seed.
        high: Upper end of the range, in `unit`; larger than `low`. Not for a choice or a seed.
        scale: "linear"; "log" where equal ratios matter equally (frequencies, times) and `low` > 0; or "power" where
            values near `low` matter more and `low` may be 0.
        unit: Physical unit for messages and figures, e.g. "Hz"; empty for a pure number.
        kind: "continuous", "integer", "choice" or "seed".
        choices: Options of a choice, two or more; their position is the value. Setting them makes a choice.
        offset: For scale "log": the scale is the logarithm of value + offset, so that `low` may be 0. An attack
            time in [0, 2] s with an offset of 0.01 s is close to linear below 10 ms and logarithmic above.
        exponent: For scale "power": value = low + (high − low) tᵉ, with t from 0 to 1.

    Raises:
        TypeError: If an end, an offset or an exponent is no number.
        ValueError: If the name, the range, the scale or the options are not valid.

    Examples:
        >>> Parameter("f_c", 512.0, 1024.0, scale="log", unit="Hz").high
        1024.0
        >>> Parameter("attack", 0.0, 2.0, scale="log", offset=0.01, unit="s").kind
        'continuous'
        >>> Parameter("wave", choices=("saw", "square")).choices
        ('saw', 'square')
    """

    name: str
    low: float = math.nan
    high: float = math.nan
    scale: str = "linear"
    unit: str = ""
    kind: str = "continuous"
    choices: tuple[str, ...] = ()
    offset: float = 0.0
    exponent: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(f"a parameter name must be a Python identifier such as 'f_c', got {self.name!r}")
        self._check_words()
        if self.kind == "seed":
            self._check_seed()
        if self.choices:
            self._check_choices()
        else:
            self._check_range()
            self._check_scale()

    def _check_words(self) -> None:
        for field, allowed in (("scale", SCALES), ("kind", KINDS)):
            value = getattr(self, field)
            if value not in allowed:
                expected = " or ".join((", ".join(map(repr, allowed[:-1])), repr(allowed[-1])))
                raise ValueError(
                    f"parameter {self.name!r}: {field} must be {expected}, got {value!r}"
                    f"{did_you_mean(str(value), allowed)}"
                )

    def _check_choices(self) -> None:
        given: object = self.choices
        if not isinstance(given, (tuple, list)):
            raise ValueError(f"parameter {self.name!r}: choices must be a tuple of names, got {given!r}")
        options = tuple(self.choices)
        if not all(isinstance(option, str) and option for option in options):
            raise ValueError(f"parameter {self.name!r}: each option must be a name, got {options!r}")
        if len(options) < 2 or len(set(options)) < len(options):
            raise ValueError(
                f"parameter {self.name!r}: a choice needs at least two different options, got {options!r}"
            )
        given_range = (self.low, self.high)
        if given_range != (0.0, len(options) - 1.0) and not all(
            isinstance(end, float) and math.isnan(end) for end in given_range
        ):
            raise ValueError(
                f"parameter {self.name!r}: a choice has options and no range, got both ({self.low}, {self.high})"
            )
        if self.kind == "integer" or self.scale != "linear" or self.offset or self.exponent != 1.0:
            raise ValueError(f"parameter {self.name!r}: a choice has no scale and is no integer")
        object.__setattr__(self, "choices", options)
        object.__setattr__(self, "kind", "choice")
        # The value of a choice is the position of its option.
        object.__setattr__(self, "low", 0.0)
        object.__setattr__(self, "high", len(options) - 1.0)

    def _check_seed(self) -> None:
        given = (self.low, self.high)
        if given != (0.0, _LAST_SEED) and not math.isnan(self.low + self.high):
            raise ValueError(f"parameter {self.name!r}: a seed has no range of its own, got {given}")
        if self.scale != "linear":
            raise ValueError(f"parameter {self.name!r}: a seed has no scale, got {self.scale!r}")
        object.__setattr__(self, "low", 0.0)
        object.__setattr__(self, "high", float(_LAST_SEED))

    def _check_range(self) -> None:
        if self.kind == "choice":
            raise ValueError(f"parameter {self.name!r}: a choice needs its options, choices=(…)")
        for end in ("low", "high"):
            given = getattr(self, end)
            if isinstance(given, float) and math.isnan(given):
                raise ValueError(
                    f"parameter {self.name!r}: {end} must be finite, got {given}; give low and high, or choices"
                )
            # Plain floats keep equality, JSON and messages independent of how the number was written.
            value = finite_number(f"parameter {self.name!r}: {end}", given)
            object.__setattr__(self, end, value)
            if self.kind == "integer" and not value.is_integer():
                raise ValueError(f"parameter {self.name!r}: an integer has whole ends, got {end} = {value:g}")
        if not self.low < self.high:
            raise ValueError(
                f"parameter {self.name!r}: low must be less than high, got [{self.low:g}, {self.high:g}]"
            )

    def _check_scale(self) -> None:
        limits: dict[str, dict[str, float]] = {"offset": {"least": 0}, "exponent": {"least": 0.1, "most": 10}}
        for field, allowed in limits.items():
            number = finite_number(f"parameter {self.name!r}: {field}", getattr(self, field), **allowed)
            object.__setattr__(self, field, number)
        if self.offset and self.scale != "log":
            raise ValueError(f"parameter {self.name!r}: an offset goes with scale='log', got {self.scale!r}")
        if self.exponent != 1.0 and self.scale != "power":
            raise ValueError(
                f"parameter {self.name!r}: an exponent goes with scale='power', got {self.scale!r}"
            )
        if self.scale == "log" and self.low + self.offset <= 0.0:
            raise ValueError(
                f"parameter {self.name!r}: a log scale needs low > 0, got low = {self.low:g}; "
                "raise low, give an offset, or use scale='linear'"
            )

    @property
    def is_whole(self) -> bool:
        """True where values are whole numbers: an integer, a seed, or the position of an option."""
        return self.kind != "continuous"

    def value(self, number: float) -> float | int | str:
        """Return a value as a program receives it.

        Args:
            number: Physical value; for a choice, the position of its option.

        Returns:
            A float, the nearest whole number in the range as an int, or an option's name.

        Examples:
            >>> Parameter("voices", 1, 8, kind="integer").value(2.9999)
            3
            >>> Parameter("wave", choices=("saw", "square")).value(1.0)
            'square'
        """
        if not self.is_whole:
            return float(number)
        whole = round(min(max(float(number), self.low), self.high))
        return self.choices[whole] if self.choices else whole

    def number(self, value: float | str) -> float:
        """Return the number that stands for a value: the inverse of `value`.

        Args:
            value: A number, or the name of an option.

        Returns:
            The number.

        Raises:
            ValueError: If it is no option, no number, or not whole where it must be.
        """
        if self.choices and isinstance(value, str):
            if value not in self.choices:
                raise ValueError(
                    f"parameter {self.name!r} has the options {', '.join(self.choices)}, got {value!r}"
                    f"{did_you_mean(value, self.choices)}"
                )
            return float(self.choices.index(value))
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"parameter {self.name!r} needs a number, got {value!r}") from None
        if self.is_whole and not number.is_integer():
            raise ValueError(f"parameter {self.name!r} needs a whole number, got {number:g}")
        return number

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-able: the five that every parameter has, and others where they are set."""
        if self.choices:
            return {"name": self.name, "choices": list(self.choices), "unit": self.unit}
        always = ("name", "low", "high", "scale", "unit")
        described = {name: getattr(self, name) for name in always}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in always and value != field.default:
                described[field.name] = value
        return described

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Parameter:
        """Build a parameter from the dictionary of `to_dict`.

        Args:
            data: Fields of `Parameter`.

        Returns:
            A parameter equal to the one that was written.

        Raises:
            ValueError: If a field is missing or unknown, or its value is not valid.
        """
        allowed = {field.name for field in fields(cls)}
        required = {"name"} if "choices" in data else {"name", "low", "high"}
        unknown, missing = sorted(set(data) - allowed), sorted(required - set(data))
        if unknown or missing:
            problem = f"has unknown field {unknown[0]!r}" if unknown else f"lacks field {missing[0]!r}"
            raise ValueError(f"{problem}; fields are {sorted(allowed)}")
        options = data.get("choices", ())
        return cls(**{**data, "choices": tuple(options) if isinstance(options, list) else options})

    def __str__(self) -> str:
        if self.choices:
            return f"{self.name} in {{{', '.join(self.choices)}}}"
        unit = f" {self.unit}" if self.unit else ""
        words = self.kind if self.is_whole and self.scale == "linear" else self.scale
        return f"{self.name} in [{self.low:g}, {self.high:g}]{unit} ({words})"


def listed(given: Iterable[Parameter], name: str = "parameters") -> tuple[Parameter, ...]:
    """Return the parameters of a list.

    Args:
        given: List that was given.
        name: Name of the list, for messages.

    Raises:
        TypeError: If it is no list, or an element is no parameter.
    """
    if not isinstance(given, Iterable):
        raise TypeError(f"{name} must be a list of pnp.Parameter, got {shown(given)}")
    found = tuple(given)
    for position, parameter in enumerate(found):
        if not isinstance(parameter, Parameter):
            raise TypeError(f"element {position} of {name} must be a pnp.Parameter, got {shown(parameter)}")
    return found
