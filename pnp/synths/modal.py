"""Sums of decaying sinusoids, and their tangents, as matrix products."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._torch.pushforward import pushforward
from pnp.parameters import Parameter
from pnp.synths.base import Synthesizer

__all__ = [
    "ModalSynthesizer",
    "decay_and_frequency",
    "fade_below_nyquist",
    "modal_sum",
    "shape_at",
    "struck_parameters",
]

# Part of the band below the Nyquist frequency over which a mode fades out.
_FADE = 0.2

# A mode displaced less than this at a point has a node there.
_NODE = 1e-12


class ModalSynthesizer(Synthesizer):
    r"""Synthesizer whose sound is a sum of M modes, each at rest at t = 0.

    $$x(t) = \sum_m a_m e^{-\sigma_m t} \sin \omega_m t$$

    Its tangents have the same form, with one more factor of t,

    $$\partial_p x(t) = \sum_m e^{-\sigma_m t} \big(\partial_p a_m \sin \omega_m t
    + t\, a_m (\partial_p \omega_m \cos \omega_m t - \partial_p \sigma_m \sin \omega_m t)\big)$$

    so that the sound and all its tangents are 2P + 1 sums over the same exponentials: one matrix product.
    """

    @abstractmethod
    def partials(
        self, theta: Float[Tensor, "*batch P"]
    ) -> tuple[Float[Tensor, "*batch M"], Float[Tensor, "*batch M"], Float[Tensor, "*batch M"]]:
        """Amplitudes a, decay rates σ in 1/s and angular frequencies ω in rad/s of the M modes.

        Args:
            theta: Physical parameters, shape (..., P), float64.

        Returns:
            Three tensors of shape (..., M), float64. A mode above the Nyquist frequency has amplitude 0.
        """

    def synthesize(self, theta: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch N"]:
        """Sound before normalization.

        Args:
            theta: Physical parameters, shape (..., P).

        Returns:
            Sounds, shape (..., N).
        """
        amplitude, decay, omega = self.partials(theta.double())
        sines = amplitude.unsqueeze(-2)
        rows = modal_sum(
            sines, torch.zeros_like(sines), decay, omega, self.n_samples, self.sample_rate, theta.dtype
        )
        return rows.squeeze(-2)

    def synthesize_with_tangents(
        self, theta: Float[Tensor, "B P"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B P N"]]:
        """Sound before normalization and its tangents, as sums over the same exponentials.

        Args:
            theta: Physical parameters, shape (B, P).

        Returns:
            Sounds, shape (B, N), and tangents, shape (B, P, N).
        """
        exact = theta.double()
        basis = torch.eye(theta.shape[-1], dtype=exact.dtype, device=theta.device).expand(len(theta), -1, -1)
        stacked, tangents = pushforward(lambda point: torch.cat(self.partials(point), dim=-1), exact, basis)
        amplitude, decay, omega = stacked.chunk(3, dim=-1)
        d_amplitude, d_decay, d_omega = tangents.chunk(3, dim=-1)
        a = amplitude.unsqueeze(-2)
        sines = torch.cat([a, d_amplitude, -a * d_decay], dim=-2)
        cosines = torch.cat([torch.zeros_like(a), torch.zeros_like(d_amplitude), a * d_omega], dim=-2)
        rows = modal_sum(sines, cosines, decay, omega, self.n_samples, self.sample_rate, theta.dtype)
        x, (constant, linear) = rows[:, 0], rows[:, 1:].chunk(2, dim=-2)
        t = torch.arange(self.n_samples, dtype=theta.dtype, device=theta.device) / self.sample_rate
        return x, constant + t * linear


def modal_sum(
    sines: Float[Tensor, "*batch R M"],
    cosines: Float[Tensor, "*batch R M"],
    decay: Float[Tensor, "*batch M"],
    omega: Float[Tensor, "*batch M"],
    n_samples: int,
    sample_rate: float,
    dtype: torch.dtype,
) -> Float[Tensor, "*batch R N"]:
    r"""R weighted sums over the same M decaying sinusoids.

    $$y_r(t) = \sum_m e^{-\sigma_m t} (s_{rm} \sin \omega_m t + c_{rm} \cos \omega_m t), \qquad t = n / f_s$$

    With n = aK + b each exponential is the product of one over a and one over b. So M (N/K + K) exponentials
    instead of M N are evaluated, in float64 because their phases are large, and a matrix product over the
    modes, in `dtype`, does the rest.

    Args:
        sines: Weights s of the sines, shape (..., R, M), float64.
        cosines: Weights c of the cosines, shape (..., R, M), float64.
        decay: Decay rates σ in 1/s, shape (..., M), float64.
        omega: Angular frequencies ω in rad/s, shape (..., M), float64.
        n_samples: Number of samples N.
        sample_rate: Sampling rate f_s in Hz.
        dtype: Dtype of the result.

    Returns:
        Sums, shape (..., R, N).
    """
    block = 2 ** round(math.log2(n_samples) / 2)
    starts = torch.arange(0, n_samples, block, dtype=omega.dtype, device=omega.device) / sample_rate
    offsets = torch.arange(block, dtype=omega.dtype, device=omega.device) / sample_rate
    coarse_cos, coarse_sin = _exponential(decay, omega, starts[:, None], dim=-2, dtype=dtype)
    fine_cos, fine_sin = _exponential(decay, omega, offsets, dim=-1, dtype=dtype)
    s, c = sines.to(dtype).unsqueeze(-2), cosines.to(dtype).unsqueeze(-2)
    coarse_cos, coarse_sin = coarse_cos.unsqueeze(-3), coarse_sin.unsqueeze(-3)
    # Imaginary part of (s + ic) e^{λ t_a} e^{λ t_b}, summed over modes.
    left = torch.cat([s * coarse_sin + c * coarse_cos, s * coarse_cos - c * coarse_sin], dim=-1)
    right = torch.cat([fine_cos, fine_sin], dim=-2)
    blocks = left.flatten(-3, -2) @ right
    return blocks.reshape(*sines.shape[:-1], -1)[..., :n_samples]


def struck_parameters() -> list[Parameter]:
    """Parameters that a struck string and a struck membrane share: ω, τ, p and D, with the published ranges."""
    return [
        Parameter("omega", 2 * math.pi * 40.0, 2 * math.pi * 1000.0, "log", "rad/s"),
        Parameter("tau", 0.07, 0.8, "linear", "s"),
        Parameter("p", 1e-5, 0.2, "log"),
        Parameter("D", 1e-5, 0.3, "log"),
    ]


def decay_and_frequency(
    fundamental: Float[Tensor, "*batch one"],
    tau: Float[Tensor, "*batch one"],
    damping: Float[Tensor, "*batch one"],
    stiffness: Float[Tensor, "*batch one"],
    ratio: Float[Tensor, "*#batch M"],
) -> tuple[Float[Tensor, "*batch M"], Float[Tensor, "*batch M"]]:
    r"""Decay rates and frequencies of the modes of a stiff, damped string or membrane.

    $$\sigma = \frac{1 + p (r - 1)}{\tau}, \qquad
    \omega_r^2 = \omega^2 r \big(1 + D^2 (r - 1)\big) + \frac{(1 - p)^2 (r - 1)}{\tau^2}$$

    Args:
        fundamental: Angular frequency ω of the fundamental in rad/s.
        tau: Time τ in s in which the fundamental falls by e.
        damping: p, how much faster higher modes fall.
        stiffness: D, how far the partials are spread.
        ratio: r, eigenvalue of each mode over that of the fundamental.

    Returns:
        Decay rates in 1/s and angular frequencies in rad/s.
    """
    excess = ratio - 1.0
    decay = (1.0 + damping * excess) / tau
    omega = torch.sqrt(
        fundamental.square() * ratio * (1.0 + stiffness.square() * excess)
        + ((1.0 - damping) / tau).square() * excess
    )
    return decay, omega


def fade_below_nyquist(omega: Float[Tensor, "*batch M"], sample_rate: float) -> Float[Tensor, "*batch M"]:
    """Weight with which a mode takes part in a sampled sum: 1 in the band, 0 from the Nyquist frequency on.

    In between a raised cosine over the upper fifth of the band. A mode that is cut off the moment it passes
    the Nyquist frequency makes the sound jump with the parameters that move it; one that fades leaves a sound
    with a continuous derivative, and derivative 0 where the mode is gone.

    Args:
        omega: Angular frequencies in rad/s.
        sample_rate: Sampling rate in Hz.

    Returns:
        Weights between 0 and 1, same shape.
    """
    position = (omega / (math.pi * sample_rate) - (1.0 - _FADE)) / _FADE
    return 0.5 + 0.5 * torch.cos(math.pi * position.clamp(0.0, 1.0))


def shape_at(position: float, numbers: Float[Tensor, " M"]) -> Float[Tensor, " M"]:
    """Displacement sin(π m x) of modes m between fixed ends at a fixed point x, exactly 0 at their nodes.

    Args:
        position: Fraction x of the length.
        numbers: Mode numbers m.

    Returns:
        Displacements, shape (M,).
    """
    shape = torch.sin(math.pi * position * numbers)
    # Rounding would leave modes of amplitude 1e-16 and less, which make subnormal numbers, too.
    return shape.where(shape.abs() > _NODE, torch.zeros_like(shape))


def _exponential(
    decay: Tensor, omega: Tensor, t: Tensor, dim: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of exp((-σ + iω) t), the axis of t at `dim` beside that of the modes."""
    phase = omega.unsqueeze(dim) * t
    modulus = torch.exp(-decay.unsqueeze(dim) * t)
    # What has died away would make subnormal numbers in the matrix product, which is ten times slower then.
    modulus = modulus.where(modulus > torch.finfo(dtype).eps ** 4, torch.zeros_like(modulus))
    return (modulus * torch.cos(phase)).to(dtype), (modulus * torch.sin(phase)).to(dtype)
