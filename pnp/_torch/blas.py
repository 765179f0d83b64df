"""Threads of NumPy's linear algebra, which get in the way of PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

__all__ = ["blas_in_one_thread"]


@contextmanager
def blas_in_one_thread() -> Iterator[None]:
    """Let OpenBLAS use one thread inside the block.

    After each product, its threads wait in a loop for the next one, on the cores where PyTorch's threads would compute.
    Small matrices are multiplied as fast by one thread.
    """
    with ThreadpoolController().select(internal_api="openblas").limit(limits=1):
        yield
