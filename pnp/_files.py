"""Files that are whole or not there: written to one side, then moved into place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"


def write_atomically(path: Path, content: bytes | str) -> Path:
    """Write a file so that a kill at any time leaves the old one or the new one, whole.

    Args:
        path: File to write. Its folder is made where it is missing.
        content: All of the file. Text is encoded as UTF-8.

    Returns:
        The path.

    Raises:
        OSError: If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a draft, which takes the place of a file once it is written and on the disk.

    A draft that an error interrupts is removed. A kill leaves it behind, and the next draft overwrites it.

    Args:
        path: File to write. Its folder exists.

    Yields:
        Path of the draft, in the same folder.

    Raises:
        OSError: If the file cannot be written.
    """
    draft = path.with_name(path.name + PARTIAL)
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a change of names last through a power failure."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
