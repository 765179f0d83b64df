"""Record of a run on disk: checkpoints, a log and, if wanted, one for TensorBoard, brought up to date every epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from pnp.training import checkpoint
from pnp.training.tensorboard import TensorBoardLog

__all__ = ["Record"]


class Record:
    """Files of a run in its directory. A context manager.

    Args:
        out: Directory of the run; None writes nothing.
        common: Content of every checkpoint: settings, and the configuration of the network.
        tensorboard: Log for TensorBoard too.
        n_epochs: Epochs that are done already.

    Raises:
        ImportError: If a log for TensorBoard is asked for and it is not installed.
    """

    def __init__(
        self, out: Path | None, common: Mapping[str, Any], *, tensorboard: bool = False, n_epochs: int = 0
    ) -> None:
        self.out, self._common = out, dict(common)
        self._log = TensorBoardLog(out / checkpoint.TENSORBOARD, n_epochs) if tensorboard and out else None

    def write(
        self,
        state: Mapping[str, Any],
        history: Sequence[Mapping[str, float]],
        learner: Mapping[str, Any],
        best_weights: Mapping[str, Tensor],
        *,
        improved: bool,
    ) -> None:
        """Write what there is after an epoch.

        Args:
            state: Progress of the run.
            history: Its epochs, the last of them new.
            learner: State of network, optimizer and schedules.
            best_weights: Weights that were best on validation data.
            improved: True where those are of the last epoch.
        """
        if self.out is not None:
            common = self._common | {"state": dict(state)}
            if improved:
                checkpoint.save(self.out / checkpoint.BEST, common | {"model": best_weights})
            checkpoint.save_log(self.out / checkpoint.LOG, history)
            checkpoint.save(
                self.out / checkpoint.LAST, common | dict(learner) | {"best_weights": best_weights}
            )
        if self._log is not None:
            self._log.write(history[-1])

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._log is not None:
            self._log.__exit__(kind, error, trace)
