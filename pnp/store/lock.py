"""Lock of a cache: one writer at a time.

The package filelock was tried in place of this module and does not keep its promises: its lock by the operating
system does not record who holds it, and its lock file stays behind when the lock is released.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pnp.errors import CacheBusy

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            # A byte far beyond the text: Windows hides what is locked from whoever asks for the holder.
            os.lseek(descriptor, 1 << 20, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class WriterLock:
    """Exclusive right to write a cache, as long as the context lasts.

    The lock is on a file beside the cache, so that readers of the cache, plain h5py among them, never meet
    it. The operating system drops it when its holder dies, however that happens: a lock file that was left
    behind locks nothing.

    Args:
        path: The cache.

    Raises:
        CacheBusy: If another process holds the lock; the message says which.
        OSError: If the directory cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._cache = path
        self._path = path.with_name(f"{path.name}.lock")
        self._descriptor = -1

    def __enter__(self) -> WriterLock:
        while self._descriptor < 0:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            if not _try_lock(descriptor):
                holder = (
                    os.pread(descriptor, 256, 0).decode(errors="replace").strip()
                    if hasattr(os, "pread")
                    else ""
                )
                os.close(descriptor)
                raise CacheBusy(
                    f"{self._cache} is being written by {holder or 'another process'}; wait for it, stop it, "
                    "or choose another file."
                )
            if self._is_current(descriptor):
                self._descriptor = descriptor
            else:
                # The holder before removed the file between our open and our lock.
                os.close(descriptor)
        os.truncate(self._path, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        # Who holds it is a courtesy: a disk without room for it must not keep a cache from being continued.
        with suppress(OSError):
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if sys.platform != "win32":
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False
