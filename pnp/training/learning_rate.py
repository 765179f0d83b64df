"""Learning rate of a run: along a cosine, or in steps down wherever the validation loss stays on a plateau."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["LearningRate"]

# Below this part of the initial learning rate nothing is left to gain.
_LEAST = 1e-2


class LearningRate:
    """Learning rate of an optimizer over the course of training.

    Args:
        optimizer: Optimizer whose rate is set.
        initial: Initial rate.
        decay: `"cosine"` or `"plateau"`, as in `TrainOptions`.
    """

    def __init__(self, optimizer: Optimizer, initial: float, decay: str) -> None:
        self.optimizer, self.initial = optimizer, initial
        self._rate = initial
        self._plateau = (
            ReduceLROnPlateau(optimizer, factor=1 / 3, patience=8, threshold=1e-3, eps=0.0)
            if decay == "plateau"
            else None
        )

    @property
    def current(self) -> float:
        """Rate of the step that was made last."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    @property
    def converged(self) -> bool:
        """True where the rate is too low to gain anything."""
        return self._rate < _LEAST * self.initial

    def set(self, fraction: float) -> None:
        """Set the rate of the next step.

        Args:
            fraction: Part of the run that is over, from 0 to 1.
        """
        rate = self._rate if self._plateau else self._rate * 0.5 * (1 + math.cos(math.pi * fraction))
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def note(self, validation_loss: float) -> None:
        """Note the validation loss of an epoch."""
        if self._plateau is not None:
            self._plateau.step(validation_loss)
            self._rate = self.current

    def state_dict(self) -> dict[str, Any]:
        """State to go on from."""
        return {"plateau": None if self._plateau is None else self._plateau.state_dict(), "rate": self._rate}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        if self._plateau is not None:
            self._plateau.load_state_dict(state["plateau"])
            self._rate = state["rate"]
