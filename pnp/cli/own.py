"""Synthesizers and features of a user's own code, and those of a cache."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pnp.cli.arguments import key_value

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pnp._protocols import SynthesizerModule
    from pnp.store import MetricCache

_WORDS = "path/to/file.py:NAME or package.module:NAME"


def add_synthesizer(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add the name of a synthesizer and its options; by default those that the cache names."""
    otherwise = "" if required else " (the one that the cache names, if not given)"
    parser.add_argument(
        "--synth",
        required=required,
        metavar="NAME",
        help=f"synthesizer: chirp, drum, ripple, string, plugin, or your own, {_WORDS}{otherwise}",
    )
    parser.add_argument(
        "--synth-option",
        action="append",
        type=key_value,
        default=[],
        metavar="KEY=VALUE",
        help="option of the synthesizer, such as n_samples=8192; may be given several times",
    )


def add_features(parser: argparse.ArgumentParser, otherwise: str = "those that the cache names") -> None:
    """Add the name of a feature map and its options."""
    parser.add_argument(
        "--features",
        metavar="NAME",
        help=f"feature map of your own, {_WORDS} ({otherwise}, if not given)",
    )
    parser.add_argument(
        "--features-option",
        action="append",
        type=key_value,
        default=[],
        metavar="KEY=VALUE",
        help="option of the feature map; may be given several times",
    )


def synthesizer_for(cache: MetricCache, options: argparse.Namespace) -> SynthesizerModule:
    """Return the synthesizer that was named, or the one that the cache names."""
    from pnp.offline.rebuild import synthesizer_of
    from pnp.synths.registry import make

    if options.synth is None:
        _check_alone(options, "synth")
        return synthesizer_of(cache)
    return make(options.synth, **dict(options.synth_option))


def features_for(cache: MetricCache, synth: nn.Module, options: argparse.Namespace) -> nn.Module:
    """Return the feature map that was named, or the one that the cache names."""
    from pnp.offline.rebuild import features_of, make_features

    if options.features is None:
        _check_alone(options, "features")
        return features_of(cache, synth)
    return make_features(options.features, synth, **dict(options.features_option))


def named_for(
    cache: MetricCache, options: argparse.Namespace
) -> tuple[SynthesizerModule | None, nn.Module | None]:
    """Return the synthesizer and the feature map that were named, each None if it was not."""
    features_named = options.features or options.features_option
    if not (features_named or options.synth or options.synth_option):
        return None, None
    synth = synthesizer_for(cache, options)
    return synth, features_for(cache, synth, options) if features_named else None


def network_for(words: str) -> Callable[[Tensor], Tensor]:
    """Return a trained encoder, or a network of the user's own: any callable from sounds to scaled parameters."""
    from pnp._own_code import build, is_own
    from pnp.training.checkpoint import load_encoder

    if Path(words).exists() or not is_own(words):
        return load_encoder(words)
    network = build(words, "network", {})
    if not callable(network):
        raise TypeError(
            f"network {words!r} must be callable, from sounds (B, N) to scaled parameters (B, P), got "
            f"{type(network).__name__}"
        )
    return cast("Callable[[Tensor], Tensor]", network)


def _check_alone(options: argparse.Namespace, what: str) -> None:
    if getattr(options, f"{what}_option"):
        raise ValueError(f"--{what}-option goes with --{what}; without it, the cache says everything.")
