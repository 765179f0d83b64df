"""Onset of a sound, and the delay between two sounds, from their envelopes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

__all__ = ["count_onsets", "envelope", "find_lag", "find_onset"]

# Sound this far below the maximum, before the onset, counts as leading silence.
_ONSET, _LATEST_ONSET = 10 ** (-40 / 20), 10 ** (-20 / 20)
_ABOVE_NOISE, _WINDOW, _TINY = 2.0, 0.005, 1e-300
# A coder spreads its rounding over a block, so that an attack is heard softly before it comes. The attack itself rises
# by more than this, within a millisecond, over all that came before.
_ATTACK, _ATTACK_TIME, _LONGEST_PRE_ECHO = 10 ** (12 / 20), 0.001, 0.008


# A further onset rises by this much over the quietest of the time before, and comes this near to the loudest moment.
_RISE, _LOUD, _APART = 10 ** (18 / 20), 10 ** (-20 / 20), 0.1


def count_onsets(x: np.ndarray, sample_rate: float) -> int:
    """Return how often a sound begins: a roll or a loop has several onsets.

    An onset is a rise by 18 dB within 0.1 s, to less than 20 dB below the loudest moment. Rises less than 0.1 s apart
    are one.

    Args:
        x: Sound, shape (n,).
        sample_rate: Sampling rate in Hz.

    Returns:
        Number of onsets; 0 for silence.
    """
    from scipy.ndimage import minimum_filter1d

    window = _samples(_APART, sample_rate)
    # A beginning without silence before it is an onset too.
    level = np.concatenate([np.zeros(window), envelope(x, sample_rate)])
    loudest = float(level.max())
    if not loudest:
        return 0
    quietest = minimum_filter1d(level, window, origin=(window - 1) // 2, mode="nearest")
    rising = (level >= _LOUD * loudest) & (level >= _RISE * quietest)
    places = rising.nonzero()[0]
    return 1 + int((np.diff(places) > window).sum()) if len(places) else 1


def find_onset(x: np.ndarray, sample_rate: float) -> int:
    """Return the sample at which a sound begins.

    The onset is where the root mean square over 5 ms comes within 40 dB of its maximum. Where there is noise, it is
    where this level comes to twice that of the quietest tenth of the recording, but at most 20 dB below the maximum.
    A pre-echo, up to 8 ms of soft sound before an attack 12 dB above it, as MP3 and Vorbis make it, is skipped.

    Args:
        x: Sound, shape (n,).
        sample_rate: Sampling rate in Hz.

    Returns:
        Number of the sample; 0 for silence.
    """
    level = envelope(x, sample_rate)
    loudest = float(level.max())
    if not loudest:
        return 0
    noise = _ABOVE_NOISE * float(np.quantile(level, 0.1)) / max(loudest, _TINY)
    threshold = min(max(_ONSET, noise), _LATEST_ONSET) * loudest
    # The smallest window that holds the onset ends at it, or half a window later.
    reached = int((level >= threshold).argmax())
    loud = np.abs(x[reached : reached + _samples(_WINDOW, sample_rate)])
    return _after_pre_echo(x, reached + int((loud >= threshold).argmax()), sample_rate)


def _after_pre_echo(x: np.ndarray, onset: int, sample_rate: float) -> int:
    """Return the attack shortly after an onset, if there is one; else the onset."""
    window = _samples(_ATTACK_TIME, sample_rate)
    heard = x[onset : onset + _samples(_LONGEST_PRE_ECHO, sample_rate) + window]
    if len(heard) < 2 * window + 1:
        return onset
    energy = np.concatenate([[0.0], np.square(heard, dtype=np.float64).cumsum()])
    places = np.arange(window, len(heard) - window + 1)
    before = energy[places] / places
    after = (energy[places + window] - energy[places]) / window
    rise = after / np.maximum(before, _TINY)
    attack = int(rise.argmax())
    return onset + int(places[attack]) if rise[attack] >= _ATTACK**2 else onset


def find_lag(x: np.ndarray, y: np.ndarray, sample_rate: float) -> int:
    """Return the delay of x that lays its envelope on that of y.

    Args:
        x: Sound, shape (n,).
        y: Another one, shape (n,).
        sample_rate: Sampling rate in Hz.

    Returns:
        Delay in samples at which the correlation of their envelopes is largest, negative if x comes too late.
    """
    from scipy.signal import correlate

    correlation = correlate(envelope(y, sample_rate), envelope(x, sample_rate), mode="full", method="fft")
    return int(correlation.argmax()) - (len(x) - 1)


def envelope(x: np.ndarray, sample_rate: float) -> Float[np.ndarray, " n"]:
    """Return the root mean square over 5 ms around each sample.

    Args:
        x: Sound, shape (n,).
        sample_rate: Sampling rate in Hz.

    Returns:
        Envelope, shape (n,).
    """
    from scipy.ndimage import uniform_filter1d

    power = uniform_filter1d(np.square(x, dtype=np.float64), _samples(_WINDOW, sample_rate), mode="constant")
    # A running sum may come out below zero by rounding.
    smooth: np.ndarray = np.sqrt(np.maximum(power, 0.0))
    return smooth


def _samples(seconds: float, sample_rate: float) -> int:
    return max(1, round(seconds * sample_rate))
