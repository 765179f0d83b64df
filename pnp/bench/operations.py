"""Number of operations of a scattering transform, counted from its plan."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch

from pnp.features.scattering.frequential import FrequentialTables
from pnp.features.scattering.plan import ScatteringPlan


@dataclass
class Operations:
    """Operations of one kind or another.

    Attributes:
        gemm: Floating-point operations in matrix products.
        fft: Those in Fourier transforms: 5 n log2 n for complex, half as many for real ones of length n.
        pointwise: Elements that pass through a pointwise operation.
    """

    gemm: float = 0.0
    fft: float = 0.0
    pointwise: float = 0.0

    def seconds(self, ceilings: Operations) -> float:
        """Time that they take at the given rates per second, one after the other."""
        return self.gemm / ceilings.gemm + self.fft / ceilings.fft + self.pointwise / ceilings.pointwise

    def to_dict(self) -> dict[str, float]:
        """As JSON can hold it."""
        return asdict(self)


def count(plan: ScatteringPlan, n_tangents: int = 0) -> Operations:
    """Operations for the coefficients of one sound, and for their derivatives in some directions.

    Every signal, the sound or a tangent, passes through the same filters. Rows of filters that carry nothing in
    float32 do not count.

    Args:
        plan: The plan of the transform.
        n_tangents: Number of directions P.

    Returns:
        Operations of all signals together.
    """
    total = Operations(fft=_fft(plan.n_padded) / 2)
    for group in plan.first_order:
        n1, n = group.psi.shape
        total.fft += n1 * 1.5 * _fft(n)  # back to time, and forth to the spectrum of the modulus
        total.pointwise += 2 * n1 * n  # filter, modulus
    for path in plan.second_order:
        n = len(path.psi)
        rows = FrequentialTables.from_plan(
            path.filters, (0, 1, -1), torch.float32, torch.device("cpu")
        ).n_moduli
        size, taps = path.time_average.weights.shape
        total.fft += path.n1_max * _fft(n)
        total.gemm += 4.0 * rows * path.n1_max * n  # a real matrix times real and imaginary parts
        total.gemm += 2.0 * rows * n * taps if size < n else 0.0
        total.pointwise += 2 * path.n1_max * n + rows * n  # filter, planes, moduli
    signals = 1 + n_tangents
    return Operations(total.gemm * signals, total.fft * signals, total.pointwise * signals)


def _fft(n: int) -> float:
    return 5.0 * n * math.log2(n)
