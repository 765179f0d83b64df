"""Reads the WAV files that external programs write."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

__all__ = ["read_wav"]

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Samples and sampling rate of a WAV file.

    Written here because SciPy's reader warns about chunks it does not know, which programs are free to add,
    and filtering warnings is not safe in threads; the standard library's reads no floating point.

    Args:
        path: File to read.

    Returns:
        Samples in float64, shape (N, channels), integers scaled to [-1, 1); and the sampling rate in Hz.

    Raises:
        ValueError: If the file is not a WAV file of 16, 24 or 32 bit integers or 32 or 64 bit floats.
    """
    data = path.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"not a WAV file: it begins with {data[:12]!r}")
    chunks = _chunks(data)
    if b"fmt " not in chunks or b"data" not in chunks or len(chunks[b"fmt "]) < 16:
        raise ValueError("a WAV file without format or without samples")
    header = chunks[b"fmt "]
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", header[:16])
    if kind == _EXTENSIBLE and len(header) >= 26:
        kind = struct.unpack("<H", header[24:26])[0]
    if channels < 1:
        raise ValueError("a WAV file without channels")
    frame = channels * bits // 8
    samples = chunks[b"data"]
    samples = samples[: len(samples) // max(frame, 1) * frame]
    return _decode(samples, kind, bits).reshape(-1, channels), rate


def _chunks(data: bytes) -> dict[bytes, bytes]:
    chunks, position = dict[bytes, bytes](), 12
    while position + 8 <= len(data):
        name, (size,) = data[position : position + 4], struct.unpack("<I", data[position + 4 : position + 8])
        # A program that streams does not know the size in advance and writes more than there is.
        chunks.setdefault(name, data[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    return chunks


def _decode(samples: bytes, kind: int, bits: int) -> np.ndarray:
    if kind == _FLOAT and bits in (32, 64):
        return np.frombuffer(samples, f"<f{bits // 8}").astype(np.float64)
    if kind == _PCM and bits in (16, 32):
        return np.frombuffer(samples, f"<i{bits // 8}") / 2.0 ** (bits - 1)
    if kind == _PCM and bits == 24:
        padded = np.zeros((len(samples) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(samples, np.uint8).reshape(-1, 3)
        decoded: np.ndarray = padded.view("<i4")[:, 0] / 2.0**31
        return decoded
    raise ValueError(
        f"a WAV file of format {kind} with {bits} bits, expected integers of 16, 24 or 32 bits "
        "or floats of 32 or 64"
    )
