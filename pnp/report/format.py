"""Numbers, units, steps and labels in words, the same on a terminal and on a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pnp.report.records import AxisStep, ParameterRow


def number(value: float | None, digits: int = 3, fixed: bool = False) -> str:
    """Return a number with some significant digits.

    Args:
        value: Any number; None where it is not known.
        digits: Significant digits.
        fixed: Keep zeros at the end, as columns of numbers do.

    Returns:
        Text; a dash for an unknown number, a lemniscate for an infinite one.

    Examples:
        >>> number(0.98), number(12345.6), number(3.2e-7), number(float("inf")), number(None)
        ('0.98', '12,300', '3.2e-7', '∞', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0:
        return "0"
    if 1e-3 <= abs(rounded) < 1e6:
        text = f"{rounded:,.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"
        return text if fixed or "." not in text else text.rstrip("0").rstrip(".")
    mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
    mantissa = mantissa if fixed or "." not in mantissa else mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def column(value: float | None) -> str:
    """Return a number for a column: three significant digits, zeros kept."""
    return number(value, fixed=True)


def physical(value: float, unit: str) -> str:
    """Return a physical value with its unit, to four significant digits."""
    return f"{number(value, 4)} {unit}".rstrip()


def range_of(row: ParameterRow) -> str:
    """Return the range of a parameter.

    Examples:
        >>> range_of(ParameterRow("f_c", 512.0, 1024.0, "log", "Hz"))
        '512 to 1,024 Hz, log'
    """
    scale = "" if row.scale == "linear" else f", {row.scale}"
    return f"{number(row.low, 4)} to {physical(row.high, row.unit)}{scale}"


def step_of(step: AxisStep, unit: str) -> str:
    """Return a step along a parameter: a ratio on a log scale, else a difference.

    Examples:
        >>> step_of(AxisStep(0.1, ratio=1.035), "Hz"), step_of(AxisStep(math.inf, difference=math.inf), "s")
        ('3.50 %', 'inaudible')
    """
    if not math.isfinite(step.scaled):
        return "inaudible"
    if step.ratio is not None:
        return f"{column(100 * (step.ratio - 1))} %" if step.ratio < 10 else f"× {column(step.ratio)}"
    return f"{column(step.difference)} {unit}".rstrip()


def share_of_range(step: AxisStep) -> str:
    """Return a step as a share of the parameter's range, whose length in the cube is 2.

    Examples:
        >>> share_of_range(AxisStep(0.05, difference=1.0)), share_of_range(AxisStep(3.0, difference=60.0))
        ('2.50 %', '> 100 %')
    """
    if math.isfinite(step.scaled) and step.scaled > 2:
        return "> 100 %"
    return "–" if math.isinf(step.scaled) else f"{column(50 * step.scaled)} %"


def scaled(step: float) -> str:
    """Return the length of a step in the cube."""
    return "inaudible" if math.isinf(step) else column(step)


def label(described: Mapping[str, Any] | None) -> str:
    """Return the name of a synthesizer or feature map, with what tells it from others of its kind."""
    if not described:
        return "unknown"
    options = dict(described.get("config") or {})
    name = options.get("name") or str(described.get("class", "unknown")).rpartition(".")[2]
    if "n_samples" in described and "sample_rate" in described:
        seconds = described["n_samples"] / described["sample_rate"]
        return f"{name}, {seconds:.3g} s at {described['sample_rate']:g} Hz"
    inner = options.get("representation")
    if isinstance(inner, dict):
        shown = {key: value for key, value in inner.items() if key in ("J", "Q", "J_fr", "Q_fr", "T", "F")}
        name += " of scattering " + ", ".join(f"{key}={value}" for key, value in shown.items())
    return str(name)


def listed(words: Sequence[str], most: int | None = None) -> str:
    """Return words in a row, and how many more there are.

    Examples:
        >>> listed(["a", "b", "c", "d"], most=2)
        'a, b and 2 more'
    """
    if most is None or len(words) <= most:
        return ", ".join(words)
    return f"{', '.join(words[:most])} and {len(words) - most} more"
