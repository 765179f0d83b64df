"""One thread inside PyTorch, for results that are the same bits on any machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["single_thread"]


class _SingleThread:
    """Computations in progress that need one thread inside PyTorch, and the number that the first of them found."""

    lock = threading.Lock()
    users = 0
    before = 1


@contextmanager
def single_thread() -> Iterator[None]:
    """Use one thread inside PyTorch.

    The number of threads that share a sum decides its rounding; with one, results are the same bits whatever the number
    of workers and cores. The number is put back when the last of the threads that computes here is done.
    """
    with _SingleThread.lock:
        if _SingleThread.users == 0:
            _SingleThread.before = torch.get_num_threads()
        _SingleThread.users += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _SingleThread.lock:
            _SingleThread.users -= 1
            if _SingleThread.users == 0:
                torch.set_num_threads(_SingleThread.before)
