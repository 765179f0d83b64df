"""Checks of parameter values: layout of the tensor, and ranges."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from torch import Tensor

from pnp.parameters.parameter import Parameter

__all__ = ["check_inside", "check_layout", "check_whole"]

# Distance from a whole number that is rounding: a seed of 65,535 that comes from the cube in single precision.
_ROUNDING = 0.01


def check_layout(values: Tensor, names: Sequence[str], widths: Collection[int]) -> None:
    """Refuse what is no floating-point tensor with one column a parameter.

    Args:
        values: Physical or scaled values, shape (..., width).
        names: Names of all columns.
        widths: Numbers of columns that are accepted.

    Raises:
        ValueError: If the trailing axis has another length.
        TypeError: If `values` is not a floating-point tensor.
    """
    if not isinstance(values, Tensor):
        raise TypeError(f"parameters must be a torch.Tensor, got {type(values).__name__}")
    if not values.is_floating_point():
        raise TypeError(f"parameters must be a floating-point tensor, got dtype {values.dtype}")
    if values.ndim == 0 or values.shape[-1] not in widths:
        expected = " or ".join(f"(..., {width})" for width in sorted(widths, reverse=True))
        raise ValueError(
            f"parameters must have shape {expected}, one column for each of {', '.join(names)}, "
            f"got shape {tuple(values.shape)}"
        )


def check_inside(
    values: Tensor, u: Tensor, slack: Tensor, columns: Sequence[Parameter], *, physical: bool
) -> None:
    """Refuse values outside their range, and NaN.

    Args:
        values: Physical or scaled values, shape (..., D), for the message.
        u: The same in the unit cube.
        slack: Distance beyond the cube's faces that rounding can cause, shape (D,).
        columns: Parameters, one a column.
        physical: True where `values` are in physical units.

    Raises:
        ValueError: At the first value outside, with its name, range and row.
    """
    outside = ~(u.detach().abs().double() <= 1.0 + slack.to(u.device))
    if not bool(outside.any()):
        return
    *row, column = (int(i) for i in outside.nonzero()[0])
    parameter, value = columns[column], float(values.detach()[(*row, column)])
    low, high, unit = (parameter.low, parameter.high, parameter.unit) if physical else (-1.0, 1.0, "")
    unit = f" {unit}" if unit else ""
    where = _in_row(row)
    symbol, expected = ("theta", "physical units") if physical else ("u", "unit coordinates")
    cause = f"{symbol} must be in {expected}" if math.isfinite(value) else f"{symbol} must be finite"
    raise ValueError(
        f"parameter {parameter.name!r} must lie in [{low:g}, {high:g}]{unit}, got {value:g}{unit}{where}; {cause}"
    )


def check_whole(values: Tensor, columns: Sequence[Parameter]) -> None:
    """Refuse values of integers, choices and seeds that are not whole.

    Args:
        values: Physical values, shape (..., D), or fewer columns.
        columns: Parameters, one a column.

    Raises:
        ValueError: At the first such value, with its name and row.
    """
    whole = [column for column, parameter in enumerate(columns[: values.shape[-1]]) if parameter.is_whole]
    some = values.detach()[..., whole]
    off = (some - some.round()).abs() > _ROUNDING
    if not bool(off.any()):
        return
    *row, place = (int(i) for i in off.nonzero()[0])
    parameter, value = columns[whole[place]], float(some[(*row, place)])
    expected = "the position of an option" if parameter.choices else "a whole number"
    raise ValueError(f"parameter {parameter.name!r} must be {expected}, got {value:g}{_in_row(row)}")


def _in_row(row: Sequence[int]) -> str:
    return f" in row {row[0] if len(row) == 1 else tuple(row)}" if row else ""
