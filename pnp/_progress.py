"""Progress bars that no other process can block."""

from __future__ import annotations

from tqdm.auto import tqdm
from tqdm.std import TqdmDefaultWriteLock  # type: ignore[attr-defined, unused-ignore]

__all__ = ["Bar"]


class Bar(tqdm):  # type: ignore[type-arg, unused-ignore]
    """Progress bar of tqdm, whose lock is one of threads alone.

    tqdm guards its output by a second lock, which a process shares with all that fork from it. One of them that is
    killed while it holds that lock leaves the others waiting forever, even where no bar is shown.
    """


Bar.set_lock(TqdmDefaultWriteLock.th_lock)
