"""Rectangular membrane by the functional transformation method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import finite_numbers, whole_number
from pnp.parameters import Parameter, ParameterSpace
from pnp.synths.modal import (
    ModalSynthesizer,
    decay_and_frequency,
    fade_below_nyquist,
    shape_at,
    struck_parameters,
)

__all__ = ["Drum"]


class Drum(ModalSynthesizer):
    r"""Struck rectangular membrane with stiffness and two kinds of damping.

    The displacement u of a membrane of sides ℓ and αℓ, fixed at its edges, follows

    $$\ddot u - c^2 \nabla^2 u + S^4 \nabla^4 u + d_1 \dot u + d_3 \nabla^2 \dot u = f .$$

    Mode (k, l) sees the Laplacian through its ratio r to the fundamental alone. With β = α + 1/α,

    $$r = \frac{\alpha^2 k^2 + l^2}{\alpha^2 + 1}, \qquad \sigma_{kl} = \frac{1 + p\beta (r - 1)}{\tau},
    \qquad \omega_{kl}^2 = \omega^2 r \big(1 + D^2\beta^2 (r - 1)\big)
    + \frac{(1 - p\beta)^2 (r - 1)}{\tau^2},$$

    which is the membrane's equation in the perceptual parameters of the second source: the fundamental
    rings at ω and falls by e in τ, D spreads the partials and p damps the high ones more. An impulse at one
    point heard at another weighs each mode by its shape at both and by ω/ω_kl.

    The published lower end of α, 1e-5, is left out. The tension c² is a positive multiple of
    ω² (1/β - D²β) + (1/β - p²β)/τ², and the uniform damping d₁ of 1 - pβ: beyond Dβ = 1 the membrane may be
    under pressure, beyond pβ = 1 it feeds itself energy. With D up to 0.3 and p up to 0.2 every point of the
    box is a membrane if β ≤ 10/3, that is α ≥ 1/3.

    Two ways to lose a degree of freedom are properties of the drum, not of the arithmetic. A square membrane
    struck and heard on its diagonal does not change to first order in α, because α and 1/α are the same drum
    turned by 90°. And with `modes="diagonal"`, the sum over k = l with which the method was first published,
    r = k² does not depend on α: only the products pβ and Dβ are heard, and one direction of the five is
    silent everywhere.

    Args:
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N, from the stroke on.
        modes: "grid" for all modes (k, l) up to `order`, "diagonal" for those with k = l.
        order: Largest mode number along each side.
        struck_at: Point of the impulse, as fractions of the two sides.
        heard_at: Point of the pick-up, as fractions of the two sides.
        normalization: "none", "peak" or "energy".
        ranges: From parameter name to (low, high), in place of omega 2π·(40-1000) rad/s, tau 0.07-0.8 s,
            p 1e-5-0.2, D 1e-5-0.3, alpha 1/3-1.

    Raises:
        ValueError: If an option is out of its range.

    Source:
        Trautmann, Rabenstein, "Digital Sound Synthesis by Physical Modeling Using the Functional
        Transformation Method", Springer 2003. Parameters: Han, Lostanlen, "wav2shape: Hearing the Shape of a
        Drum Machine", Forum Acusticum 2020; ranges: Han, Lostanlen, Lagrange, "Perceptual-Neural-Physical
        Sound Matching", ICASSP 2023.

    Examples:
        >>> synth = Drum()
        >>> synth(synth.space.from_unit(torch.zeros(2, 5))).shape
        torch.Size([2, 65536])
    """

    name = "drum"

    def __init__(
        self,
        sample_rate: float = 22050.0,
        n_samples: int = 2**16,
        modes: str = "grid",
        order: int = 10,
        struck_at: Sequence[float] = (0.4, 0.4),
        heard_at: Sequence[float] = (0.4, 0.4),
        normalization: str = "peak",
        ranges: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        space = ParameterSpace([*struck_parameters(), Parameter("alpha", 1.0 / 3.0, 1.0, "linear")])
        super().__init__(
            space, sample_rate=sample_rate, n_samples=n_samples, normalization=normalization, ranges=ranges
        )
        if modes not in ("grid", "diagonal"):
            raise ValueError(f"unknown modes {modes!r}, expected 'grid' or 'diagonal'")
        self.modes = modes
        self.order = whole_number("order", order, least=1)
        self.struck_at = _inner_point("struck_at", struck_at)
        self.heard_at = _inner_point("heard_at", heard_at)

    def partials(
        self, theta: Float[Tensor, "*batch P"]
    ) -> tuple[Float[Tensor, "*batch M"], Float[Tensor, "*batch M"], Float[Tensor, "*batch M"]]:
        """Amplitudes, decay rates in 1/s and angular frequencies in rad/s of the membrane's modes.

        Args:
            theta: omega in rad/s, tau in s, p, D and alpha, shape (..., 5), float64.

        Returns:
            Three tensors of shape (..., M), float64: M = order² modes, or `order` of them on the diagonal.
        """
        fundamental, tau, p, dispersion, alpha = theta.unsqueeze(-2).unbind(-1)
        rows, columns = self._mode_numbers(theta)
        beta = alpha + 1.0 / alpha
        ratio = (alpha.square() * rows.square() + columns.square()) / (alpha.square() + 1.0)
        decay, omega = decay_and_frequency(fundamental, tau, p * beta, dispersion * beta, ratio)
        shape = torch.ones_like(rows)
        for x1, x2 in (self.struck_at, self.heard_at):
            shape = shape * shape_at(x1, rows) * shape_at(x2, columns)
        return shape * fundamental / omega * fade_below_nyquist(omega, self.sample_rate), decay, omega

    def _mode_numbers(self, like: Tensor) -> tuple[Tensor, Tensor]:
        numbers = torch.arange(1, self.order + 1, dtype=like.dtype, device=like.device)
        if self.modes == "diagonal":
            return numbers, numbers
        return numbers.repeat_interleave(self.order), numbers.repeat(self.order)


def _inner_point(name: str, point: Sequence[float]) -> list[float]:
    """Refuse a point on the edge, where the membrane is at rest."""
    return finite_numbers(name, point, count=2, above=0, below=1)
