"""Files that are whole or not there: written to one side, then moved into place."""

from __future__ import annotations

import os
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
    temporary = path.with_name(path.name + PARTIAL)
    with temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path
