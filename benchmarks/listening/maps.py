"""Feature maps that are compared: spectrograms, cepstra, and scattering under several settings."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pnp
from pnp.features.spectrogram import MultiscaleSpectrogram

from .studies import Study

__all__ = ["SCALES", "Representation", "as_published", "custom", "scattering", "spectral"]

Function = Callable[[Tensor], Tensor]

SCALES = (1e3, 1e4, 1e5, 1e6)
# Settings of the published comparison: torchaudio's defaults, but for window and hop.
_MEL = {"n_fft": 2048, "hop_length": 512, "n_mels": 128}
_CEPSTRA, _DYNAMIC_RANGE = 40, 80.0


@dataclass(frozen=True)
class Representation:
    """Coefficients of sounds, and the feature maps that are made of them.

    Args:
        name: Name in tables and results.
        config: Settings, as JSON can hold them.
        build: Makes the function from sounds (n, N) to coefficients (n, ...), when it is needed.
        heads: Functions from coefficients to features (n, ...) by name.
    """

    name: str
    config: Mapping[str, Any]
    build: Callable[[], Function]
    heads: Mapping[str, Function] = field(default_factory=lambda: {"": lambda x: x})

    def map_names(self) -> dict[str, str]:
        """Names of the feature maps, by head."""
        return {head: f"{self.name}, {head}" if head else self.name for head in self.heads}


def _compressed(scale: float) -> Function:
    features: Function = pnp.Features(torch.nn.Identity(), scale=scale)
    return features


def scattering(n_samples: int, settings: Mapping[str, Any]) -> Representation:
    """Scattering with zeros around the sound, uncompressed and with every scale of `SCALES`.

    Args:
        n_samples: Length of the sounds.
        settings: Options of `TimeFrequencyScattering`.
    """
    options = {"shape": n_samples, "pad_mode": "zero", **settings}
    q1, q2 = settings["Q"]
    T, F = settings["T"], settings["F"]
    name = f"JTFS Q = ({q1}, {q2}), J = {settings['J']}, J_fr = {settings['J_fr']}, T = {T}, F = {F}"
    if settings.get("first_order") == "average":
        name += ", plain first order"

    def build() -> Function:
        transform = pnp.TimeFrequencyScattering(**options)
        return lambda x: torch.cat([transform(one[None]) for one in x])

    heads = {"no compression": lambda x: x} | {f"scale {scale:.0e}": _compressed(scale) for scale in SCALES}
    return Representation(name, options, build, heads)


def spectral(sample_rate: int) -> list[Representation]:
    """Multiscale spectrograms, mel spectrograms and cepstra.

    Args:
        sample_rate: In Hz.

    Raises:
        ImportError: If librosa is not installed.
    """
    try:
        import librosa
    except ImportError as error:
        raise ImportError(
            "Mel spectrograms and MFCC need librosa; install it with `pip install pnp-metric[listeners]`."
        ) from error
    bank = torch.from_numpy(
        librosa.filters.mel(
            sr=sample_rate, n_fft=_MEL["n_fft"], n_mels=_MEL["n_mels"], htk=True, norm=None
        ).astype(np.float32)
    )
    window = torch.hann_window(_MEL["n_fft"])

    def mel() -> Function:
        def power(x: Tensor) -> Tensor:
            spectrum = torch.stft(
                x, _MEL["n_fft"], _MEL["hop_length"], window=window, pad_mode="reflect", return_complex=True
            )
            return bank @ spectrum.abs().square()

        return power

    def decibels(power: Tensor) -> Tensor:
        rows = [librosa.power_to_db(one.numpy(), ref=1.0, amin=1e-10, top_db=_DYNAMIC_RANGE) for one in power]
        return torch.from_numpy(np.stack(rows))

    def cepstra(power: Tensor) -> Tensor:
        return torch.from_numpy(librosa.feature.mfcc(S=decibels(power).numpy(), n_mfcc=_CEPSTRA))

    versions = {"librosa": librosa.__version__}
    mean = {
        "MFCC averaged over time": lambda x: cepstra(x).mean(-1),
        "MFCC over time": cepstra,
        "log-mel (dB) averaged over time": lambda x: decibels(x).mean(-1),
        "log-mel (dB) over time": decibels,
    }
    logarithms = {f"scale {scale:.0e}": _compressed(scale) for scale in (1e1, 1e2, 1e3)}
    mss = MultiscaleSpectrogram()
    return [
        *(
            Representation(name, _MEL | versions | {"map": name, "range": _DYNAMIC_RANGE}, mel, {"": head})
            for name, head in mean.items()
        ),
        Representation("mel over time, log1p", _MEL | {"kind": "power"}, mel, logarithms),
        Representation(
            "multiscale spectrograms",
            mss.config(),
            lambda: mss,
            {"": lambda x: x} | {f"scale {scale:.0e}": _compressed(scale) for scale in (1e7, 1e8)},
        ),
    ]


def as_published(maps: Sequence[Representation], study: Study) -> dict[str, Tensor]:
    """MFCC as published: of whole recordings at their own levels.

    Args:
        maps: Result of `spectral`.
        study: A study.

    Returns:
        Features by map. Averages are over a recording's own length; over time, recordings are followed by zeros up to
        the longest of the study.
    """
    by_name = {one.name: one for one in maps}
    average, kept = by_name["MFCC averaged over time"], by_name["MFCC over time"]
    power = average.build()
    longest = study.lengths[1]
    whole = [torch.from_numpy(x).float()[None] for x in study.recordings]
    padded = torch.cat([torch.nn.functional.pad(x, (0, longest - x.shape[1])) for x in whole])
    return {
        average.name: torch.cat([average.heads[""](power(x)) for x in whole]),
        kept.name: kept.heads[""](power(padded)),
    }


def custom(source: str, n_samples: int, sample_rate: int) -> Representation:
    """A feature map of the user's, `FILE.py:NAME` or `package.module:NAME`.

    Args:
        source: Place of a function that takes length and rate of sounds and returns the feature map.
        n_samples: Length of the sounds.
        sample_rate: In Hz.

    Raises:
        ValueError: If there is no such function.
    """
    place, _, name = source.rpartition(":")
    if not place:
        raise ValueError(f"--map takes FILE.py:NAME or package.module:NAME; got {source!r}.")
    if place.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        if spec is None or spec.loader is None or not Path(place).is_file():
            raise ValueError(f"--map {source}: there is no file {place}.")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    factory = getattr(module, name, None)
    if not callable(factory):
        raise ValueError(f"--map {source}: {place} has no function {name}.")
    made = factory(n_samples, sample_rate)
    config = made.config() if callable(getattr(made, "config", None)) else {"source": source}
    return Representation(source, config, lambda: made)
