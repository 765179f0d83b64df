"""External program that writes a sound file."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import string
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from pnp._naming import free_name
from pnp.errors import SynthesisError
from pnp.synths.clipping import is_clipped
from pnp.synths.wav import read_wav

__all__ = ["CommandLine"]

# Bytes of the end of what a program says.
_KEPT = 1 << 16
# Seconds after which a program is looked at that says nothing and has not closed its output.
_GLANCE = 0.05


class CommandLine:
    """Program on the command line, as a function of its parameters.

    Args:
        arguments: The command and its arguments. `{name}` stands for the value of parameter `name` and
            `{output}` for the WAV file to write, or `{output_file}` where a parameter is named so; other braces are
            doubled. There is no shell in between.
        names: Parameters that the arguments must mention.
        sample_rate: Sampling rate in Hz that the file must have.
        timeout: Seconds after which the program is stopped.
        most_bytes: Size of the largest file that is read.

    Raises:
        ValueError: If the arguments lack or add a placeholder.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        names: Sequence[str],
        sample_rate: float,
        timeout: float,
        most_bytes: int,
    ) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self.names = tuple(names)
        self.sample_rate = sample_rate
        self.timeout = timeout
        self.most_bytes = most_bytes
        self._file = free_name("output_file", names) if "output" in names else "output"
        expected = {*names, self._file}
        parsed = (part for text in self.arguments for part in string.Formatter().parse(text))
        found = {field for _, field, _, _ in parsed if field is not None}
        for name in sorted(expected ^ found):
            problem = "lacks the placeholder" if name in expected else "has an unknown placeholder"
            raise ValueError(
                f"the command {' '.join(self.arguments)!r} {problem} {{{name}}}; it needs each of "
                f"{', '.join('{' + known + '}' for known in (*names, self._file))}"
            )

    def __call__(self, /, **parameters: float | str) -> np.ndarray:
        """Run the program once.

        What it says is read and forgotten but for the end. Children that it leaves behind with its output are stopped.

        Args:
            **parameters: Value of each parameter.

        Returns:
            Samples, float64.

        Raises:
            SynthesisError: If the program fails, hangs, or writes no readable mono file at the sampling rate, or one
                that is clipped.
        """
        with tempfile.TemporaryDirectory(prefix="pnp-") as folder:
            output = Path(folder) / "sound.wav"
            # Every digit of a float64, so that steps of finite differences arrive.
            values = {
                name: repr(float(value)) if isinstance(value, float) else str(value)
                for name, value in parameters.items()
            }
            values[self._file] = str(output)
            self._run([argument.format_map(values) for argument in self.arguments])
            if not output.is_file():
                found = "made something else than a file of" if os.path.lexists(output) else "did not write"
                raise SynthesisError(f"{self._label} ended well but {found} {{{self._file}}}")
            size = output.stat().st_size
            if size > self.most_bytes:
                raise SynthesisError(
                    f"{self._label} wrote {size / 1e6:,.0f} MB, expected a sound that takes at most "
                    f"{self.most_bytes / 1e6:,.0f} MB"
                )
            try:
                samples, rate = read_wav(output)
            except ValueError as error:
                raise SynthesisError(f"{self._label} wrote garbage: {error}") from error
        if samples.shape[1] != 1:
            raise SynthesisError(f"{self._label} wrote {samples.shape[1]} channels, expected 1")
        if rate != self.sample_rate:
            raise SynthesisError(f"{self._label} wrote {rate} Hz, expected {self.sample_rate:g} Hz")
        if is_clipped(samples[:, 0]):
            raise SynthesisError(f"{self._label} wrote a clipped sound, flat at full scale; lower its gain")
        return samples[:, 0]

    @property
    def _label(self) -> str:
        # Its folder is left out: reasons of failures have room for a sentence.
        return f"the program {PurePath(self.arguments[0]).name!r}"

    def _run(self, arguments: list[str]) -> None:
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise SynthesisError(
                f"the program {self.arguments[0]!r} cannot be started: {error.strerror}"
            ) from error
        with process:
            try:
                said = _last_words(process, self.timeout)
            except BaseException as error:
                _stop_session(process)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise SynthesisError(f"{self._label} was stopped after {self.timeout:g} s") from error
                raise
        if process.returncode != 0:
            last = said.decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            raise SynthesisError(f"{self._label} failed with status {process.returncode}, saying: {last[0]}")


def _last_words(process: subprocess.Popen[bytes], timeout: float) -> bytes:
    """Wait for a program to end; return the end of what it said.

    Args:
        process: The program, with a pipe for its output.
        timeout: Seconds to wait.

    Raises:
        TimeoutExpired: If it has not ended by then.
    """
    assert process.stdout is not None
    pipe, said, deadline = process.stdout.fileno(), b"", time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            ended = process.poll() is not None
            if selector.select(0 if ended else min(left, _GLANCE)):
                chunk = os.read(pipe, _KEPT)
                said = (said + chunk)[-_KEPT:]
                if not chunk:
                    process.wait(max(0.0, deadline - time.monotonic()))
                    return said
            if ended:
                # Children of the program hold the pipe.
                _stop_session(process)
                return said
    raise subprocess.TimeoutExpired(process.args, timeout)


def _stop_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a program with the processes that it has started: they share its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
