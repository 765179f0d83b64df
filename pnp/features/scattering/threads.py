"""Coarse-grained threads: one piece of the network per core, each on single-threaded PyTorch and in memory of its own.

PyTorch splits each operation over cores. The pieces of a scattering network are many and small enough to sit in one
core's cache, where that costs more than it brings. Results do not depend on the number of threads.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from pnp._torch.modes import ordinary

__all__ = ["thread_map", "workspace"]

Item = TypeVar("Item")
Result = TypeVar("Result")

# Keyed by process, since threads do not survive a fork, and by size.
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def thread_map(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Map a function over items, with as many threads as `torch.get_num_threads()` says. No gradients.

    Args:
        function: Must release the GIL for most of its time, as PyTorch operations do.
        items: Costliest first, so that the threads finish together.

    Returns:
        The results, in the order of the items.
    """

    def run(item: Item) -> Result:
        with torch.no_grad():
            return function(item)

    n_threads = torch.get_num_threads()
    if n_threads == 1 or len(items) < 2:
        with _single_threaded(n_threads):
            return [run(item) for item in items]
    with _single_threaded(n_threads):
        return list(_pool(n_threads).map(run, items))


def _pool(n_threads: int) -> ThreadPoolExecutor:
    key = (os.getpid(), n_threads)
    if key not in _pools:
        # OpenMP keeps its number of threads per calling thread: each worker must set its own.
        _pools[key] = ThreadPoolExecutor(n_threads, "pnp", initializer=torch.set_num_threads, initargs=(1,))
    return _pools[key]


@contextmanager
def _single_threaded(n_threads: int) -> Iterator[None]:
    """MKL's number of threads is one for the whole process: hold it at one while the workers run."""
    if n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


_memory = threading.local()


def workspace(name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Uninitialized memory of this thread, the same at each call: a large tensor costs more to allocate than to fill.

    Args:
        name: Purpose of the buffer. The next call for the same name and dtype overwrites it.
        shape: Shape of the tensor.
        dtype: Dtype of the tensor.

    Returns:
        A tensor on the CPU.
    """
    if not hasattr(_memory, "tensors"):
        _memory.tensors = {}
    tensors: dict[tuple[str, torch.dtype], Tensor] = _memory.tensors
    size = math.prod(shape)
    if (name, dtype) not in tensors or tensors[name, dtype].numel() < size:
        with ordinary():
            tensors[name, dtype] = torch.empty(size, dtype=dtype, device="cpu")
    return tensors[name, dtype][:size].view(*shape)
