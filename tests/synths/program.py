"""An external synthesizer for tests: a decaying tone, written as a WAV file, with its ways to go wrong."""

import sys
import time
import wave
from pathlib import Path

import numpy as np


def main() -> None:
    output, f0, decay, mode = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    # "MODE@X" goes wrong for decays above X alone.
    mode, _, above = mode.partition("@")
    if above and decay <= float(above):
        mode = "plain"
    t = np.arange(2000) / 8000
    x = 0.5 * np.exp(-t / decay) * np.sin(2 * np.pi * f0 * t)
    if mode == "fail":
        sys.exit("error: no such instrument")
    if mode == "hang":
        time.sleep(60)
    if mode == "garbage":
        Path(output).write_text("Csound version 6")
        return
    if mode == "nothing":
        return
    if mode == "short":
        x = x[:-1]
    if mode == "clipped":
        x = np.clip(4 * x, -1, 1 - 2**-15)
    if mode == "stereo":
        x = np.repeat(x, 2)
    with wave.open(output, "wb") as file:
        file.setnchannels(2 if mode == "stereo" else 1)
        file.setsampwidth(2)
        file.setframerate(4000 if mode == "slow" else 8000)
        file.writeframes(np.round(x * 2**15).astype("<i2").tobytes())


if __name__ == "__main__":
    main()
