"""Speed and error of `precision="fast"` beside the exact transform."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, stack

from pnp.bench.configurations import Configuration
from pnp.bench.results import ErrorSpread, PrecisionTable, Spread, Variant
from pnp.bench.timing import relative_error, timed
from pnp.features import Features
from pnp.features.scattering import TimeFrequencyScattering

_VARIANTS: dict[str, dict[str, Any]] = {
    "fast": {"precision": "fast"},
    "half rate alone": {"precision": "fast", "padding": "power of two"},
    "short padding alone": {"padding": "short"},
}

# Of the compression of `standard_features`: the metric of a loss is that of compressed coefficients.
_SCALE = 1e4


def measure_precision(configuration: Configuration, rounds: int, sounds: int = 8) -> PrecisionTable:
    """Time exact and fast transforms in turn, and compare their coefficients and metrics.

    Args:
        configuration: Transform and synthesizer. Where it pads by reflection, zeros take their place.
        rounds: Times that each is run in turn.
        sounds: Number of sounds that errors are measured on.

    Returns:
        For each variant the ratios of times, and the errors of coefficients and of the metric in Frobenius norm.
    """
    x, dx = (signal.float() for signal in configuration.sounds(sounds, seed=1))
    exact = configuration.zero_padded()
    S, M = _values_and_metrics(exact, x, dx)
    variants: dict[str, Variant] = {}
    for name, changes in _VARIANTS.items():
        other = configuration.zero_padded(**changes)
        other_S, other_M = _values_and_metrics(other, x, dx)
        errors_S = [relative_error(a, b) for a, b in zip(other_S, S, strict=True)]
        errors_M = [relative_error(a, b) for a, b in zip(other_M, M, strict=True)]
        ratios: dict[str, list[float]] = {"forward": [], "S and J": []}
        for _ in range(rounds):
            pairs = {
                "forward": [partial(jtfs, x[:1]) for jtfs in (exact, other)],
                "S and J": [partial(jtfs.value_and_tangents, x[:1], dx[:1]) for jtfs in (exact, other)],
            }
            for kind, (slow, quick) in pairs.items():
                ratios[kind].append(timed(slow)[0] / timed(quick)[0])
        variants[name] = Variant(
            ratio={kind: Spread.of(values) for kind, values in ratios.items()},
            S=ErrorSpread.of(errors_S),
            M=ErrorSpread.of(errors_M),
        )
    return PrecisionTable(scale=_SCALE, sounds=sounds, variants=variants)


def _values_and_metrics(jtfs: TimeFrequencyScattering, x: Tensor, dx: Tensor) -> tuple[Tensor, Tensor]:
    features = Features(jtfs, scale=_SCALE)
    parts = [features.value_and_tangents(x[i : i + 1], dx[i : i + 1]) for i in range(len(x))]
    values = [S[0].flatten() for S, _ in parts]
    tangents = [J[0].flatten(1).double() for _, J in parts]
    return stack(values), stack([J @ J.mT for J in tangents])
