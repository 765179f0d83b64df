"""Feature maps: what is compared when two sounds are compared."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pnp._arguments import finite_number
from pnp._naming import class_name
from pnp._torch.modes import full_precision
from pnp._torch.pushforward import derivative_along, pushforward

__all__ = ["Features"]

_COMPRESSIONS = ("log1p", "none")


class Features(nn.Module):
    r"""Compression on top of a representation, flattened to one axis of features.

    With "log1p", :math:`\Phi(x) = \mathrm{sign}(S) \log(1 + c |S|)` for coefficients S and scale c: linear for
    coefficients below 1/c, logarithmic, like loudness, above. The sign matters for order 0 alone, the average of the
    waveform itself; all others are not negative.

    Args:
        representation: From sounds (..., N) to coefficients (..., *shape); `TimeFrequencyScattering`, or any module.
        compression: "log1p" or "none".
        scale: The factor c, in inverse units of the coefficients.

    Raises:
        TypeError: If `representation` is not a module.
        ValueError: If `compression` is unknown or `scale` not positive.

    Source:
        Andén and Mallat, "Deep scattering spectrum", IEEE TSP 2014, section IV, for the logarithm; Han, Lostanlen and
        Lagrange, "Perceptual-neural-physical sound matching", ICASSP 2023, for log(1 + S / ε) with ε = 1e-3.

    Examples:
        >>> features = Features(nn.Identity(), scale=1.0)
        >>> features(torch.tensor([[0.0, 1.0, -1.0]]))
        tensor([[ 0.0000,  0.6931, -0.6931]])
    """

    # Its representation is asked whether it takes turns with other threads.
    forward_mode = False

    def __init__(self, representation: nn.Module, compression: str = "log1p", scale: float = 1e3) -> None:
        super().__init__()
        if not isinstance(representation, nn.Module):
            raise TypeError(f"representation must be a torch.nn.Module, got {type(representation).__name__}")
        if compression not in _COMPRESSIONS:
            raise ValueError(f"compression must be one of {', '.join(_COMPRESSIONS)}, got {compression!r}")
        self.representation = representation
        self.compression = compression
        self.scale = finite_number("scale", scale, above=0)

    def config(self) -> dict[str, Any]:
        """Settings, as JSON can hold them; those of the representation under "representation".

        A representation without a `config` of its own is described by its class.
        """
        config = getattr(self.representation, "config", None)
        kind = type(self.representation)
        described = config() if callable(config) else class_name(kind)
        return {"representation": described, "compression": self.compression, "scale": self.scale}

    def extra_repr(self) -> str:
        """Compression, for `print(features)`."""
        return f"compression={self.compression!r}, scale={self.scale:g}"

    def forward(self, x: Shaped[Tensor, "*batch N"]) -> Float[Tensor, "*batch C"]:
        """Features of sounds.

        Args:
            x: Sounds, shape (..., N).

        Returns:
            Features, shape (..., C).
        """
        with full_precision(x):
            S = self.representation(x)
            return self._compress(S.flatten(x.ndim - 1) if S.ndim >= x.ndim else S.unsqueeze(-1))

    def value_and_tangents(
        self, x: Shaped[Tensor, "B N"], dx: Shaped[Tensor, "B P N"]
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B P C"]]:
        """Features and their directional derivatives.

        Uses `value_and_tangents` of the representation where it has one, otherwise forward-mode differentiation.

        Args:
            x: Sounds, shape (B, N).
            dx: Tangents of the sounds, shape (B, P, N).

        Returns:
            Features, shape (B, C), and their tangents, shape (B, P, C).
        """
        if not hasattr(self.representation, "value_and_tangents"):
            return pushforward(self, x, dx)
        with full_precision(x):
            S, dS = derivative_along(self.representation, x, dx)
        S, dS = S.flatten(1), dS.flatten(2)
        if self.compression == "log1p":
            dS = dS * (self.scale / (1.0 + self.scale * S.abs())).unsqueeze(1)
        return self._compress(S), dS

    def _compress(self, S: Tensor) -> Tensor:
        if self.compression == "none":
            return S
        # Not torch.sign, which is 0 at 0: the derivative there is c, not 0.
        sign = torch.where(S < 0, -1.0, 1.0).to(S.dtype)
        return sign * torch.log1p(self.scale * sign * S)
