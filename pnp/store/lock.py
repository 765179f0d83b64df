"""Lock of a cache: one writer at a time.

The package filelock was tried in place of this module and does not keep its promises: its lock by the operating
system does not record who holds it, and its lock file stays behind when the lock is released.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pnp.errors import CacheBusy, CacheError

# Windows has no such flag, and needs a privilege for symbolic links.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)

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


def lock_path(path: Path) -> Path:
    """Return the lock file of a cache, the same for all symbolic links to the cache."""
    real = Path(os.path.realpath(path))
    return real.with_name(f"{real.name}.lock")


class WriterLock:
    """Exclusive right to write a cache, as long as the context lasts.

    The lock is on a file beside the cache, so that readers of the cache, plain h5py among them, never meet
    it. The operating system drops it when its holder dies, however that happens: a lock file that was left
    behind locks nothing. All symbolic links to a cache lead to the same lock; that to a file with several names
    (hard links) is for `CacheWriter` to refuse.

    Args:
        path: The cache.

    Raises:
        CacheBusy: If another process holds the lock; the message names it.
        CacheError: If the lock file is a link or no plain file.
        OSError: If the directory cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._cache = path
        self._path = lock_path(path)
        self._descriptor = -1

    def __enter__(self) -> WriterLock:
        while self._descriptor < 0:
            descriptor = self._open()
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
        # The name of the holder is a courtesy: a disk without room for it must not keep a cache from being continued.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if sys.platform != "win32":
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> int:
        """Open the lock file, unless something else has been put in its place for the writer to overwrite."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | _NO_FOLLOW, 0o644)
        except OSError as error:
            if self._path.is_symlink():
                raise CacheError(_not_plain(self._path, "a symbolic link")) from error
            if not self._path.exists() or self._path.is_file():
                raise
            raise CacheError(_not_plain(self._path, "no plain file")) from error
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
            os.close(descriptor)
            what = "a file with several names" if stat.S_ISREG(state.st_mode) else "no plain file"
            raise CacheError(_not_plain(self._path, what))
        return descriptor

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False


def _not_plain(path: Path, what: str) -> str:
    return f"the lock file {path} is {what}, which no writer leaves behind; remove it."
