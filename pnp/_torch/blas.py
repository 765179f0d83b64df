"""Number of threads of NumPy's linear algebra, whose waiting threads slow PyTorch's down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

__all__ = ["blas_in_one_thread"]


@contextmanager
def blas_in_one_thread() -> Iterator[None]:
    """Let OpenBLAS use one thread inside the block.

    After each product, its threads wait in a loop for the next one, on the cores where PyTorch's threads would compute.
    Small matrices are multiplied as fast by one thread. The limit holds for the whole process.
    """
    with ThreadpoolController().select(internal_api="openblas").limit(limits=1):
        yield
