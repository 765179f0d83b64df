"""Progress of a run, as whoever waits for it sees it."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from pnp._progress import Bar, ticking

# Its derivatives come in one long call, in which nothing can be counted.
SLOW = """
import sys, time, torch
from pnp.parameters import Parameter, ParameterSpace

class Slow(torch.nn.Module):
    sample_rate, n_samples = 1000.0, 512
    space = ParameterSpace([Parameter(f"p{k}", 0.0, 1.0) for k in range(80)])

    def __init__(self):
        super().__init__()
        waves = torch.sin(torch.outer(torch.arange(1.0, 81), torch.arange(512.0)) * 0.03)
        self.register_buffer("waves", waves)
        print("made", file=sys.stderr, flush=True)

    def forward(self, theta):
        return (1 + theta) @ self.waves.to(theta)

    def value_and_tangents(self, theta):
        time.sleep(SECONDS)
        return self(theta), self.waves.to(theta).expand(len(theta), -1, -1)
"""


def signs(folder: Path, seconds: float, until: str, *, terminal: bool) -> list[tuple[float, str]]:
    """What `pnp precompute` writes to standard error, with the seconds since the synthesizer was made."""
    (folder / "slow.py").write_text(SLOW.replace("SECONDS", str(seconds)))
    argv = [sys.executable, "-m", "pnp", "precompute", "--synth", f"{folder / 'slow.py'}:Slow"]
    argv += ["--size", "4", "--block", "2", "--J", "6", "--out", str(folder / "slow.h5")]
    reading, writing = os.openpty() if terminal else os.pipe()
    if terminal:
        # One without a width gets no bars.
        fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    found, made = list[tuple[float, str]](), None
    with subprocess.Popen(argv, stderr=writing, stdout=subprocess.DEVNULL) as process:
        os.close(writing)
        try:
            while not any(until in text for _, text in found):
                try:
                    text = os.read(reading, 1 << 16).decode()
                except OSError:  # how a terminal ends
                    break
                if not text:
                    break
                if made is None and "made" in text:
                    made = time.monotonic()
                    text = text.partition("made")[2]
                if made is not None and text.strip():
                    found.append((time.monotonic() - made, text))
        finally:
            process.kill()
            os.close(reading)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "log"])
def test_whoever_waits_sees_a_named_stage_within_five_seconds_however_many_parameters(
    tmp_path: Path, terminal: bool
) -> None:
    found = signs(tmp_path, 12.0, "computing a first sound", terminal=terminal)
    seen = "".join(text for _, text in found)
    first = next(when for when, text in found if "checking the synthesizer" in text)
    assert first < 5.0
    # The clock goes on in a call of twelve seconds, and then parameters are counted.
    clock = re.findall(r"checking derivatives of the synthesizer \[(\d\d:\d\d)\]", seen)
    assert len(set(clock)) >= (5 if terminal else 2)
    assert re.search(r"parameters: +\d+%.* \d+/80 ", seen)
    assert "computing a first sound" in seen


def test_a_clock_goes_on_while_one_step_takes_long(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("pnp._progress._IN_A_LOG", 0.01)
    with Bar(total=1, bar_format="at {elapsed}, {n}") as bar, ticking(bar):
        seen = ""
        for _ in range(500):
            time.sleep(0.01)
            seen += capsys.readouterr().err
            if seen.count("at 00:0") >= 4:
                break
        else:
            raise AssertionError("the clock stands still")
        assert bar.n == 0
    with Bar(total=1, disable=True) as silent, ticking(silent):
        pass
