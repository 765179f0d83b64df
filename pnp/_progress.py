"""Progress bars that no other process can block, and whose clock goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm
from tqdm.std import TqdmDefaultWriteLock  # type: ignore[attr-defined, unused-ignore]

__all__ = ["Bar", "ticking"]

# Seconds between two looks at the clock: a log keeps each of them.
_ON_A_TERMINAL, _IN_A_LOG = 1.0, 10.0


class Bar(tqdm):  # type: ignore[type-arg, unused-ignore]
    """Progress bar of tqdm, whose lock is one of threads alone.

    tqdm guards its output by a second lock, which a process shares with all that fork from it. One of them that is
    killed while it holds that lock leaves the others waiting forever, even where no bar is shown.
    """


Bar.set_lock(TqdmDefaultWriteLock.th_lock)


@contextmanager
def ticking(bar: Any) -> Iterator[None]:
    """Draw a bar again and again, so that its clock goes on while one step takes long.

    Args:
        bar: The bar.

    Yields:
        Nothing.
    """
    if bar.disable:
        yield
        return
    done = threading.Event()
    every = _ON_A_TERMINAL if bar.fp.isatty() else _IN_A_LOG

    def tick() -> None:
        while not done.wait(every):
            bar.refresh()

    thread = threading.Thread(target=tick, name="pnp-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
