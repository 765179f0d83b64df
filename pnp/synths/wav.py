"""Reading of the WAV files that external programs write."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

__all__ = ["read_wav"]

_SUBTYPES = ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Read samples and sampling rate of a WAV file.

    A file that is cut short gives the samples that are there: a program that streams writes its header before it knows
    the length.

    Args:
        path: File to read.

    Returns:
        Samples in float64, shape (N, channels), integers scaled to [-1, 1); and the sampling rate in Hz.

    Raises:
        ValueError: If the file is not a WAV file of 16, 24 or 32 bit integers or 32 or 64 bit floats.
    """
    import soundfile

    data = path.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"not a WAV file: it begins with {data[:12]!r}")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.subtype not in _SUBTYPES:
                raise ValueError(
                    f"a WAV file of type {file.subtype}, expected integers of 16, 24 or 32 bits or floats of 32 or 64"
                )
            return file.read(dtype="float64", always_2d=True), int(file.samplerate)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"a WAV file without format or without samples: {error.error_string}") from error
