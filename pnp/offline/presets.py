"""Presets: the sounds of a run in physical units, from an array or a file, each value checked in its own unit."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pnp._text import did_you_mean
from pnp.parameters import Parameter, ParameterSpace
from pnp.store.schema import FOLDS

__all__ = ["Presets", "read_presets"]

_FOLD = "fold"

# Place of a line in its file, for messages, and its cells.
_Line = tuple[str, list[str]]

# Roundings of a value that a program wrote with all its digits.
_SLACK = 1e-12


@dataclass(frozen=True)
class Presets:
    """Sounds of a run that were given.

    Args:
        u: Scaled parameters, shape (n, D), float64.
        folds: Fold of each sound where it is given, shape (n,), int8: 0 train, 1 validation, 2 test.
    """

    u: Tensor
    folds: np.ndarray | None = None


def read_presets(
    space: ParameterSpace, theta: Tensor | np.ndarray | Sequence[Sequence[float]] | str | os.PathLike[str]
) -> Presets:
    """Read presets, and refuse what the synthesizer cannot play.

    Args:
        space: Parameters, choices and conditions of the synthesizer.
        theta: Physical values, shape (n, D), one column for each of `space.column_names`; a choice is the position of
            its option. Or a CSV file: its first line names the columns, in any order; decimal points; options by name.
            A column `fold` says train, validation or test. Or a Parquet file with such columns, which needs the extra
            `pnp-metric[parquet]`.

    Returns:
        The presets, scaled.

    Raises:
        ValueError: If a column is missing, unknown or misspelt, or a value is empty, no number, outside its range, not
            whole where it must be, or no option; the message names row and column.
        FileNotFoundError: If there is no such file.
        ImportError: If a Parquet file is given, and pyarrow is not installed.

    Examples:
        >>> space = ParameterSpace([Parameter("cutoff", 100, 400, "log", "Hz")])
        >>> read_presets(space, [[100.0], [200.0]]).u
        tensor([[-1.],
                [ 0.]], dtype=torch.float64)
    """
    if isinstance(theta, (str, os.PathLike)):
        return _from_file(space, Path(theta))
    values = torch.as_tensor(theta).detach().to("cpu", torch.float64)
    columns = len(space.columns)
    if values.ndim != 2 or values.shape[1] != columns or not len(values):
        raise ValueError(
            f"theta must have shape (size, {columns}) with at least one row, one column for each of "
            f"{', '.join(space.column_names)}; got {tuple(values.shape)}"
        )
    for row, numbers in enumerate(values.tolist()):
        for parameter, number in zip(space.columns, numbers, strict=True):
            _checked(parameter, number, f"theta, row {row}, column {parameter.name!r}")
    return Presets(_scaled(space, values))


def _from_file(space: ParameterSpace, path: Path) -> Presets:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of presets at {path}")
    header, lines = _parquet(path) if _is_parquet(path) else _csv(path)
    _check_columns(space, header, path)
    values, folds = list[list[float]](), list[int]()
    for row, (place, cells) in enumerate(lines):
        where = f"{path}, row {row}{place}"
        if len(cells) != len(header):
            cause = (
                "a decimal comma where a decimal point must be" if len(cells) > len(header) else "a lost cell"
            )
            raise ValueError(
                f"{where} has {len(cells)} cells and the first line names {len(header)} columns; likely {cause}"
            )
        named = dict(zip(header, cells, strict=True))
        columns = ((column, f"{where}, column {column.name!r}") for column in space.columns)
        values.append([_number(column, named[column.name], place) for column, place in columns])
        if _has_folds(space, header):
            folds.append(_fold(named[_FOLD], f"{where}, column {_FOLD!r}"))
    if not values:
        raise ValueError(f"{path} has no presets: it names its columns and has no row")
    theta = torch.tensor(values, dtype=torch.float64)
    return Presets(_scaled(space, theta), np.array(folds, np.int8) if folds else None)


def _csv(path: Path) -> tuple[list[str], Iterator[_Line]]:
    """Return the names of the columns of a CSV file, and its lines."""
    try:
        # With the mark that spreadsheets put at the beginning.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no text in UTF-8 ({error}); expected a CSV file, or a Parquet file"
        ) from error
    reader = csv.reader(text.splitlines())
    return [name.strip() for name in next(reader, [])], _lines(reader)


def _lines(reader: Iterator[list[str]]) -> Iterator[_Line]:
    """Cells of each line that is not blank, with its number."""
    for line, cells in enumerate(reader, start=2):
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            yield f" (line {line})", stripped


def _is_parquet(path: Path) -> bool:
    """Tell if a file is a Parquet file, by its name or its first bytes."""
    with path.open("rb") as file:
        return path.suffix.lower() in (".parquet", ".pq") or file.read(4) == b"PAR1"


def _parquet(path: Path) -> tuple[list[str], Iterator[_Line]]:
    """Return the names of the columns of a Parquet file, and its rows as text."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError as error:
        raise ImportError(
            f"reading the Parquet file {path} needs pyarrow; install it with `pip install pnp-metric[parquet]`, or "
            "write the presets as CSV"
        ) from error
    try:
        table = read_table(path)
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path} is no Parquet file, or it is damaged: {error}") from error
    header = [str(name) for name in table.column_names]
    columns = [column.to_pylist() for column in table.columns]
    return header, (("", [_text(cell) for cell in cells]) for cells in zip(*columns, strict=True))


def _text(cell: object) -> str:
    """Return a cell as a CSV file would hold it; a float keeps all its digits."""
    return "" if cell is None else cell.strip() if isinstance(cell, str) else str(cell)


def _has_folds(space: ParameterSpace, header: Sequence[str]) -> bool:
    """Tell if a column holds folds, not a parameter of that name."""
    return _FOLD in header and _FOLD not in space.column_names


def _check_columns(space: ParameterSpace, header: Sequence[str], path: Path) -> None:
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            raise ValueError(f"{path} separates its cells by {name}; expected commas, and decimal points")
    expected = space.column_names
    known = (*expected, _FOLD)
    for name in header:
        if name not in known:
            raise ValueError(
                f"{path} has a column {name!r}, which is none of {', '.join(known)}{did_you_mean(name, known)}"
            )
        if header.count(name) > 1:
            raise ValueError(f"{path} has the column {name!r} more than once")
    missing = [name for name in expected if name not in header]
    if missing:
        raise ValueError(
            f"{path} lacks the column {missing[0]!r}; its first line must name {', '.join(expected)}, got "
            f"{', '.join(header) or 'nothing'}"
        )


def _number(parameter: Parameter, cell: str, where: str) -> float:
    """Physical value of a cell."""
    if not cell:
        raise ValueError(f"{where}: the cell is empty")
    if parameter.choices and cell in parameter.choices:
        # An option may be called "1".
        return float(parameter.choices.index(cell))
    if parameter.choices:
        raise ValueError(
            f"{where}: {cell!r} is no option; expected one of {', '.join(parameter.choices)}"
            f"{did_you_mean(cell, parameter.choices)}"
        )
    try:
        number = float(cell)
    except ValueError:
        decimal = "; write a decimal point" if "," in cell else ""
        raise ValueError(f"{where}: {cell!r} is no number{decimal}") from None
    return _checked(parameter, number, where)


def _checked(parameter: Parameter, number: float, where: str) -> float:
    """Refuse a value outside its range, or one that is not whole where it must be."""
    unit = f" {parameter.unit}" if parameter.unit else ""
    slack = _SLACK * max(abs(parameter.low), abs(parameter.high))
    if not math.isfinite(number):
        raise ValueError(f"{where}: the value must be finite, got {number:g}")
    if not parameter.low - slack <= number <= parameter.high + slack:
        if parameter.choices:
            options = ", ".join(f"{place} {name}" for place, name in enumerate(parameter.choices))
            raise ValueError(f"{where}: {number:g} is the position of no option; expected one of {options}")
        raise ValueError(
            f"{where}: {number:g}{unit} is outside [{parameter.low:g}, {parameter.high:g}]{unit}"
        )
    if parameter.is_whole and not number.is_integer():
        raise ValueError(f"{where}: the value must be a whole number, got {number:g}{unit}")
    return number


def _fold(cell: str, where: str) -> int:
    if cell in FOLDS:
        return FOLDS.index(cell)
    raise ValueError(
        f"{where}: {cell!r} is no fold; expected one of {', '.join(FOLDS)}{did_you_mean(cell, FOLDS)}"
    )


def _scaled(space: ParameterSpace, theta: Tensor) -> Tensor:
    # At the ends of a range, rounding may lead out of the cube.
    return space.to_unit(theta).clamp(-1.0, 1.0).contiguous()
