"""Stiff string by the functional transformation method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import finite_number, whole_number
from pnp.parameters import Parameter, ParameterSpace
from pnp.synths.modal import (
    ModalSynthesizer,
    decay_and_frequency,
    fade_below_nyquist,
    shape_at,
    struck_parameters,
)

__all__ = ["String"]


class String(ModalSynthesizer):
    r"""Struck string with stiffness and two kinds of damping.

    The displacement u of a string fixed at both ends follows

    $$\ddot u - c^2 u'' + S^4 u'''' + d_1 \dot u + d_3 \dot u'' = f .$$

    In the perceptual parameters of the second source, mode m has

    $$\sigma_m = \frac{1 + p (m^2 - 1)}{\tau}, \qquad \omega_m^2 = \omega^2 m^2 \big(1 + D^2 (m^2 - 1)\big)
    + \frac{(1 - p)^2 (m^2 - 1)}{\tau^2} :$$

    the fundamental rings at ω and falls by e in τ, and the partials are harmonic in the limit of small D and
    long τ. An impulse at `position` heard at a fixed point weighs each mode by its shape at both and by
    ω/ω_m.

    Args:
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N, from the stroke on.
        order: Number of modes.
        heard_at: Point of the pick-up, as a fraction of the length.
        normalization: "none", "peak" or "energy".
        ranges: From parameter name to (low, high), in place of omega 2π·(40-1000) rad/s, tau 0.07-0.8 s,
            p 1e-5-0.2, D 1e-5-0.3, position 0.05-0.5.

    Raises:
        ValueError: If an option is out of its range.

    Source:
        Trautmann, Rabenstein, "Digital Sound Synthesis by Physical Modeling Using the Functional
        Transformation Method", Springer 2003. Parameters: Han, Lostanlen, "wav2shape: Hearing the Shape of a
        Drum Machine", Forum Acusticum 2020, in one dimension.

    Examples:
        >>> synth = String(n_samples=4096)
        >>> synth(synth.space.from_unit(torch.zeros(2, 5))).shape
        torch.Size([2, 4096])
    """

    name = "string"

    def __init__(
        self,
        sample_rate: float = 22050.0,
        n_samples: int = 2**16,
        order: int = 50,
        heard_at: float = 0.1,
        normalization: str = "peak",
        ranges: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        space = ParameterSpace([*struck_parameters(), Parameter("position", 0.05, 0.5, "linear")])
        super().__init__(
            space, sample_rate=sample_rate, n_samples=n_samples, normalization=normalization, ranges=ranges
        )
        self.order = whole_number("order", order, least=1)
        self.heard_at = finite_number("heard_at", heard_at, above=0, below=1)

    def partials(
        self, theta: Float[Tensor, "*batch P"]
    ) -> tuple[Float[Tensor, "*batch M"], Float[Tensor, "*batch M"], Float[Tensor, "*batch M"]]:
        """Amplitudes, decay rates in 1/s and angular frequencies in rad/s of the string's modes.

        Args:
            theta: omega in rad/s, tau in s, p, D and position, shape (..., 5), float64.

        Returns:
            Three tensors of shape (..., M), float64.
        """
        fundamental, tau, p, dispersion, position = theta.unsqueeze(-2).unbind(-1)
        m = torch.arange(1, self.order + 1, dtype=theta.dtype, device=theta.device)
        decay, omega = decay_and_frequency(fundamental, tau, p, dispersion, m.square())
        shape = torch.sin(math.pi * position * m) * shape_at(self.heard_at, m)
        return shape * fundamental / omega * fade_below_nyquist(omega, self.sample_rate), decay, omega
