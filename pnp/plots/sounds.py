"""Sounds beside each other."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from pnp.features.scalogram import scalogram

__all__ = ["sound_comparison"]

_OCTAVES = 8


def sound_comparison(
    sounds: Mapping[str, Tensor], sample_rate: float, *, most_columns: int = 1024, floor: float = -60.0
) -> Figure:
    """Scalograms of several sounds beside each other, on common axes and one scale of levels.

    Args:
        sounds: Title and samples of each sound, all of shape (N,).
        sample_rate: Sampling rate in Hz.
        most_columns: Most time steps to draw; within one, the strongest moment counts.
        floor: Lowest level shown, in decibels below the strongest moment of the first sound.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no sound, the sounds differ in length, or the first one is silent.
    """
    lengths = {len(x) for x in sounds.values()}
    if len(lengths) != 1:
        raise ValueError(f"expected sounds of one length, got lengths {sorted(lengths)}")
    (n_samples,) = lengths
    # The lowest frequency has two periods in the sound.
    octaves = max(1, min(_OCTAVES, math.floor(math.log2(n_samples / 4))))
    low, high = sample_rate / 2 ** (octaves + 1), sample_rate / 2
    drawn, frequencies = [], np.empty(0)
    for x in sounds.values():
        # The convolutions are circular: silence after the end keeps it from running into the beginning.
        padded = torch.nn.functional.pad(x.double(), (0, n_samples))
        moduli, centres = scalogram(padded, sample_rate, low, high, bins_per_octave=24)
        drawn.append(_strongest(moduli[:, :n_samples], -(-n_samples // most_columns)))
        frequencies = centres.numpy()
    reference = drawn[0].max()
    if not reference > 0:
        raise ValueError("the first sound is silent: there is no level to compare the others with")
    # Bands that none of them reaches are left out.
    audible = reference * 10 ** (floor / 20)
    reached = np.any([strongest.max(1) > audible for strongest in drawn], axis=0).nonzero()[0]
    bands = slice(reached[0], reached[-1] + 1)
    figure = Figure(figsize=(4.2 * len(sounds), 3.8), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(sounds), sharex=True, sharey=True))
    seconds = np.linspace(0.0, n_samples / sample_rate, drawn[0].shape[1])
    for ax, title, strongest in zip(axes, sounds, drawn, strict=True):
        levels = 20 * np.log10(np.maximum(strongest[bands] / reference, 10 ** (floor / 20)))
        image = ax.pcolormesh(
            seconds,
            frequencies[bands],
            levels,
            cmap="cividis",
            vmin=floor,
            vmax=0,
            shading="nearest",
            rasterized=True,
        )
        ax.set_title(title)
        ax.set_xlabel("time (s)")
    axes[0].set_yscale("log", base=2)
    ticks = high / 2.0 ** np.arange(octaves + 1)
    ticks = ticks[(ticks >= frequencies[bands][0]) & (ticks <= frequencies[bands][-1] * 1.03)]
    axes[0].set_yticks(ticks, [f"{tick:.4g}" for tick in ticks])
    axes[0].minorticks_off()
    axes[0].set_ylabel("frequency (Hz), log scale")
    figure.colorbar(image, ax=list(axes), label="level (dB re strongest moment\nof the first sound)")
    return figure


def _strongest(moduli: Float[Tensor, "K N"], stride: int) -> np.ndarray:
    padded = torch.nn.functional.pad(moduli, (0, -moduli.shape[1] % stride))
    strongest: np.ndarray = padded.unflatten(1, (-1, stride)).amax(-1).numpy(force=True)
    return strongest
