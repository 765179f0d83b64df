"""Documented module paths of version 0.1, which lead to where the modules are now until version 0.3.

`pnp.train`, `pnp.evaluate`, `pnp.match` and `pnp.precompute` are not among them: these are functions, and a module of
the same name would take their place.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "pnp.checkpoint": "pnp.training.checkpoint",
    "pnp.damping": "pnp.training.damping",
    "pnp.data": "pnp.training.dataset",
    "pnp.encoder": "pnp.training.encoder",
    "pnp.lightning": "pnp.training.lightning",
    "pnp.metric_field": "pnp.metric.field",
    "pnp.multiscale": "pnp.features.multiscale",
    "pnp.provenance": "pnp.store.provenance",
    "pnp.reach": "pnp.metric.reach",
    "pnp.recording": "pnp.matching.recording",
    "pnp.refine": "pnp.matching.multistart",
    "pnp.scattering": "pnp.features.scattering",
    "pnp.scattering.transform": "pnp.features.scattering.transform",
    "pnp.setups": "pnp.features.standard",
    "pnp.spectrogram": "pnp.features.spectrogram",
    "pnp.surrogate": "pnp.metric.surrogate",
    "pnp.verify": "pnp.offline.verify",
}


class _Finder(MetaPathFinder, Loader):
    """Finds a module by its old path and passes every name on to the new one."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        is_package = any(name.startswith(f"{fullname}.") for name in MOVED)
        return ModuleSpec(fullname, self, is_package=is_package) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        new = MOVED[module.__name__]
        message = f"{module.__name__} is now {new}; the old path goes with version 0.3"
        # Past this function and the three of importlib that call it, so that the line of the import is named.
        warnings.warn(message, DeprecationWarning, stacklevel=5)
        current = import_module(new)
        module.__doc__ = current.__doc__
        module.__getattr__ = lambda name: getattr(current, name)  # type: ignore[method-assign]


def install() -> None:
    """Make the old paths importable."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
