"""Sounds in a form that a page can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import soundfile
from torch import Tensor

# Source: Chromium's media stack refuses audio below 3 kHz; others begin at 8 kHz.
_LOWEST_RATE = 8000
_LONGEST = 10.0  # seconds
_FADE = 0.02  # seconds


def data_uris(sounds: Sequence[Tensor], sample_rate: float) -> list[str]:
    """Return sounds as base64 WAV files of 16 bits, all with the same gain, the loudest at −1 dB.

    A sound longer than ten seconds is cut there; one that is sampled below 8 kHz is resampled to a multiple of its
    rate.

    Args:
        sounds: Sounds of shape (N,), to be compared with each other.
        sample_rate: Sampling rate in Hz.

    Returns:
        `data:` addresses.
    """
    loudest = max(float(sound.abs().max()) for sound in sounds)
    gain = 10 ** (-1 / 20) / loudest if loudest > 0 else 1.0
    return [_data_uri(gain * sound.numpy(force=True).astype(np.float64), sample_rate) for sound in sounds]


def _data_uri(x: np.ndarray, sample_rate: float) -> str:
    longest = round(_LONGEST * sample_rate)
    if len(x) > longest:
        x = x[:longest].copy()
        fade = round(_FADE * sample_rate)
        x[-fade:] *= np.linspace(1, 0, fade)
    factor = -(-_LOWEST_RATE // max(1, int(sample_rate)))
    if factor > 1:
        from scipy.signal import resample_poly

        x = resample_poly(x, factor, 1)
    file = io.BytesIO()
    soundfile.write(file, x.clip(-1, 1), round(factor * sample_rate), format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()
