"""Perceptual metrics on synthesizer parameters.

`pnp` linearizes the chain *parameters → sound → auditory representation* once, offline, and keeps the
resulting Riemannian metric M(θ) = J(θ)ᵀ J(θ) of every training sound. A sound-matching network is then
trained with a quadratic form in place of a spectral loss.

Every public name is resolved on first use, so that importing the package, or its loss, loads neither the
scattering transform nor plotting nor storage. The names are listed once, in `__init__.pyi`.

Source:
    Han, Lostanlen, Lagrange: Perceptual-neural-physical sound matching. ICASSP 2023.
"""

from typing import Any

import lazy_loader

from pnp import _moved

_resolve, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_moved.install()


def __getattr__(name: str) -> Any:
    """Resolve a public name; suggest one where there is none."""
    if name in __all__:
        return _resolve(name)
    from pnp._text import did_you_mean

    raise AttributeError(f"module 'pnp' has no attribute {name!r}{did_you_mean(name, __all__)}")
