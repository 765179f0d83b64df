"""Behaviour of a feature map as a loss: cost, conditioning of the metric, noise, delays."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import pnp

__all__ = ["DELAY", "LENGTH", "SIGNAL_TO_NOISE", "SOUNDS", "behaviour", "settings_at"]

SOUNDS = 8
LENGTH = 32768  # samples
SIGNAL_TO_NOISE = 20.0  # dB
DELAY = 64  # samples


def settings_at(settings: Mapping[str, Any], rate: int, new_rate: int, n_samples: int) -> dict[str, Any]:
    """Settings of scattering that cover the same times at another sampling rate, to the nearest power of 2.

    Args:
        settings: Options of `TimeFrequencyScattering`.
        rate: Rate in Hz that they are meant for.
        new_rate: Rate in Hz to be used at.
        n_samples: Length of the sounds. J is at most log2(n_samples) - 3, as in the standard settings.
    """
    octaves = round(torch.log2(torch.tensor(new_rate / rate)).item())
    limit = n_samples.bit_length() - 1 - 3
    changed = {**settings, "J": min(settings["J"] + octaves, limit)}
    if isinstance(settings["T"], int):
        changed["T"] = 2 ** (settings["T"].bit_length() - 1 + octaves)
    return changed


def behaviour(name: str, settings: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Numbers of one feature map on a synthesizer of the package.

    Args:
        name: Synthesizer.
        settings: Options of `TimeFrequencyScattering`, but for `shape`.
        scale: Scale of the compression.

    Returns:
        Number of features; seconds of processor time a sound, for the features alone; median condition number of M;
        median sensitivity of each parameter, the norm of a column of J over the median distance between sounds;
        distances moved by noise and by a delay, as medians over sounds and relative to the same distance.
    """
    synth = pnp.synths.make(name, n_samples=LENGTH)
    features = pnp.Features(pnp.TimeFrequencyScattering(shape=LENGTH, **settings), scale=scale)
    u = 0.99 * synth.space.sample(SOUNDS, seed=0)
    values, jacobians, sounds = [], [], []
    for one in u.split(1):
        S, J = pnp.value_and_jacobian(synth, features, one)
        values.append(S)
        jacobians.append(J)
        sounds.append(synth(synth.space.from_unit(one)).detach())
    S, J, x = torch.cat(values), torch.cat(jacobians), torch.cat(sounds).float()
    _features(features, x[:1])  # filters of this dtype
    started = time.process_time()
    plain = _features(features, x)
    seconds = (time.process_time() - started) / SOUNDS
    typical = torch.pdist(S.double()).median()
    singular = torch.linalg.svdvals(J.double())
    condition = (singular[:, 0] / singular[:, -1]).square()
    return {
        "features": S.shape[1],
        "seconds": round(seconds, 3),
        "condition": float(condition.median()),
        "sensitivity": {
            parameter: float(value)
            for parameter, value in zip(
                synth.space.names, (J.double().norm(dim=1) / typical).median(0).values, strict=True
            )
        },
        "noise": float(((_features(features, _noisy(x)) - plain).double().norm(dim=1) / typical).median()),
        "delay": float(((_features(features, _delayed(x)) - plain).double().norm(dim=1) / typical).median()),
    }


def _features(features: pnp.Features, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([features(one[None]) for one in x])


def _noisy(x: Tensor) -> Tensor:
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return x + noise * x.square().mean(-1, keepdim=True).sqrt() * 10 ** (-SIGNAL_TO_NOISE / 20)


def _delayed(x: Tensor) -> Tensor:
    return torch.nn.functional.pad(x, (DELAY, 0))[:, : x.shape[-1]]
