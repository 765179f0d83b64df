"""Number of operations of a scattering transform, counted from its plan."""

from __future__ import annotations

import math

import torch

from pnp.bench.results import Operations
from pnp.features.scattering.frequential import FrequentialTables
from pnp.features.scattering.plan import ScatteringPlan


def count(plan: ScatteringPlan, n_tangents: int = 0) -> Operations:
    """Count the operations for the coefficients of one sound, and for their derivatives in some directions.

    Every signal, the sound or a tangent, passes through the same filters. Rows of filters that carry nothing in
    float32 do not count.

    Args:
        plan: The plan of the transform.
        n_tangents: Number of directions P.

    Returns:
        Operations of all signals together.
    """
    gemm, fft, pointwise = 0.0, _fft(plan.n_padded) / 2, 0.0
    for group in plan.first_order():
        n1, n = len(group.psi), group.n_samples
        fft += n1 * 1.5 * _fft(n)  # back to time, and forth to the spectrum of the modulus
        pointwise += 2 * n1 * n  # filter, modulus
    for path in plan.second_order():
        n = path.stop - path.start
        rows = FrequentialTables.from_plan(
            path.filters, (0, 1, -1), torch.float32, torch.device("cpu")
        ).n_moduli
        size, taps = path.time_average.weights.shape
        fft += path.n1_max * _fft(len(path.psi))
        gemm += 4.0 * rows * path.n1_max * n  # a real matrix times real and imaginary parts
        gemm += 2.0 * rows * n * taps if size < n else 0.0
        pointwise += path.n1_max * (len(path.psi) + n) + rows * n  # filter, planes, moduli
    signals = 1 + n_tangents
    return Operations(gemm * signals, fft * signals, pointwise * signals)


def _fft(n: int) -> float:
    return 5.0 * n * math.log2(n)
