"""Logs of a training run for TensorBoard. Needs the extra `pnp-metric[train]`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


def summary_writer() -> Any:
    """TensorBoard's class of writers.

    Raises:
        ImportError: If TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "A log for TensorBoard needs it installed: `pip install pnp-metric[train]`."
        ) from error
    return SummaryWriter


class TensorBoardLog:
    """Scalars of every epoch in TensorBoard's format. A context manager.

    Args:
        folder: Folder of the log.
        n_epochs: Epochs that are done already: what an interrupted run wrote after them is hidden.

    Raises:
        ImportError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path, n_epochs: int = 0) -> None:
        self._writer = summary_writer()(str(folder), purge_step=n_epochs + 1)

    def write(self, epoch: Mapping[str, float]) -> None:
        """Log an epoch.

        Args:
            epoch: Scalars by name, with `epoch` among them.
        """
        for name, value in epoch.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(epoch["epoch"]))
        self._writer.flush()

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
