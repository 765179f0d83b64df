"""Base of the panel's own voices: half a second at 8192 Hz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pnp

__all__ = ["Voice"]


class Voice(pnp.synths.Synthesizer):
    """Synthesizer of the panel, with its parameters as a class attribute.

    Args:
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N.
        normalization: "none", "peak" or "energy".
        ranges: From parameter name to (low, high), in place of the defaults.

    Attributes:
        parameters: Parameters and their ranges.
    """

    parameters: Sequence[pnp.Parameter]

    def __init__(
        self,
        sample_rate: float = 8192.0,
        n_samples: int = 4096,
        normalization: str = "none",
        ranges: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__(
            pnp.ParameterSpace(self.parameters),
            sample_rate=sample_rate,
            n_samples=n_samples,
            normalization=normalization,
            ranges=ranges,
        )
