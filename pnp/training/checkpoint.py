"""Checkpoints and logs of a training run: written to one side, then moved into place."""

from __future__ import annotations

import csv
import io
import os
import pickle
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pnp._arguments import file_path
from pnp._files import PARTIAL, write_atomically
from pnp.training.encoder import Encoder

# The first bytes of a cache.
_HDF5 = b"\x89HDF\r\n\x1a\n"

LAST, BEST, LOG, TENSORBOARD = "last.pt", "best.pt", "log.csv", "tensorboard"


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint so that a kill at any time leaves the old one or the new one, whole.

    Args:
        path: File to write.
        state: Nested dictionaries and lists of tensors, numbers and text.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; nothing in it is executed, and its checksums are compared.

    Args:
        path: File to read.

    Returns:
        Content of the checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a checkpoint, or not what was written.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}; `pnp train` makes one.")
    with path.open("rb") as file:
        if file.read(len(_HDF5)) == _HDF5:
            raise ValueError(
                f"{path} is a cache, expected a run of `pnp train`; swap the two if both were given."
            )
    try:
        # PyTorch writes a checksum of every tensor and does not look at it on reading.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(damaged)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    # Both raise whatever their unpickler or archive reader meets first.
    except Exception as error:
        raise ValueError(
            f"{path} is not a checkpoint of this package, or it is damaged: {_damage(path, error)}."
        ) from error
    if not isinstance(state, dict):
        raise ValueError(
            f"{path} is not a checkpoint of this package: expected a dictionary in it, got {type(state).__name__}."
        )
    return state


def save_log(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write the log of a run, a line an epoch, as comma-separated values.

    Args:
        path: File to write.
        history: The epochs, all with the same keys.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomically(path, text.getvalue())


def holds_run(out: Path) -> bool:
    """Return true where a directory holds what a run has left: its end, or the best of a first epoch."""
    return any((out / name).exists() for name in (LAST, BEST))


def clear(out: Path) -> None:
    """Remove what a run has left in a directory, and nothing else.

    Args:
        out: Directory of the run.
    """
    for name in (LAST, BEST, LOG):
        for path in (out / name, out / (name + PARTIAL)):
            path.unlink(missing_ok=True)
    for path in (out / TENSORBOARD).glob("events.out.tfevents.*"):
        path.unlink()


def save_encoder(path: str | os.PathLike[str], encoder: Encoder) -> None:
    """Write an encoder so that `load_encoder` and the command line read it.

    Args:
        path: File to write.
        encoder: Encoder, such as `fine_tune` returns.
    """
    save(
        file_path("the path of an encoder", path),
        {"encoder": encoder.config(), "model": encoder.state_dict()},
    )


def load_encoder(path: str | os.PathLike[str]) -> Encoder:
    """Trained encoder of a run.

    Args:
        path: Directory of the run, for the weights that were best on validation data; or one of its
            checkpoints.

    Returns:
        The encoder, on the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If the file is not a checkpoint.
    """
    path = file_path("the path of a run", path)
    state = load(path / BEST if path.is_dir() else path)
    if "encoder" not in state:
        raise ValueError(f"{path} holds no encoder; a run's {BEST} and {LAST} do.")
    try:
        _check_shapes(state["encoder"], state["model"], path)
        encoder = Encoder.from_config(state["encoder"])
        encoder.load_state_dict(state["model"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} holds no encoder of this package: what it calls so has other options than an `Encoder`."
        ) from error
    return encoder.eval()


def _check_shapes(config: dict[str, Any], weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are not those of the network that is described, before memory is taken for either."""
    try:
        with torch.device("meta"):
            expected = Encoder.from_config(config).state_dict()
    except RuntimeError as error:
        raise ValueError(
            f"{path} holds weights that do not fit its network, which no memory could hold."
        ) from error
    for name in {**expected, **weights}:
        theirs = tuple(weights[name].shape) if name in weights else None
        ours = tuple(expected[name].shape) if name in expected else None
        if ours != theirs:
            raise ValueError(
                f"{path} holds weights that do not fit its network: {name} has shape {theirs}, expected {ours}."
            )


def _damage(path: Path, error: Exception) -> str:
    """Return what is wrong with a file that cannot be loaded; PyTorch says it with a number, or at great length."""
    with path.open("rb") as file:
        head = file.read(4)
    n_bytes = path.stat().st_size
    if not head:
        return "the file is empty"
    if head != b"PK\x03\x04":
        return f"its {n_bytes} bytes do not begin as those of a checkpoint do"
    if isinstance(error, (zipfile.BadZipFile, zlib.error)):
        if "not a zip file" in str(error):
            return f"it is cut short after {n_bytes} bytes"
        return f"its checksums do not fit ({error}); it is no longer what was written"
    if isinstance(error, pickle.UnpicklingError):
        return "it holds something other than tensors, numbers and text"
    return f"PyTorch cannot read its archive ({type(error).__name__})"
