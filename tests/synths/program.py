"""An external synthesizer for tests: a decaying tone, written as a WAV file, with its ways to go wrong.

It needs the standard library alone: tests start it hundreds of times.
"""

import math
import struct
import sys
import time
import wave


def main() -> None:
    output, f0, decay, mode = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    # "MODE@X" goes wrong for decays above X alone.
    mode, _, above = mode.partition("@")
    if above and decay <= float(above):
        mode = "plain"
    times = [k / 8000 for k in range(2000)]
    x = [0.5 * math.exp(-t / decay) * math.sin(2 * math.pi * f0 * t) for t in times]
    if mode == "fail":
        sys.exit("error: no such instrument")
    if mode == "hang":
        time.sleep(60)
    if mode == "garbage":
        with open(output, "w") as file:  # noqa: PTH123  (pathlib takes as long to import as all of the rest)
            file.write("Csound version 6")
        return
    if mode == "nothing":
        return
    if mode == "short":
        x = x[:-1]
    if mode == "clipped":
        x = [min(max(4 * value, -1), 1 - 2**-15) for value in x]
    if mode == "stereo":
        x = [value for value in x for _ in range(2)]
    with wave.open(output, "wb") as file:
        file.setnchannels(2 if mode == "stereo" else 1)
        file.setsampwidth(2)
        file.setframerate(4000 if mode == "slow" else 8000)
        file.writeframes(struct.pack(f"<{len(x)}h", *(round(value * 2**15) for value in x)))


if __name__ == "__main__":
    main()
