"""Check that a synthesizer, and features, are those that a cache was made with."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pnp._protocols import FeatureMap, SynthesizerLike
from pnp._torch.modes import full_precision
from pnp._torch.tensors import tensors_of
from pnp.errors import CacheError
from pnp.store.provenance import describe, differences

if TYPE_CHECKING:
    from pnp._protocols import CacheLike

__all__ = ["check_fits"]

# Far above what another machine or precision changes, far below what another setting does.
_TOLERANCE = 1e-2


def check_fits(cache: CacheLike, synth: SynthesizerLike, features: FeatureMap | None = None) -> None:
    """Check that a synthesizer makes the sounds that a cache is about.

    Parameters, length and sampling rate must be those of the cache. Where features are at hand and the cache keeps
    them, one sound is made and analysed anew, and what comes out decides. Elsewhere the recorded description of the
    synthesizer decides: its class, its `config()`, and its tensors. What it does not say, such as the plain attributes
    of a module without `config()`, then goes unnoticed.

    Args:
        cache: Metric cache.
        synth: Synthesizer.
        features: Features Φ of the cache, where they are used with it.

    Raises:
        ValueError: If parameters, length, sampling rate, settings or sound differ; says which.
    """
    expected = getattr(cache, "synth_space", cache.space)
    if synth.space != expected:
        raise ValueError(
            "Synthesizer and cache have different parameter spaces: "
            f"{type(synth).__name__} has {synth.space}; {cache.path} has {expected}."
        )
    recorded = cache.config.get("synthesizer", {})
    name = type(synth).__name__
    for key, what, unit in (("n_samples", "lengths", "samples"), ("sample_rate", "sampling rates", "Hz")):
        ours, theirs = float(getattr(synth, key)), recorded.get(key)
        if theirs is not None and ours != float(theirs):
            raise ValueError(
                f"Synthesizer and cache are about sounds of different {what}: {name} makes {ours:g} {unit}; "
                f"{cache.path} was made with {float(theirs):g} {unit}. Likely cause: a synthesizer of the same name "
                "with other options."
            )
    if features is not None and _measured(cache, synth, features):
        return
    details = "; ".join(_differing(recorded, synth))
    if details:
        raise ValueError(
            f"{name} has other settings than the synthesizer that {cache.path} was made with ({details}). Build it "
            "with the settings of the cache, or precompute a cache for it."
        )


def _measured(cache: CacheLike, synth: SynthesizerLike, features: FeatureMap) -> bool:
    """Compare the features of one sound with those that the cache keeps; return false where it keeps none."""
    row = cache.rows()[:1]
    try:
        stored = cache.features(row).double()
    except CacheError:
        return False
    if not len(row):
        return False
    made = _analyse(synth, features, cache.theta[row])
    if made.shape != stored.shape:
        raise ValueError(
            f"These features are {made.shape[-1]} numbers a sound, and {cache.path} keeps {stored.shape[-1]}. "
            "Likely cause: they have other settings than those it was made with."
        )
    norm = torch.linalg.vector_norm
    error = float(norm(made - stored) / norm(stored).clamp(min=torch.finfo(torch.float32).tiny))
    if not error <= _TOLERANCE:
        said = "; ".join(_differing(cache.config.get("synthesizer", {}), synth))
        raise ValueError(
            f"{type(synth).__name__} and these features are not those that {cache.path} was made with: computed again, "
            f"the features of row {int(row)} differ by {error:.2g} of their norm. Likely cause: "
            + (
                f"other settings ({said})."
                if said
                else "another setting that their description does not name."
            )
        )
    return True


@torch.no_grad()
def _analyse(synth: SynthesizerLike, features: FeatureMap, theta: Tensor) -> Tensor:
    modules = (module for module in (synth, features) if isinstance(module, nn.Module))
    theta = theta.float().to(next((tensor.device for tensor in tensors_of(*modules)), theta.device))
    with full_precision(theta):
        return features(synth(theta)).flatten(1).double().cpu()


def _differing(recorded: Mapping[str, Any], synth: SynthesizerLike) -> Iterator[str]:
    """Say in which settings a synthesizer differs from a recorded description, of what both descriptions name."""
    if not isinstance(synth, nn.Module) or not recorded:
        return
    ours = describe(synth)
    shared = [key for key in recorded if key in ours]
    there, here = ({key: side[key] for key in shared} for side in (recorded, ours))
    for side in (there, here):
        # The module of a script is "__main__" while it runs.
        side["class"] = str(side.get("class")).rpartition(".")[2]
        # A file may have moved since.
        side["registered_as"] = dict(side.get("registered_as") or {}) | {"name": None}
    if there.get("state_sha256") != here.get("state_sha256") and there["state_sha256"] in _hashes(synth):
        here["state_sha256"] = there["state_sha256"]
    yield from differences(there, here)


def _hashes(synth: nn.Module) -> Iterator[str | None]:
    """Hashes of the tensors of a module in both precisions: it may have been converted since."""
    for dtype in (torch.float32, torch.float64):
        yield describe(copy.deepcopy(synth).to(dtype)).get("state_sha256")
