"""Probe of choices, integers and conditions: options that are refused, and columns that the sound ignores."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from pnp._protocols import SynthesizerModule
from pnp.parameters import Parameter
from pnp.parameters.values import rounded

__all__ = ["probe_kinds"]

_log = logging.getLogger(__name__)

# Sounds at which an option is tried before it counts as refused, and at which a column is moved.
_MOST_TRIED, _MOVED = 8, 2


@torch.no_grad()
def probe_kinds(synth: SynthesizerModule, design: Tensor, device: str) -> None:
    """Try every option of every choice, and move every column that has no derivative.

    A column that nobody hears makes a warning: it may be right, or be lost on the way into the program.

    Args:
        synth: Synthesizer.
        design: Scaled parameters, shape (n, D), float64.
        device: Device of the synthesizer.

    Raises:
        ValueError: If an option fails at each of the sounds.
    """
    space = synth.space
    theta = rounded(space, space.from_unit(design[:_MOST_TRIED].to(device)))
    usable = [row for row in theta if not isinstance(_sound(synth, row), Exception)]
    if not usable:
        return
    for column, parameter in enumerate(space.columns):
        if parameter.choices:
            _check_options(synth, usable, column, parameter)
    ignored = [
        column
        for column, parameter in enumerate(space.columns)
        if (parameter.is_whole or column >= len(space)) and _is_ignored(synth, usable[:_MOVED], column)
    ]
    if ignored:
        names = ", ".join(
            _described(space.columns[column], column >= _n_predicted(synth)) for column in ignored
        )
        _log.warning(
            "%s makes the same sound whatever the value of %s, at %d sounds. Likely cause: the value does not "
            "reach the program, or its name is misspelt there.",
            type(synth).__name__,
            names,
            len(usable[:_MOVED]),
        )


def _check_options(synth: SynthesizerModule, rows: list[Tensor], column: int, parameter: Parameter) -> None:
    for option, name in enumerate(parameter.choices):
        failure: Exception | None = None
        for row in rows:
            heard = _sound(synth, _moved(row, column, option))
            if isinstance(heard, Tensor):
                break
            failure = heard
        else:
            raise ValueError(
                f"{type(synth).__name__} refuses option {name!r} of {parameter.name!r} at each of {len(rows)} sounds: "
                f"{type(failure).__name__}: {failure}. Every sound is made with every option; leave this one out of "
                "choices=(…), or mend the program."
            ) from failure


def _is_ignored(synth: SynthesizerModule, rows: list[Tensor], column: int) -> bool:
    """Tell if no other value of a column changes the sound."""
    parameter = synth.space.columns[column]
    values = range(len(parameter.choices)) if parameter.choices else (parameter.low, parameter.high)
    for row in rows:
        here = _sound(synth, row)
        for value in values:
            there = _sound(synth, _moved(row, column, float(value)))
            # A value that fails is heard.
            if not (isinstance(here, Tensor) and isinstance(there, Tensor) and torch.equal(here, there)):
                return False
    return True


def _moved(row: Tensor, column: int, value: float) -> Tensor:
    moved = row.clone()
    moved[column] = value
    return moved


def _sound(synth: SynthesizerModule, row: Tensor) -> Tensor | Exception:
    """Return a sound, or the error that the synthesizer raises."""
    try:
        return synth(row[None])
    except Exception as error:  # noqa: BLE001  (whatever a user's synthesizer raises is a property of the sound)
        return error


def _n_predicted(synth: SynthesizerModule) -> int:
    return len(synth.space) + len(synth.space.choices)


def _described(parameter: Parameter, is_condition: bool) -> str:
    kind = "condition" if is_condition else parameter.kind
    return f"the {kind} {parameter.name!r}"
