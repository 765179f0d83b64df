"""The WAV reader against SciPy's, and against garbage."""

import numpy as np
import pytest
from scipy.io import wavfile

from pnp.synths.wav import read_wav


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
def test_it_reads_what_scipy_writes(tmp_path, dtype, channels):
    x = 0.9 * np.sin(np.arange(200)).reshape(-1, channels)
    scale = 1.0 if dtype.startswith("float") else 2.0 ** (np.dtype(dtype).itemsize * 8 - 1)
    wavfile.write(tmp_path / "x.wav", 8000, (scale * x).astype(dtype))
    samples, rate = read_wav(tmp_path / "x.wav")
    assert rate == 8000
    assert samples.dtype == np.float64
    np.testing.assert_allclose(samples, x, atol=1.0 / scale if scale > 1 else 1e-7)


def test_it_reads_24_bits_as_scipy_does(tmp_path):
    values = [-(2**23), -1, 0, 1, 2**23 - 1]
    body = b"".join(value.to_bytes(3, "little", signed=True) for value in values) + b"\0"
    header = b"fmt " + np.array([16], "<u4").tobytes() + np.array([1, 1], "<u2").tobytes()
    header += np.array([8000, 24000], "<u4").tobytes() + np.array([3, 24], "<u2").tobytes()
    data = b"LIST\4\0\0\0abcd" + header + b"data" + np.array([15], "<u4").tobytes() + body
    (tmp_path / "x.wav").write_bytes(b"RIFF" + np.array([4 + len(data)], "<u4").tobytes() + b"WAVE" + data)
    samples, rate = read_wav(tmp_path / "x.wav")
    assert rate == 8000
    assert (samples[:, 0] * 2**23).tolist() == values


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a WAV file"),
        (b"Traceback (most recent call last):", "not a WAV file: it begins with b'Traceback"),
        (b"RIFF\0\0\0\0WAVE", "without format"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0", "without format"),
    ],
)
def test_garbage_is_named(tmp_path, data, message):
    (tmp_path / "x.wav").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_wav(tmp_path / "x.wav")


def test_a_truncated_file_gives_the_samples_that_are_there(tmp_path):
    wavfile.write(tmp_path / "x.wav", 8000, np.arange(100, dtype="int16"))
    whole = (tmp_path / "x.wav").read_bytes()
    (tmp_path / "x.wav").write_bytes(whole[:-101])
    assert len(read_wav(tmp_path / "x.wav")[0]) == 49


def test_an_unknown_encoding_is_named(tmp_path):
    wavfile.write(tmp_path / "x.wav", 8000, np.zeros(10, "uint8"))
    with pytest.raises(ValueError, match="type PCM_U8, expected integers of 16"):
        read_wav(tmp_path / "x.wav")
