"""Kymatio's side of the benchmark: a program of its own, for the interpreter of an environment that has Kymatio.

It imports nothing of this package. Each line on standard input is a request in JSON, each line on standard output its
answer; signals and results go through .npy files. Times leave out reading and writing them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any, TextIO

import numpy as np
import torch


class Worker:
    """A scattering transform of Kymatio, in both precisions."""

    def __init__(self) -> None:
        # scrapl-loss carries the development version of Kymatio, and puts it on the path when it is imported.
        # importlib, because this package itself must never import Kymatio's frontends.
        importlib.import_module("scrapl")
        self.kind: Any = importlib.import_module("kymatio.torch").TimeFrequencyScattering
        self.transforms: dict[str, Any] = {}
        self.scrapl_losses: dict[str, Any] = {}
        self.clock = time.perf_counter

    def build(
        self, settings: dict[str, Any], threads: int, clock: str = time.perf_counter.__name__
    ) -> dict[str, Any]:
        """Make the transform anew; `clock` is the function of `time` that later calls are timed by."""
        torch.set_num_threads(threads)
        self.clock = getattr(time, clock)
        settings["Q"] = tuple(settings["Q"])
        options = {**settings, "out_type": "array", "format": "time"}
        self.transforms = {"float32": self.kind(**options), "float64": self.kind(**options).double()}
        return {"torch": torch.__version__, "numpy": np.__version__, "python": sys.version.split()[0]}

    def forward(self, x: str, out: str | None = None, dtype: str = "float32") -> dict[str, Any]:
        """Coefficients of one sound."""
        signal = self._load(x, dtype)
        with torch.no_grad():
            started = self.clock()
            S = self.transforms[dtype](signal)
            seconds = self.clock() - started
        self._save(S, out)
        return {"seconds": seconds}

    def gradient(
        self, x: str, weights: str, out: str | None = None, dtype: str = "float32"
    ) -> dict[str, Any]:
        """Forward and backward: gradient of a weighted sum of the coefficients."""
        signal, v = self._load(x, dtype).requires_grad_(), self._load(weights, dtype)
        started = self.clock()
        S = self.transforms[dtype](signal)
        (S.reshape(-1) * v.reshape(-1)).sum().backward()
        seconds = self.clock() - started
        self._save(signal.grad, out)
        return {"seconds": seconds}

    def finite_differences(
        self, x: str, dx: str, step: float, out: str, dtype: str = "float32"
    ) -> dict[str, Any]:
        """Jacobian by central differences, two forwards a tangent; `step` is relative to the norms."""
        signal, tangents = self._load(x, dtype), self._load(dx, dtype)
        columns = []
        with torch.no_grad():
            started = self.clock()
            for tangent in tangents[0]:
                h = step * float(signal.norm() / tangent.norm())
                up, down = (self.transforms[dtype](signal + s * h * tangent) for s in (1, -1))
                columns.append((up - down) / (2 * h))
            seconds = self.clock() - started
        self._save(torch.stack(columns, dim=1), out)
        return {"seconds": seconds}

    def scrapl(self, x: str, target: str, settings: dict[str, Any], path: int, out: str) -> dict[str, Any]:
        """Gradient of the SCRAPL loss of a batch along one path, as its README says to use it."""
        key = json.dumps(settings, sort_keys=True)
        if key not in self.scrapl_losses:
            self.scrapl_losses[key] = importlib.import_module("scrapl").SCRAPLLoss(**settings)
        loss = self.scrapl_losses[key]
        signal, other = self._load(x, "float32").requires_grad_(), self._load(target, "float32")
        started = self.clock()
        loss(signal.unsqueeze(1), other.unsqueeze(1), path_idx=path % loss.n_paths).backward()
        seconds = self.clock() - started
        self._save(signal.grad, out)
        return {"seconds": seconds, "paths": loss.n_paths}

    @staticmethod
    def _load(path: str, dtype: str) -> torch.Tensor:
        return torch.from_numpy(np.load(path)).to(getattr(torch, dtype))

    @staticmethod
    def _save(result: torch.Tensor | None, path: str | None) -> None:
        if result is not None and path is not None:
            np.save(path, result.detach().numpy())


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until there are no more."""
    worker: Worker | None = None
    for line in requests:
        request = json.loads(line)
        try:
            worker = worker or Worker()
            answer = getattr(worker, request.pop("operation"))(**request)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here is reported by the parent
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    # Answers keep standard output to themselves: what libraries print goes to standard error.
    with os.fdopen(os.dup(1), "w") as channel:
        os.dup2(2, 1)
        serve(sys.stdin, channel)
