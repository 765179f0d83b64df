"""External programs that talk too much, leave children behind, or write what is no sound file."""

import keyword
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import ToySynth

from pnp.errors import SynthesisError
from pnp.parameters import Parameter, ParameterSpace
from pnp.synths.black_box import BlackBox
from pnp.synths.command import CommandLine
from pnp.synths.with_gain import WithGain

SAMPLES = np.round(1e4 * np.sin(np.arange(200.0))).astype("<i2")


def wav(claimed: int | None = None) -> bytes:
    """A sound file whose header claims some number of bytes of samples."""
    data = SAMPLES.tobytes()
    size = len(data) if claimed is None else claimed
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", min(36 + size, 2**32 - 1), b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16
    )
    return head + struct.pack("<4sI", b"data", size) + data


def shell(script: str, folder: Path, timeout: float = 30.0) -> CommandLine:
    """A program that is a line of the shell: $1 is the file to write, $2 a right one."""
    (folder / "right.wav").write_bytes(wav())
    command = ["sh", "-c", script, "program", "{output}", str(folder / "right.wav"), "{f0}"]
    return CommandLine(command, ("f0",), 8000.0, timeout, most_bytes=1 << 20)


@pytest.mark.parametrize(
    "script",
    [
        "head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2; cp $2 $1",
        # Children that outlive the program and hold its output: silent, and talking without end.
        "sleep 300 & cp $2 $1",
        "(while :; do echo more; done) & cp $2 $1",
        # A program that closes its output long before it ends.
        "exec >&- 2>&-; sleep 0.1; cp $2 $1",
    ],
    ids=["flood", "child", "talking child", "closed"],
)
def test_what_a_program_says_and_leaves_running_does_not_hold_it_up(script, tmp_path):
    np.testing.assert_array_equal(shell(script, tmp_path)(f0=1.0), SAMPLES / 2**15)


def test_children_that_hold_the_output_are_stopped_with_the_program(tmp_path):
    shell(f"sh -c 'echo $$ > {tmp_path}/pid; sleep 300' & cp $2 $1; sleep 0.2", tmp_path)(f0=1.0)
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes():
            return  # gone, or a corpse that nobody has collected
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("the child still runs")


def test_the_last_line_of_a_flood_is_the_reason_of_a_failure(tmp_path):
    with pytest.raises(SynthesisError, match="status 3, saying: no such instrument"):
        shell("seq 1000000; echo no such instrument; exit 3", tmp_path)(f0=1.0)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("mkfifo $1", "made something else than a file of {output}"),
        ("ln -s /dev/zero $1", "made something else than a file of {output}"),
        ("mkdir $1", "made something else than a file of {output}"),
        ("truncate -s 3000000000 $1", "wrote 3,000 MB, expected a sound that takes at most 1 MB"),
    ],
)
def test_what_is_no_sound_file_is_not_opened(script, message, tmp_path):
    with pytest.raises(SynthesisError, match=message):
        shell(script, tmp_path)(f0=1.0)


def test_a_header_that_claims_four_gigabytes_gives_the_samples_that_are_there(tmp_path):
    (tmp_path / "claim.wav").write_bytes(wav(claimed=2**32 - 1))
    samples = shell(f"cp {tmp_path}/claim.wav $1", tmp_path)(f0=1.0)
    np.testing.assert_array_equal(samples, SAMPLES / 2**15)


NAMES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(
                    "self",
                    "out",
                    "u",
                    "x",
                    "output",
                    "output_file",
                    "output_file_2",
                    "gain",
                    "gain_2",
                    "note",
                    "theta",
                ),
                *(
                    "synth",
                    "program",
                    "parameters",
                    "args",
                    "kwargs",
                    "name",
                    "cls",
                    "folder",
                    "value",
                    "values",
                ),
                *keyword.kwlist,
            ]
        ),
        st.from_regex(r"\A[a-zA-Z_][a-zA-Z0-9_]{0,8}\Z"),
    ),
    min_size=1,
    max_size=6,
    unique=True,
)


@given(names=NAMES)
@settings(deadline=None, max_examples=40)
def test_no_name_of_a_parameter_collides_with_a_name_inside(names):
    space = ParameterSpace([Parameter(name, 0.0, 1.0) for name in names])
    taken = "output" in names
    file = next(name for name in ("output_file", "output_file_2", "output_file_3") if name not in names)
    file = file if taken else "output"
    command = ["voice", *(f"--{name}={{{name}}}" for name in names), f"{{{file}}}"]
    box = BlackBox(command, space, 8000, len(SAMPLES))
    seen: list[list[str]] = []

    def run(arguments: list[str]) -> None:
        seen.append(arguments)
        Path(arguments[-1]).write_bytes(wav())

    box.program._run = run
    theta = space.from_unit(torch.linspace(-0.9, 0.7, len(names), dtype=torch.float64)[None])
    np.testing.assert_array_equal(box(theta)[0], SAMPLES / 2**15)
    given_values = [f"--{name}={value!r}" for name, value in zip(names, theta[0].tolist(), strict=True)]
    assert seen[0][1:-1] == given_values

    def function(**parameters: float) -> np.ndarray:
        return SAMPLES[: len(parameters)].astype(float)

    assert BlackBox(function, space, 8000, len(names))(theta).shape == (1, len(names))

    synth = ToySynth()
    synth.space = space
    louder = WithGain(synth, 0.5, 2.0).space
    assert louder.names[:-1] == tuple(names)
    assert louder.names[-1].startswith("gain")
