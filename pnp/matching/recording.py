"""Recordings as a synthesizer would have made them: one channel, its sampling rate, its length, its onset.

`load_recording` reads a file and refuses what cannot be matched; `fit_recording` brings what it read to the
format of a synthesizer. The level is left as it is: what a level means is for the comparison to decide.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import finite_number
from pnp._text import percent
from pnp.matching.onset import envelope, find_onset

__all__ = [
    "Fitted",
    "NotSoundError",
    "Recording",
    "as_recording",
    "fit_recording",
    "load_recording",
    "resampled",
    "stops_ringing",
]

# Below the least significant bit of 16-bit samples there is nothing to match.
_SILENCE = 10 ** (-90 / 20)
# A constant offset is estimated in pieces of this many seconds, and mentioned from this part of the peak on.
_PIECE, _MENTIONED, _STILL = 0.05, 1e-3, 1e-6
# Part of the standard deviation in the stillest pieces that the mean of two periods and a half may be, and more.
_DOUBTFUL = 0.3
# A sinusoid at full scale, in 16 bits, stays on its highest value for two or three samples.
_CLIPPED_LEVEL, _CLIPPED_RUN, _CLIPPED_RUNS = 0.98, 5, 3
_SHORTEST, _LONGEST = 0.01, 600.0
_FADE = 0.01
# A recording rings at its end if its last 2 ms are above this part of its loudest moment, −60 dB, and above this many
# times the smallest sample: a sound that dies away ends among the lowest bits.
_END, _RINGING, _ROUNDED = 0.002, 10 ** (-60 / 20), 4.0
# Smallest sample relative to the largest, at most, where samples are rounded: 8 bits at a quarter of full scale.
_COARSEST = 1 / 32
# Silence this long is no zero crossing.
_SILENT_FOR = 0.005
# What is this much softer than the loudest sample is silence: −110 dB.
_DIGITAL_SILENCE = 10 ** (-110 / 20)
# Of a recording's level, what resampling has to leave of it.
_AUDIBLE_SHARE = 0.01


class NotSoundError(ValueError):
    """A file that holds no sound, as opposed to a sound that cannot be matched."""


@dataclass(frozen=True)
class Recording:
    """One channel of sound.

    Attributes:
        samples: Amplitudes, float64, shape (n,); 1 is full scale.
        sample_rate: Sampling rate in Hz.
        name: Origin, for messages.
        notes: Changes that were made, in sentences.
    """

    samples: Float[np.ndarray, " n"] = field(repr=False)
    sample_rate: float
    name: str = "the sound"
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate


def load_recording(path: str | os.PathLike[str], *, allow_clipped: bool = False) -> Recording:
    """Read a sound file of any format, sampling rate and number of channels that libsndfile reads.

    Channels are averaged, and a constant offset is removed. A file is clipped if one of its channels stays on its
    extreme value, near full scale, for five samples or more, three times or more.

    Args:
        path: File: WAV, AIFF, FLAC, OGG, MP3 and others.
        allow_clipped: Accept a clipped recording.

    Returns:
        The recording, whole.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not sound; or is empty, silent, clipped, shorter than 10 ms, longer than ten
            minutes; or is a constant offset alone; or has NaN or infinite samples, or channels that cancel each
            other.
    """
    import soundfile

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no sound file at {path}.")
    if not path.is_file():
        raise ValueError(f"{path} is not a file; expected a sound file.")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty: it has 0 bytes.")
    try:
        with soundfile.SoundFile(path) as file:
            frames, rate = file.frames, file.samplerate
            if frames > _LONGEST * rate:
                raise ValueError(_too_long(str(path), frames / rate))
            channels = file.read(dtype="float64", always_2d=True)
    except TypeError as error:
        # soundfile asks for the rate and format of samples that have no header.
        raise NotSoundError(
            f"{path} is taken for raw samples, whose sampling rate and format are not known; convert it to WAV first."
        ) from error
    except soundfile.LibsndfileError as error:
        raise NotSoundError(
            f"{path} is not a sound file that libsndfile reads ({error.error_string}); expected WAV, AIFF, "
            "FLAC, OGG or MP3."
        ) from error
    return as_recording(channels, rate, str(path), allow_clipped=allow_clipped)


def as_recording(
    channels: np.ndarray, sample_rate: float, name: str = "the sound", *, allow_clipped: bool = False
) -> Recording:
    """Check samples and average their channels.

    Args:
        channels: Amplitudes, shape (n,) or (n, channels).
        sample_rate: Sampling rate in Hz.
        name: Name in messages.
        allow_clipped: Accept a clipped recording.

    Returns:
        The recording.

    Raises:
        ValueError: As for `load_recording`.
    """
    channels = np.asarray(channels, np.float64)
    if channels.ndim not in (1, 2):
        raise ValueError(f"{name}: expected samples of shape (n,) or (n, channels), got {channels.shape}.")
    channels = channels.reshape(len(channels), 1) if channels.ndim == 1 else channels
    sample_rate = finite_number(f"{name}: the sampling rate in Hz", sample_rate, above=0)
    if not channels.size:
        raise ValueError(f"{name} is empty: it holds no samples.")
    seconds = len(channels) / sample_rate
    if seconds > _LONGEST:
        raise ValueError(_too_long(name, seconds))
    bad = ~np.isfinite(channels).all(1)
    if bad.any():
        raise ValueError(
            f"{name} has {bad.sum()} samples that are NaN or infinite, the first at "
            f"{bad.argmax() / sample_rate:.4f} s; likely cause: a floating-point "
            "file written by a process that went wrong."
        )
    if seconds < _SHORTEST:
        raise ValueError(
            f"{name} is too short: {1e3 * seconds:.3g} ms; expected at least {1e3 * _SHORTEST:.0f} ms."
        )
    peak = float(np.abs(channels).max())
    if peak < _SILENCE:
        raise ValueError(f"{name} is silent: its peak is {_decibels(peak)}; expected -90 dBFS or more.")
    notes = []
    if any(_is_clipped(channel) for channel in channels.T):
        if not allow_clipped:
            raise ValueError(
                f"{name} is clipped: it stays on its peak of {peak:.3f} for {_CLIPPED_RUN} samples or more, "
                f"{_CLIPPED_RUNS} times or more, and what it adds there would be matched "
                "too; record it again at a lower level, or allow clipping."
            )
        notes.append("It is clipped.")
    mono = channels.mean(1)
    mixed = float(np.abs(mono).max())
    if mixed < 1e-3 * peak:
        raise ValueError(
            f"{name} is silent once its {channels.shape[1]} channels are averaged: they cancel each other; "
            "likely cause: one of them has its polarity inverted."
        )
    if channels.shape[1] > 1:
        notes.append(f"Its {channels.shape[1]} channels were averaged.")
    offset = _offset(mono, sample_rate)
    mono = mono - offset
    left = float(np.abs(mono).max())
    if left < max(_SILENCE, 1e-3 * abs(offset)):
        raise ValueError(
            f"{name} is silent: it is a constant offset of {offset:.3g} and nothing else; likely cause: nothing was "
            "connected to the input of the recording."
        )
    if abs(offset) > _MENTIONED * left:
        notes.append(f"A constant offset of {offset:.3g} was removed.")
    return Recording(mono, float(sample_rate), name, tuple(notes))


class Fitted(NamedTuple):
    """A recording as a synthesizer would have made it.

    Attributes:
        samples: Sound, float64, shape (N,).
        notes: Sentences about what was done.
        window: Factors by which its end was faded or cut, float64, shape (N,); None where it was not. The
            synthesizer's sounds are compared under the same window.
    """

    samples: Float[Tensor, " N"]
    notes: tuple[str, ...]
    window: Float[Tensor, " N"] | None


def resampled(recording: Recording, sample_rate: float) -> Recording:
    """Return a recording at another sampling rate, by a polyphase filter, with a note; itself where it has that rate.

    Args:
        recording: Samples of a file.
        sample_rate: Sampling rate of the synthesizer in Hz.

    Raises:
        ValueError: If nothing is left below the synthesizer's Nyquist frequency.
    """
    from scipy.signal import resample_poly

    if recording.sample_rate == sample_rate:
        return recording
    ratio = (Fraction(sample_rate) / Fraction(recording.sample_rate)).limit_denominator(100_000)
    x = resample_poly(recording.samples, ratio.numerator, ratio.denominator)
    if x.std() < _AUDIBLE_SHARE * recording.samples.std():
        raise ValueError(
            f"{recording.name} has next to nothing below {sample_rate / 2:g} Hz, which is all that this "
            f"synthesizer, at {sample_rate:g} Hz, can make."
        )
    note = f"It was resampled from {recording.sample_rate:g} Hz to {sample_rate:g} Hz."
    return replace(recording, samples=x, sample_rate=sample_rate, notes=(*recording.notes, note))


def fit_recording(
    recording: Recording,
    sample_rate: float,
    n_samples: int,
    *,
    onset: int | None = None,
    stops: bool = False,
) -> Fitted:
    """Bring a recording to a synthesizer's sampling rate, length and onset.

    It is resampled by a polyphase filter. Its onset, see `find_onset`, is moved to a given sample; what lies before is
    cut, or silence is put there. At the end, a
    short recording is padded with silence, and a long one cut with a fade of 10 ms.

    Args:
        recording: Samples of a file.
        sample_rate: Sampling rate of the synthesizer in Hz.
        n_samples: Length N of its sounds.
        onset: Sample at which the recording is to begin; None leaves its beginning where it is.
        stops: True where its sounds may stop while they ring: then a recording that does so need not have been cut.

    Returns:
        Sound, notes, and the window by which it was faded, or None. A recording was cut if it ends, or digital silence
        begins, while it rings within 60 dB of its loudest moment. From there on the window is 0.

    Raises:
        ValueError: If nothing is left below the synthesizer's Nyquist frequency.
    """
    recording = resampled(recording, sample_rate)
    notes, x = list(recording.notes), recording.samples
    if onset is not None:
        moved = onset - find_onset(x, sample_rate)
        if moved:
            way = "earlier: there was silence before the sound" if moved < 0 else "later"
            notes.append(f"It was moved {abs(moved) / sample_rate:.4f} s {way}.")
        x = x[-moved:] if moved < 0 else np.concatenate([np.zeros(moved), x])
    window = np.ones(n_samples)
    end = _end(x)
    if end < n_samples and not stops and _was_cut(x, n_samples, sample_rate):
        notes.append(
            f"It stops while it rings, after {end / sample_rate:.3g} s: the synthesizer's sounds are compared with it "
            "up to there."
        )
        window[end:] = 0.0
    if len(x) > n_samples:
        lost = float(np.square(x[n_samples:]).sum() / np.square(x).sum())
        notes.append(
            f"It was cut from {len(x) / sample_rate:.3g} s to the synthesizer's {n_samples / sample_rate:.3g} s; "
            f"{percent(lost, significant=2)} of its energy was in what is left out."
        )
        fade = min(n_samples, round(_FADE * sample_rate))
        window[n_samples - fade :] *= 0.5 + 0.5 * np.cos(np.pi * (np.arange(fade) + 1) / fade)
        x = x[:n_samples]
    else:
        x = np.concatenate([x, np.zeros(n_samples - len(x))])
    as_it_was = bool((window == 1.0).all())
    return Fitted(torch.from_numpy(x * window), tuple(notes), None if as_it_was else torch.from_numpy(window))


def stops_ringing(x: np.ndarray, sample_rate: float) -> bool:
    """Tell if a sound stops while it rings: if it is within 60 dB of its loudest moment until silence begins.

    Args:
        x: Sound, shape (n,).
        sample_rate: Sampling rate in Hz.

    Returns:
        False for a sound after which there are less than 5 ms of silence.
    """
    end = _end(x)
    return len(x) - end >= _SILENT_FOR * sample_rate and _rings_at_end(x[:end], sample_rate)


def _was_cut(x: np.ndarray, n_samples: int, sample_rate: float) -> bool:
    """Tell if a sound, of which as many samples are needed, stops before while it rings."""
    if len(x) < n_samples:
        return _rings_at_end(x[: _end(x)], sample_rate)
    return stops_ringing(x, sample_rate)


def _rings_at_end(x: np.ndarray, sample_rate: float) -> bool:
    """Tell if a sound is within 60 dB of its loudest moment at its end, and above the rounding of its samples."""
    if not x.any():
        return False
    last = np.sqrt(np.square(x[-max(1, round(_END * sample_rate)) :]).mean())
    smallest, largest = np.abs(x[x != 0]).min(), np.abs(x).max()
    # A square wave has no small samples, and its smallest one is no rounding.
    rounding = _ROUNDED * smallest if smallest < _COARSEST * largest else 0.0
    return bool(last > max(_RINGING * envelope(x, sample_rate).max(), rounding))


def _end(x: np.ndarray) -> int:
    """Return the number of samples before the digital silence that a sound ends with."""
    heard = np.flatnonzero(np.abs(x) > _DIGITAL_SILENCE * np.abs(x).max())
    return int(heard[-1]) + 1 if len(heard) else 0


def _offset(mono: np.ndarray, sample_rate: float) -> float:
    """Estimate a constant offset: the mean of pieces, each weighted by how still it is; 0 where it is in doubt.

    The plain mean is wrong for a short sound, whose halves need not cancel; its quiet end, or beginning, tells. A sound
    that is cut while it rings has no such piece, and the mean of some periods and a part of one is no offset.
    """
    length = min(len(mono), max(1, round(_PIECE * sample_rate)))
    pieces = mono[: len(mono) // length * length].reshape(-1, length)
    variances = pieces.var(1)
    weights = 1.0 / (variances + np.square(_STILL * np.abs(mono).max()))
    weights /= weights.sum()
    offset = float(weights @ pieces.mean(1))
    # Each piece errs by a part of its deviation, and as many as count for it average that.
    error = _DOUBTFUL * float(np.sqrt((weights @ variances) * (weights @ weights)))
    return offset if abs(offset) > error else 0.0


def _is_clipped(channel: np.ndarray) -> bool:
    peak = np.abs(channel).max()
    if peak < _CLIPPED_LEVEL:
        return False
    runs = 0
    for extreme in {channel.max(), channel.min()}:
        if abs(extreme) >= _CLIPPED_LEVEL * peak:
            edges = np.diff(np.concatenate([[0], (channel == extreme).astype(np.int8), [0]]))
            lengths = (edges == -1).nonzero()[0] - (edges == 1).nonzero()[0]
            runs += int((lengths >= _CLIPPED_RUN).sum())
    return runs >= _CLIPPED_RUNS


def _too_long(name: str, seconds: float) -> str:
    return (
        f"{name} is too long: {seconds / 60:.3g} minutes; expected one sound of at most {_LONGEST / 60:.0f} "
        "minutes; cut it out first."
    )


def _decibels(peak: float) -> str:
    return f"{20 * np.log10(peak):.0f} dBFS" if peak else "0, that is, -∞ dBFS"
