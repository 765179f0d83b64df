"""Recordings: what is refused, and what is done to the others."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pnp.matching.onset import find_lag
from pnp.matching.recording import (
    Recording,
    as_recording,
    fit_recording,
    load_recording,
    stops_ringing,
)

RATE = 8000


def tone(
    seconds: float = 0.5, frequency: float = 440.0, rate: int = RATE, amplitude: float = 0.5
) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def written(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.wav", {"subtype": "PCM_16"}, 1e-4),
        ("a.wav", {"subtype": "PCM_U8"}, 1e-2),
        ("a.wav", {"subtype": "FLOAT"}, 1e-7),
        ("a.aiff", {"subtype": "PCM_24"}, 1e-6),
        ("a.flac", {}, 1e-4),
        ("a.ogg", {}, 5e-2),
        ("a.mp3", {}, 5e-2),
    ],
)
def test_formats_of_libsndfile_are_read(tmp_path, name, options, tolerance) -> None:
    samples = tone(rate=44100)
    read = load_recording(written(tmp_path / name, samples, 44100, **options))
    assert read.sample_rate == 44100
    # MP3 may add silence at its ends.
    lag = find_lag(read.samples[: len(samples)], samples, 44100) if name.endswith("mp3") else 0
    ours = np.roll(read.samples, lag)[2000:20000]
    assert (
        np.abs(np.abs(np.fft.rfft(ours)) - np.abs(np.fft.rfft(samples[2000:20000]))).max() < tolerance * 9000
    )


def test_channels_are_averaged(tmp_path) -> None:
    left, right = tone(), tone(frequency=600.0)
    read = load_recording(written(tmp_path / "a.wav", np.stack([left, right], 1), subtype="FLOAT"))
    assert np.allclose(read.samples, (left + right) / 2, atol=1e-7)
    assert read.notes == ("Its 2 channels were averaged.",)


def raw(path: Path) -> Path:
    path.write_bytes(tone().astype("<f4").tobytes())
    return path


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    text, empty = folder / "song.wav", folder / "empty.wav"
    text.write_text("la la la")
    empty.touch()
    with_nan = tone()
    with_nan[800] = np.nan
    return {
        "not audio": (text, "not a sound file"),
        "a directory": (folder, "not a file"),
        "of 0 bytes": (empty, "empty: it has 0 bytes"),
        "without samples": (written(folder / "none.wav", np.zeros(0)), "holds no samples"),
        "silent": (written(folder / "silent.wav", np.zeros(RATE)), r"silent: its peak is 0"),
        "next to silent": (written(folder / "soft.wav", tone(amplitude=1e-5), subtype="FLOAT"), "-100 dBFS"),
        "clipped": (written(folder / "loud.wav", tone(amplitude=3.0)), "clipped"),
        "one channel clipped": (
            written(folder / "half.wav", np.stack([tone(amplitude=3.0), tone()], 1)),
            "clipped",
        ),
        "too short": (written(folder / "click.wav", tone(0.005)), "too short: 5 ms"),
        "too long": (written(folder / "long.wav", np.ones(601 * 100), 100), "too long: 10 minutes"),
        "NaN": (
            written(folder / "nan.wav", with_nan, subtype="FLOAT"),
            r"1 samples that are NaN .* at 0.1000 s",
        ),
        "a constant offset": (
            written(folder / "dc.wav", np.full(RATE, 0.5)),
            "a constant offset of 0.5 and nothing",
        ),
        "an offset with rounding": (
            written(folder / "dither.wav", 0.25 + 1e-5 * np.random.default_rng(0).standard_normal(RATE)),
            "a constant offset of 0.25 and nothing else",
        ),
        "raw samples": (
            raw(folder / "sound.raw"),
            "raw samples, whose sampling rate and format are not known",
        ),
        "cancelling": (written(folder / "phase.wav", np.stack([tone(), -tone()], 1)), "cancel each other"),
    }


def test_bad_files_are_refused_by_name_and_reason(tmp_path) -> None:
    for label, (path, message) in bad_files(tmp_path).items():
        with pytest.raises(ValueError, match=message) as caught:
            load_recording(path)
        assert str(path) in str(caught.value), label


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no sound file at .*gone\.wav"):
        load_recording(tmp_path / "gone.wav")


def test_clipping_can_be_allowed(tmp_path) -> None:
    path = written(tmp_path / "loud.wav", tone(amplitude=3.0))
    assert "It is clipped." in load_recording(path, allow_clipped=True).notes


@pytest.mark.parametrize("frequency", [40.0, 440.0, 2000.0])
def test_a_sinusoid_at_full_scale_is_not_clipped(tmp_path, frequency) -> None:
    load_recording(
        written(tmp_path / "a.wav", tone(frequency=frequency, rate=44100, amplitude=0.9999), 44100)
    )


def test_samples_need_a_shape_and_a_rate() -> None:
    with pytest.raises(ValueError, match=r"shape \(n,\) or \(n, channels\), got \(2, 3, 4\)"):
        as_recording(np.ones((2, 3, 4)), RATE)
    with pytest.raises(ValueError, match="sampling rate in Hz must be a finite number above 0, got 0"):
        as_recording(tone(), 0)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 96000])
def test_resampling_keeps_pitch_and_level(rate) -> None:
    x, notes, _ = fit_recording(Recording(tone(1.0, rate=rate), float(rate)), 8192.0, 8192)
    spectrum = np.abs(np.fft.rfft(x.numpy()[1024:-1024] * np.hanning(6144), 8192))
    assert int(spectrum.argmax()) == 440
    assert x.numpy()[1024:-1024].std() == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    assert notes == (f"It was resampled from {rate} Hz to 8192 Hz.",)


def test_what_lies_above_the_nyquist_frequency_is_refused() -> None:
    with pytest.raises(ValueError, match="next to nothing below 500 Hz"):
        fit_recording(Recording(tone(frequency=3000.0), RATE), 1000.0, 1000)


@pytest.mark.parametrize("silence", [0, 100, 4321])
@pytest.mark.parametrize("level", [1.0, 0.01])
def test_the_onset_is_moved_to_its_place(silence, level) -> None:
    struck = level * np.exp(-np.arange(2000) / 300) * np.cos(0.3 * np.arange(2000))
    x = fit_recording(
        Recording(np.concatenate([np.zeros(silence), struck]), RATE), RATE, 1500, onset=50
    ).samples
    expected = np.concatenate([np.zeros(50), struck])[:1500]
    # All but the fade at the end.
    assert np.array_equal(x.numpy()[:1400], expected[:1400])


def test_a_long_recording_is_cut_with_a_fade_and_a_note() -> None:
    x, (note,), window = fit_recording(Recording(tone(2.0), RATE), RATE, RATE)
    assert window is not None
    assert np.array_equal(x.numpy(), tone(2.0)[:RATE] * window.numpy())
    assert np.array_equal(window[: RATE - 80], torch.ones(RATE - 80))
    assert (window.diff() <= 0).all()
    assert abs(float(window[-1])) < 1e-6
    assert note == "It was cut from 2 s to the synthesizer's 1 s; 50 % of its energy was in what is left out."


@pytest.mark.parametrize("end", [1e-4, 3e-4])
def test_a_short_recording_that_has_died_away_is_padded_with_silence(end: float) -> None:
    struck = tone(0.5) * np.geomspace(1.0, end, 4000)
    x, notes, window = fit_recording(Recording(struck, RATE), RATE, RATE)
    assert np.array_equal(x.numpy(), np.concatenate([struck, np.zeros(4000)]))
    assert notes == ()
    assert window is None


@pytest.mark.parametrize("end", [1.0, 0.1, 3e-3])
def test_a_short_recording_that_rings_at_its_end_was_cut(end: float) -> None:
    struck = tone(0.5) * np.geomspace(1.0, end, 4000)
    x, (note,), window = fit_recording(Recording(struck, RATE), RATE, RATE)
    assert np.array_equal(x.numpy(), np.concatenate([struck, np.zeros(4000)]))
    assert window is not None
    assert np.array_equal(window.numpy(), np.repeat([1.0, 0.0], 4000))
    assert note == (
        "It stops while it rings, after 0.5 s: the synthesizer's sounds are compared with it up to there."
    )


@pytest.mark.parametrize("silence", [1, 500, 9000])
def test_a_recording_that_was_cut_and_padded_was_cut(silence: int) -> None:
    padded = Recording(np.concatenate([tone(0.5), np.zeros(silence)]), RATE)
    x, notes, window = fit_recording(padded, RATE, RATE)
    assert window is not None
    # The last samples of a tone may be next to nothing.
    assert 3990 <= int(window.sum()) <= 4000
    assert np.array_equal(x.numpy()[:3990], tone(0.5)[:3990])
    assert notes[0].startswith("It stops while it rings, after 0.5 s")
    # A synthesizer whose own sounds stop may have made it as it is.
    whole, _, kept = fit_recording(padded, RATE, RATE, stops=True)
    assert (kept is None) == (len(padded.samples) <= RATE)
    assert not whole[4000:].any()


def test_a_cut_just_before_the_end_of_a_long_recording_is_faded_too() -> None:
    late = np.concatenate([tone(1.0)[:7960], np.zeros(2000)])
    x, _, window = fit_recording(Recording(late, RATE), RATE, RATE)
    assert window is not None
    assert np.array_equal(x.numpy(), late[:RATE] * window.numpy())
    assert 0 < float(window[7955]) < 1
    assert not window[7960:].any()


def test_nothing_is_left_after_a_cut() -> None:
    dither = 1e-7 * np.random.default_rng(3).normal(size=4000)
    x, _, window = fit_recording(Recording(np.concatenate([tone(0.5), dither]), RATE), RATE, RATE)
    assert window is not None
    assert not x[4001:].any()


@pytest.mark.parametrize(("bits", "peak", "seconds"), [(16, 0.3, 0.003), (16, 0.01, 0.1), (8, 1.0, 0.1)])
def test_sounds_that_die_away_into_rounding_do_not_stop(bits: int, peak: float, seconds: float) -> None:
    t = np.arange(2 * RATE) / RATE
    x = np.round(peak * np.exp(-t / seconds) * np.sin(2 * np.pi * 440 * t) * 2 ** (bits - 1)) / 2 ** (
        bits - 1
    )
    assert not x[-RATE // 2 :].any()
    assert not stops_ringing(x, RATE)
    assert fit_recording(Recording(x, RATE), RATE, 2 * RATE).window is None


@pytest.mark.parametrize("seconds", [0.0005, 0.001, 0.0015])
def test_a_dry_click_does_not_stop(seconds: float) -> None:
    t = np.arange(RATE) / RATE
    assert not stops_ringing(np.exp(-t / seconds) * np.cos(2 * np.pi * 1000 * t), RATE)


def test_a_zero_crossing_at_the_end_is_no_silence() -> None:
    assert fit_recording(Recording(np.append(tone(1.0)[:-1], 0.0), RATE), RATE, RATE).window is None


def test_sounds_that_stop_are_told_from_those_that_die_away() -> None:
    silence = np.zeros(100)
    assert stops_ringing(np.concatenate([tone(0.5), silence]), RATE)
    assert not stops_ringing(np.concatenate([tone(0.5) * np.geomspace(1, 1e-4, 4000), silence]), RATE)
    assert not stops_ringing(tone(0.5), RATE)
    assert not stops_ringing(silence, RATE)


@pytest.mark.parametrize("length", [RATE, 2 * RATE, RATE // 2])
def test_the_window_is_what_has_been_done_to_the_end(length: int) -> None:
    x, _, window = fit_recording(Recording(np.ones(length), RATE), RATE, RATE)
    assert np.array_equal(x, torch.ones(RATE) if window is None else window)
    assert (window is None) == (length == RATE)


@pytest.mark.parametrize("offset", [0.05, -0.2])
@pytest.mark.parametrize("seconds", [0.03, 0.5])
def test_a_constant_offset_is_removed_and_mentioned(offset: float, seconds: float) -> None:
    # A short, low sound, whose own mean is far from zero: what is left is the sound and not its mean.
    t = np.arange(RATE) / RATE
    struck = np.where(t > 0.1, np.exp(-(t - 0.1) / seconds) * np.sin(2 * np.pi * 40 * (t - 0.1)), 0.0)
    assert abs(struck.mean()) > 1e-4
    read = as_recording(struck + offset, RATE)
    assert np.abs(read.samples - struck).max() < 2e-3
    assert read.notes == (f"A constant offset of {offset:.3g} was removed.",)
    clean = as_recording(struck, RATE)
    assert np.abs(clean.samples - struck).max() < 2e-3


def test_the_offset_of_a_sustained_sound_is_its_mean() -> None:
    read = as_recording(tone() + 0.1, RATE)
    assert np.abs(read.samples - tone()).max() < 1e-3


@pytest.mark.parametrize("hertz", [50.0, 63.0, 81.0, 147.0])
def test_a_sound_that_is_cut_while_it_rings_has_no_offset(hertz: float) -> None:
    seconds = np.arange(round(0.37 * RATE)) / RATE
    ringing = np.exp(-seconds / 0.2) * np.sin(2 * np.pi * hertz * seconds)
    read = as_recording(ringing, RATE)
    assert read.notes == ()
    assert np.array_equal(read.samples, ringing)


def test_an_offset_moves_no_onset() -> None:
    struck = np.exp(-np.arange(2000) / 300) * np.cos(0.3 * np.arange(2000))
    late = np.concatenate([np.zeros(900), struck])
    here, there = (
        fit_recording(as_recording(x, RATE), RATE, 1500, onset=50).samples for x in (late, late + 0.1)
    )
    assert np.abs(here.numpy() - there.numpy())[:1400].max() < 1e-3
