"""New HDF5 files whose disk may fail at any write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import h5py

# The oldest HDF5 (1.10, of 2016) whose format has checksummed headers and fixed-size chunk indices.
LIBVER = ("v110", "v110")


@contextmanager
def new_file(path: Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Create an HDF5 file in which an error of the disk is an `OSError` and nothing worse.

    HDF5 does not survive every write that fails: it may crash the process when it closes the file. Here it writes
    through a Python object, which keeps the first error for itself and drops all later writes.

    Args:
        path: File to write; an old one is overwritten.

    Yields:
        The open file, and a function that raises the first error so far. Long work calls it now and then.

    Raises:
        OSError: If the disk refused a write.
    """
    with open_unbuffered(path) as stream:
        disk = _Disk(stream)
        try:
            with h5py.File(disk, "w", libver=LIBVER) as file:
                yield file, disk.check
        except Exception:
            # What HDF5 says about a file that lacks a write is a consequence.
            disk.check()
            raise
        disk.check()


def open_unbuffered(path: Path) -> FileIO:
    """Open a new file whose every write is one of the operating system."""
    return FileIO(path, "w+b")


class _Disk:
    """File for HDF5 that never reports an error, nor an interruption: both are kept until HDF5 is done."""

    def __init__(self, stream: FileIO) -> None:
        self._stream = stream
        self._error: BaseException | None = None

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    # What HDF5 calls.

    def write(self, data: Any) -> int:
        with self._kept_errors():
            # After the first error the file is lost; it only has to be closed.
            view = memoryview(data).cast("B") if self._error is None else memoryview(b"")
            while view:
                view = view[self._stream.write(view) :]
        return len(data)

    def truncate(self, size: int) -> int:
        with self._kept_errors():
            if self._error is None:
                self._stream.truncate(size)
        return size

    def seek(self, offset: int, whence: int = 0) -> int:
        with self._kept_errors():
            self._stream.seek(offset, whence)
        return self._stream.tell()

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        with self._kept_errors():
            self._stream.readinto(buffer)
        return len(buffer)

    def read(self, size: int = -1) -> bytes:
        """Read; h5py asks for the method and calls `readinto`."""
        return self._stream.read(size)

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    @contextmanager
    def _kept_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # noqa: BLE001  (Ctrl-C in the midst of HDF5 would crash it, too)
            self._error = self._error or error
