"""Perceptual metrics on synthesizer parameters.

`pnp` linearizes the chain *parameters → sound → auditory representation* once, offline, and keeps the
resulting Riemannian metric M(θ) = J(θ)ᵀ J(θ) of every training sound. A sound-matching network is then
trained with a quadratic form in place of a spectral loss.

Every public name is resolved on first use, so that importing the package, or its loss, loads neither the
scattering transform nor plotting nor storage.

Source:
    Han, Lostanlen, Lagrange: Perceptual-neural-physical sound matching. ICASSP 2023.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pnp import diagnostics, plots, synths
    from pnp.damping import LevenbergMarquardt
    from pnp.data import CacheDataset
    from pnp.errors import CacheBusy, CacheConfigMismatch, CacheCorrupt, CacheError, SynthesisError
    from pnp.evaluate import evaluate
    from pnp.features import Features
    from pnp.jacobian import value_and_jacobian
    from pnp.losses import ParameterLoss, PNPLoss, SpectralLoss, SurrogateLoss
    from pnp.match import MatchResult, match
    from pnp.metric import RiemannianMetric
    from pnp.metric_field import MetricField
    from pnp.parameters import Parameter, ParameterSpace
    from pnp.precompute import PrecomputeSummary, precompute
    from pnp.scattering import TimeFrequencyScattering
    from pnp.store import MetricCache
    from pnp.surrogate import DistanceSurrogate
    from pnp.train import train

_SUBMODULES = frozenset({"diagnostics", "plots", "synths"})
_HOME = {
    "CacheBusy": "errors",
    "CacheConfigMismatch": "errors",
    "CacheCorrupt": "errors",
    "CacheDataset": "data",
    "CacheError": "errors",
    "DistanceSurrogate": "surrogate",
    "Features": "features",
    "LevenbergMarquardt": "damping",
    "MatchResult": "match",
    "MetricCache": "store",
    "MetricField": "metric_field",
    "PNPLoss": "losses",
    "Parameter": "parameters",
    "ParameterLoss": "losses",
    "ParameterSpace": "parameters",
    "PrecomputeSummary": "precompute",
    "RiemannianMetric": "metric",
    "SpectralLoss": "losses",
    "SurrogateLoss": "losses",
    "SynthesisError": "errors",
    "TimeFrequencyScattering": "scattering",
    "evaluate": "evaluate",
    "match": "match",
    "precompute": "precompute",
    "train": "train",
    "value_and_jacobian": "jacobian",
}

__all__ = [
    "CacheBusy",
    "CacheConfigMismatch",
    "CacheCorrupt",
    "CacheDataset",
    "CacheError",
    "DistanceSurrogate",
    "Features",
    "LevenbergMarquardt",
    "MatchResult",
    "MetricCache",
    "MetricField",
    "PNPLoss",
    "Parameter",
    "ParameterLoss",
    "ParameterSpace",
    "PrecomputeSummary",
    "RiemannianMetric",
    "SpectralLoss",
    "SurrogateLoss",
    "SynthesisError",
    "TimeFrequencyScattering",
    "__version__",
    "diagnostics",
    "evaluate",
    "match",
    "plots",
    "precompute",
    "synths",
    "train",
    "value_and_jacobian",
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps a public name from being shadowed by the submodule of the same name.

    Importing the submodule `pnp.precompute` makes Python bind the module to the attribute `precompute` of
    the package; the public name there is the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
