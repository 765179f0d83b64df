"""Sounds as something that a page can hold."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence

import numpy as np
from torch import Tensor

# Source: Chromium's media stack refuses audio below 3 kHz; others begin at 8 kHz.
_LOWEST_RATE = 8000
_LONGEST = 10.0  # seconds
_FADE = 0.02  # seconds


def data_uris(sounds: Sequence[Tensor], sample_rate: float) -> list[str]:
    """Sounds as base64 WAV files of 16 bits, all with the same gain, the loudest at −1 dB.

    What is longer than ten seconds is cut there, and what is sampled below 8 kHz is resampled to a multiple
    of its rate.

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
        x = np.fft.irfft(np.fft.rfft(x), factor * len(x)) * factor
    samples = np.round(32767 * x.clip(-1, 1)).astype("<i2").tobytes()
    rate = round(factor * sample_rate)
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    body = b"WAVE" + fmt + struct.pack("<4sI", b"data", len(samples)) + samples
    wav = struct.pack("<4sI", b"RIFF", len(body)) + body
    return "data:audio/wav;base64," + base64.b64encode(wav).decode()
