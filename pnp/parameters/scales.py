"""Maps between physical values and the unit cube, column by column, for every scale at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pnp._torch.modes import ordinary
from pnp.parameters.parameter import Parameter

# Roundings that a value may collect between the unit cube and its physical unit without being out of range.
_ROUNDINGS = 16.0


class Scales:
    """Scales of several parameters, applied to the columns of a tensor.

    With t = (u + 1) / 2 from 0 to 1, a value is low + (high − low) t on a linear scale,
    (low + o) ((high + o) / (low + o))ᵗ − o on a log scale with offset o, and low + (high − low) tᵉ on a power
    scale. All maps are differentiable and work under `torch.func` transforms and `torch.compile`.

    Args:
        parameters: Parameters, one a column.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        # Kept tensors must not inherit the caller's inference mode, or no gradient could pass them later.
        with ordinary():
            self.lows = torch.tensor([p.low for p in parameters], dtype=torch.float64)
            self.highs = torch.tensor([p.high for p in parameters], dtype=torch.float64)
            self.offsets = torch.tensor([p.offset for p in parameters], dtype=torch.float64)
            self.exponents = torch.tensor([p.exponent for p in parameters], dtype=torch.float64)
            self.is_log = torch.tensor([p.scale == "log" for p in parameters])
            self.is_power = torch.tensor([p.scale == "power" for p in parameters])
        self._bends = any(p.scale == "power" for p in parameters)

    def to_unit(self, theta: Tensor) -> Tensor:
        """Map physical values to the unit cube, shape (..., D)."""
        lows, highs, offsets = self.lows.to(theta), self.highs.to(theta), self.offsets.to(theta)
        is_log = self.is_log.to(theta.device)
        base = lows + offsets
        ratio = (theta - lows) / base.where(is_log, 1.0)
        # log1p of the relative distance stays accurate close to `low` and in narrow ranges.
        height = torch.where(is_log, torch.log1p(ratio.where(is_log, 0.0)), ratio)
        span = torch.where(is_log, torch.log((highs + offsets) / base.where(is_log, highs)), highs - lows)
        fraction = height / span
        if self._bends:
            fraction = _signed_power(fraction, 1.0 / self.exponents.to(theta), self.is_power.to(theta.device))
        return 2.0 * fraction - 1.0

    def from_unit(self, u: Tensor) -> Tensor:
        """Map the unit cube to physical values, shape (..., D)."""
        lows, highs, offsets = self.lows.to(u), self.highs.to(u), self.offsets.to(u)
        is_log = self.is_log.to(u.device)
        fraction = 0.5 * (u + 1.0)
        if self._bends:
            fraction = _signed_power(fraction, self.exponents.to(u), self.is_power.to(u.device))
        base = lows + offsets
        exponent = fraction.where(is_log, 0.0) * torch.log((highs + offsets) / base.where(is_log, highs))
        return torch.where(is_log, base * torch.exp(exponent) - offsets, lows + (highs - lows) * fraction)

    def slope(self, u: Tensor) -> Tensor:
        """Return the derivative of each physical value with respect to its scaled coordinate, shape (..., D).

        A value depends on its own coordinate alone, so that these are all derivatives. A formula, for PyTorch's
        forward mode imports its compiler, which takes memory in every process.
        """
        lows, highs, offsets = self.lows.to(u), self.highs.to(u), self.offsets.to(u)
        is_log = self.is_log.to(u.device)
        fraction = 0.5 * (u + 1.0)
        slope = torch.full_like(u, 0.5)
        if self._bends:
            exponents, is_power = self.exponents.to(u), self.is_power.to(u.device)
            slope = torch.where(is_power, 0.5 * _slope_of_power(fraction, exponents), slope)
        base = lows + offsets
        nepers = torch.log((highs + offsets) / base.where(is_log, highs))
        growth = base * torch.exp(fraction.where(is_log, 0.0) * nepers) * nepers
        return slope * torch.where(is_log, growth, highs - lows)

    def slack(self, dtype: torch.dtype) -> Tensor:
        """Return the distance beyond the cube's faces that rounding to `dtype` alone can cause, shape (D,)."""
        magnitude = torch.maximum(self.lows.abs(), self.highs.abs()) / (self.highs - self.lows)
        ends = (self.highs + self.offsets) / (self.lows + self.offsets)
        nepers = torch.log(torch.where(self.is_log, ends, math.e))
        growth = torch.where(self.is_log, 1.0 / nepers, magnitude)
        linear = _ROUNDINGS * torch.finfo(dtype).eps * (1.0 + growth)
        # The slope of a power scale is infinite at one end: what rounds there moves by a root.
        return torch.where(self.is_power, linear ** (1.0 / self.exponents.clamp(min=1.0)), linear)


def snapped(u: Tensor, parameters: Sequence[Parameter], scales: Scales) -> Tensor:
    """Move scaled coordinates to the nearest point where integers and choices are whole.

    Args:
        u: Scaled coordinates, shape (..., D).
        parameters: Parameters, one a column.
        scales: Their scales.

    Returns:
        Scaled coordinates, same shape; columns of continuous parameters are unchanged.
    """
    whole = torch.tensor([parameter.is_whole for parameter in parameters], device=u.device)
    if not whole.any():
        return u
    theta = scales.from_unit(u.clamp(-1.0, 1.0))
    return torch.where(whole, scales.to_unit(theta.round()), u)


def _signed_power(fraction: Tensor, exponent: Tensor, where: Tensor) -> Tensor:
    """Raise the size of some columns to a power; the sign stays, and zero keeps finite derivatives."""
    size = fraction.abs()
    # Derivatives of the branch that is not taken must be finite as well.
    inner = torch.where(where & (size > 0), size, 1.0)
    bent = torch.where(size > 0, torch.sign(fraction) * inner**exponent, 0.0 * fraction)
    return torch.where(where, bent, fraction)


def _slope_of_power(fraction: Tensor, exponent: Tensor) -> Tensor:
    """Return the derivative of a signed power; 0 at zero, where it may be infinite."""
    size = fraction.abs()
    return torch.where(size > 0, exponent * size.where(size > 0, 1.0) ** (exponent - 1.0), 0.0)
