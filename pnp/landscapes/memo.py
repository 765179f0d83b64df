"""Results beside the settings they depend on, so that a rerun need not compute them again."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pnp._files import write_atomically
from pnp.store.provenance import canonical_json

__all__ = ["memoized"]

_SETTINGS = "settings"


def memoized(
    path: Path, settings: Mapping[str, Any], compute: Callable[[], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Return the tensors of a file if it was made with these settings; else compute and write them.

    Args:
        path: File ".npz", replaced when the settings differ or it cannot be read.
        settings: Everything that the tensors depend on, as JSON can hold it.
        compute: Function that returns the tensors by name.

    Returns:
        The tensors.

    Raises:
        TypeError: If the settings cannot be written as JSON.
    """
    described = canonical_json(settings)
    try:
        # Opened here, since NumPy leaves a file open that turns out not to be an archive.
        with path.open("rb") as file, np.load(file) as stored:
            if str(stored[_SETTINGS]) == described:
                return {name: torch.from_numpy(stored[name]) for name in stored.files if name != _SETTINGS}
    except (FileNotFoundError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        pass
    results = dict(compute())
    arrays: dict[str, Any] = {name: tensor.numpy(force=True) for name, tensor in results.items()}
    content = io.BytesIO()
    np.savez(content, **(arrays | {_SETTINGS: np.array(described)}))
    write_atomically(path, content.getvalue())
    return results
