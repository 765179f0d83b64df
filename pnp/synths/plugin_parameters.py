"""Parameters of a plug-in: positions, texts, and the space that they suggest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

from pnp._text import counted, did_you_mean, text_table
from pnp.parameters import Parameter, ParameterSpace
from pnp.synths.plugin_host import Host

__all__ = ["PluginParameter", "PluginParameters", "read_parameters"]

# Positions at which the text of a parameter is read.
_TRIED = 201

# Texts of a parameter that switches: more are taken for the rounding of a continuous one.
_MOST_TEXTS = 32

# Whole numbers in a row that are taken for options: more are taken for an integer.
_MOST_OPTIONS = 8

# Parameters that hosts add to every plug-in; a space of them all would be one of MIDI controllers.
# VST3 has no controllers of its own: plug-ins list up to 16 channels of 130.
_OF_THE_HOST = re.compile(r"midi[ _]?cc|^midi ch\W*\d+ cc|^bypass$|^program$", re.IGNORECASE)

_NUMBER = re.compile(r"\s*([-+]?\d+(?:\.\d*)?)")


@dataclass(frozen=True)
class PluginParameter:
    """One parameter of a plug-in.

    Args:
        name: Name as an identifier, unique in the plug-in.
        title: Name that the plug-in gives.
        index: Number by which the plug-in knows it.
        default: Position after loading, from 0 to 1.
        unit: Unit of the texts, as the plug-in gives it.
        texts: Texts of a discrete parameter in the order of their positions; of a continuous one, those of both ends.
        positions: Position of each text.
        is_discrete: True where the parameter has a few settings and nothing in between.
    """

    name: str
    title: str
    index: int
    default: float
    unit: str
    texts: tuple[str, ...]
    positions: tuple[float, ...]
    is_discrete: bool

    def position(self, parameter: Parameter, value: float | str) -> float:
        """Return the position for a value of a parameter of a space.

        Args:
            parameter: Parameter of the space that stands for this one.
            value: A position, a whole number, or an option.

        Returns:
            Position from 0 to 1.
        """
        if parameter.choices:
            place = parameter.choices.index(str(value))
            return self.positions[self._options(parameter)[place]]
        return self.positions[self._wholes().index(int(value))] if parameter.is_whole else float(value)

    def check(self, parameter: Parameter) -> None:
        """Refuse a parameter of a space that cannot stand for this one.

        Args:
            parameter: Parameter of the space.

        Raises:
            ValueError: If its options or its range are not those of the plug-in.
        """
        if parameter.choices:
            self._options(parameter)
        elif parameter.is_whole:
            wholes = self._wholes()
            missing = [n for n in range(int(parameter.low), int(parameter.high) + 1) if n not in wholes]
            if missing:
                there = f"it shows {_shortened(self.texts)}" if self.texts else "it shows none"
                raise ValueError(f"parameter {self.name!r}: the plug-in has no setting {missing[0]}; {there}")
        elif not 0.0 <= parameter.low < parameter.high <= 1.0:
            raise ValueError(
                f"parameter {self.name!r}: a continuous parameter of a plug-in is its position, from 0 to 1, got "
                f"[{parameter.low:g}, {parameter.high:g}]; 0 shows {self.texts[0]!r}, 1 shows {self.texts[-1]!r}"
            )

    def setting(self, value: float | str) -> float:
        """Return the position of a fixed value.

        Args:
            value: A position from 0 to 1, or the text of a discrete parameter.

        Returns:
            Position from 0 to 1.

        Raises:
            ValueError: If it is no position and no text of the plug-in.
        """
        if isinstance(value, str):
            if not self.is_discrete or value not in self.texts:
                known = f"has the texts {_shortened(self.texts)}" if self.is_discrete else "is continuous"
                raise ValueError(
                    f"parameter {self.name!r} of the plug-in {known}, got {value!r}{did_you_mean(value, self.texts)}"
                )
            return self.positions[self.texts.index(value)]
        if not 0.0 <= float(value) <= 1.0:
            raise ValueError(
                f"parameter {self.name!r} of the plug-in has positions from 0 to 1, got {value:g}; pass the text of an "
                "option as a string"
            )
        return float(value)

    def proposal(self) -> Parameter:
        """Return the parameter of a space that this one suggests.

        Returns:
            A choice, an integer, or a continuous position from 0 to 1.
        """
        if not self.is_discrete:
            return Parameter(self.name, 0.0, 1.0)
        wholes = self._wholes()
        if len(wholes) > _MOST_OPTIONS and list(wholes) == list(range(wholes[0], wholes[-1] + 1)):
            return Parameter(self.name, wholes[0], wholes[-1], kind="integer", unit=self.unit)
        return Parameter(self.name, choices=self.texts)

    def _options(self, parameter: Parameter) -> list[int]:
        """Return the place of each option among the texts: by its name, or all of them in their order."""
        known = [option in self.texts for option in parameter.choices]
        if all(known):
            return [self.texts.index(option) for option in parameter.choices]
        if not self.is_discrete:
            raise ValueError(
                f"parameter {self.name!r} of the plug-in is continuous, got the options {_shortened(parameter.choices)}"
            )
        if not any(known) and len(parameter.choices) == len(self.texts):
            return list(range(len(self.texts)))
        unknown = parameter.choices[known.index(False)]
        raise ValueError(
            f"parameter {self.name!r}: the plug-in has no option {unknown!r}, but {_shortened(self.texts)}; give some "
            f"of these, or {len(self.texts)} names of your own in their order{did_you_mean(unknown, self.texts)}"
        )

    def _wholes(self) -> list[int]:
        """Return the whole number of each text; none where a text has no such number."""
        numbers = [_NUMBER.match(text) for text in self.texts] if self.is_discrete else []
        values = [float(match[1]) for match in numbers if match]
        if len(values) < len(numbers) or not all(value.is_integer() for value in values):
            return []
        return [int(value) for value in values]


class PluginParameters(Sequence[PluginParameter]):
    """Parameters of a plug-in, which print as a table.

    Args:
        plugin: Name of the plug-in.
        parameters: All of them.
    """

    def __init__(self, plugin: str, parameters: Iterable[PluginParameter]) -> None:
        self.plugin = plugin
        self._parameters = tuple(parameters)

    @property
    def own(self) -> tuple[PluginParameter, ...]:
        """Parameters of the plug-in itself, without those that a host adds and those that nothing moves."""
        return tuple(p for p in self._parameters if len(p.texts) > 1 and not _OF_THE_HOST.search(p.title))

    @property
    def names(self) -> tuple[str, ...]:
        """Names, as identifiers."""
        return tuple(parameter.name for parameter in self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    @overload
    def __getitem__(self, key: int | str) -> PluginParameter: ...

    @overload
    def __getitem__(self, key: slice) -> tuple[PluginParameter, ...]: ...

    def __getitem__(self, key: int | str | slice) -> PluginParameter | tuple[PluginParameter, ...]:
        if isinstance(key, str):
            if key not in self.names:
                raise ValueError(
                    f"the plug-in {self.plugin!r} has no parameter {key!r}{did_you_mean(key, self.names)} It has "
                    f"{_shortened([parameter.name for parameter in self.own])}"
                )
            return self._parameters[self.names.index(key)]
        return self._parameters[key]

    def proposal(
        self, names: Iterable[str] | None = None, conditions: Iterable[Parameter] = ()
    ) -> ParameterSpace:
        """Return a space to start from: edit its ranges, its options and their names.

        Args:
            names: Parameters of the plug-in to take; by default all but those that a host adds (MIDI controllers,
                bypass).
            conditions: Conditions of the space, such as a note.

        Returns:
            A space with a position from 0 to 1 for each continuous parameter, and an integer or a choice for each
            discrete one.

        Raises:
            ValueError: If a name is unknown.
        """
        taken = self.own if names is None else [self[name] for name in names]
        return ParameterSpace([parameter.proposal() for parameter in taken], conditions)

    def __str__(self) -> str:
        shown = [p for p in self._parameters if not _OF_THE_HOST.search(p.title)]
        rows = [
            [
                parameter.name,
                parameter.proposal().kind if len(parameter.texts) > 1 else "fixed",
                f"{parameter.default:.4g}",
                _shortened(parameter.texts) if parameter.is_discrete else " to ".join(parameter.texts),
                parameter.unit,
            ]
            for parameter in shown
        ]
        table = text_table(["parameter", "kind", "default", "texts", "unit"], rows, "llrll")
        left = len(self) - len(shown)
        return f"{table}\nand {counted(left, 'parameter')} of the host" if left else table

    def __repr__(self) -> str:
        return f"<{len(self)} parameters of {self.plugin}>\n{self}"


def read_parameters(host: Host, plugin: str) -> PluginParameters:
    """Read the parameters of a plug-in; its settings are afterwards as they were.

    A VST2 plug-in does not say which of its parameters switch: those whose text takes a few values alone are taken for
    switches.

    Args:
        host: The plug-in.
        plugin: Its name.

    Returns:
        All parameters, in the plug-in's order.
    """
    found, names = list[PluginParameter](), set[str]()
    for described in host.plugin.get_parameters_description():
        name = _identifier(described["name"], described["index"], names)
        names.add(name)
        found.append(_read(host, name, described))
    return PluginParameters(plugin, found)


def _read(host: Host, name: str, described: dict[str, object]) -> PluginParameter:
    plugin, index = host.plugin, int(str(described["index"]))
    default = float(plugin.get_parameter(index))
    tried = [k / (_TRIED - 1) for k in range(_TRIED)]
    shown = list[str]()
    for position in tried:
        plugin.set_parameter(index, position)
        shown.append(str(plugin.get_parameter_text(index)).strip())
    plugin.set_parameter(index, default)
    texts = list(dict.fromkeys(shown))
    is_discrete = 1 < len(texts) <= _MOST_TEXTS and all(texts)
    if is_discrete:
        positions = [
            _middle(
                place, len(texts), [p for p, text in zip(tried, shown, strict=True) if text == texts[place]]
            )
            for place in range(len(texts))
        ]
    else:
        # Both ends; one where nothing moves it.
        texts, positions = ([shown[0], shown[-1]], [0.0, 1.0]) if len(texts) > 1 else (texts, [default])
    return PluginParameter(
        name=name,
        title=str(described["name"]),
        index=index,
        default=default,
        unit=str(described.get("label") or ""),
        texts=tuple(texts),
        positions=tuple(positions),
        is_discrete=is_discrete,
    )


def _middle(place: int, count: int, positions: Sequence[float]) -> float:
    """Return the position of a setting: that of equal steps if it shows there, else the middle of where it shows."""
    even = place / (count - 1)
    return even if positions[0] <= even <= positions[-1] else 0.5 * (positions[0] + positions[-1])


def _identifier(title: str, index: int, taken: set[str]) -> str:
    name = re.sub(r"\W+", "_", title).strip("_") or f"parameter_{index}"
    name = f"_{name}" if name[0].isdigit() else name
    return f"{name}_{index}" if name in taken else name


def _shortened(words: Sequence[str], most: int = 8) -> str:
    listed = words if len(words) <= most else (*words[: most - 1], "…", words[-1])
    return ", ".join(listed)
