"""Program that each process makes for itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["PerProcess"]


class PerProcess:
    """Program whose engine cannot be copied: each process makes its own, once.

    An engine in C++, a compiled Faust program or an open device cannot be sent to worker processes; a function that
    makes one can.

    Args:
        make: Function without arguments that returns the program, a function of named parameters.

    Examples:
        >>> import numpy as np
        >>> def engine():
        ...     t = np.arange(4000) / 8000  # compiled, loaded or opened here
        ...     return lambda f0: np.sin(2 * np.pi * f0 * t)
        >>> PerProcess(engine)(f0=100.0).shape
        (4000,)
    """

    def __init__(self, make: Callable[[], Callable[..., Any]]) -> None:
        self.make = make
        self._program: Callable[..., Any] | None = None
        self._process = -1
        self._lock = threading.Lock()

    @property
    def __name__(self) -> str:
        return getattr(self.make, "__name__", type(self.make).__name__)

    def __call__(self, **parameters: Any) -> Any:
        """Return the samples of one sound.

        Args:
            **parameters: Value of each parameter.

        Returns:
            Samples.
        """
        with self._lock:
            # A fork inherits the engine of its parent, whose threads it lacks.
            if self._program is None or self._process != os.getpid():
                self._program, self._process = self.make(), os.getpid()
        return self._program(**parameters)

    def __getstate__(self) -> dict[str, Any]:
        return {"make": self.make}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["make"])  # type: ignore[misc]
