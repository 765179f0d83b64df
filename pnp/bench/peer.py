"""Another implementation, in an environment of its own, as a process that answers one request at a time."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

# scrapl-loss carries the development version of Kymatio, the first with joint time-frequency scattering.
INSTALL = 'python -m venv DIR && DIR/bin/pip install torch scrapl-loss "scipy<1.17"'
VARIABLE = "PNP_PEER_PYTHON"


class Peer:
    """Kymatio in a process of its own. A context manager.

    Args:
        python: Interpreter of an environment with Kymatio's development version.

    Raises:
        FileNotFoundError: If there is no such interpreter.
    """

    def __init__(self, python: str | os.PathLike[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pnp-bench-")
        self._count = 0
        try:
            self._process = subprocess.Popen(
                [os.fspath(python), str(Path(__file__).with_name("kymatio_worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            self._folder.cleanup()
            raise FileNotFoundError(
                f"no Python interpreter at {os.fspath(python)!r} for the peer; make its environment with: {INSTALL}"
            ) from error

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and remove what was exchanged."""
        # Closes its standard input, at which it ends by itself.
        self._process.communicate()
        self._folder.cleanup()

    def store(self, signal: Tensor) -> str:
        """Put a tensor where the peer can read it; its path."""
        path = self._path()
        np.save(path, signal.detach().cpu().numpy())
        return path

    def request(self, operation: str, **fields: Any) -> dict[str, Any]:
        """Ask for one operation of `kymatio_worker.Worker`, and wait for its answer.

        Raises:
            RuntimeError: If it fails there.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps({"operation": operation, **fields}) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            _, errors = self._process.communicate()
            raise RuntimeError(f"the peer ended without an answer: {errors.strip()[-500:] or 'no message'}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"the peer failed ({answer['error']}); make its environment with: {INSTALL}")
        return answer

    def result(self, operation: str, **fields: Any) -> tuple[float, Tensor]:
        """Ask for an operation; its time in seconds, and its result."""
        out = self._path()
        seconds = self.request(operation, out=out, **fields)["seconds"]
        return float(seconds), torch.from_numpy(np.load(out))

    def _path(self) -> str:
        self._count += 1
        return str(Path(self._folder.name) / f"{self._count}.npy")
