"""Levenberg–Marquardt damping in a Lightning training loop. Needs the extra `pnp-metric[train]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pnp.losses import PNPLoss
from pnp.training.damping import LevenbergMarquardt

try:
    from lightning.pytorch import Callback
except ImportError:
    # The module can still be imported, for its documentation; making a callback says what is missing.
    Callback = object  # type: ignore[misc, assignment, unused-ignore]

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class DampingCallback(Callback):  # type: ignore[misc, unused-ignore]  # typed only where Lightning is installed
    """Steps a `LevenbergMarquardt` schedule at the end of every validation, and checkpoints it.

    Args:
        monitor: Name under which the module logs what is watched, lower being better. It must not contain λ:
            log a distance, or the loss of `loss.undamped()`.
        loss: Name of the module's attribute that is the `PNPLoss`.
        **options: Options of `LevenbergMarquardt`.

    Raises:
        ImportError: If Lightning is not installed.

    Examples:
        >>> callback = DampingCallback("validation_distance", decrease=0.5)  # doctest: +SKIP
        >>> trainer = Trainer(callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, monitor: str, *, loss: str = "loss", **options: Any) -> None:
        if Callback is object:
            raise ImportError(
                "This callback needs Lightning; install it with `pip install pnp-metric[train]`."
            )
        super().__init__()
        self.monitor = monitor
        self.loss = loss
        self.options = options
        self.schedule: LevenbergMarquardt | None = None
        self._restored: dict[str, Any] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set λ₀, or go on from the checkpoint that training resumes from.

        Args:
            trainer: The trainer.
            pl_module: The module with the loss.

        Raises:
            TypeError: If the module has no `PNPLoss` under the name given.
        """
        loss = getattr(pl_module, self.loss, None)
        if not isinstance(loss, PNPLoss):
            raise TypeError(
                f"{type(pl_module).__name__}.{self.loss} must be the PNPLoss whose damping is scheduled; got "
                f"{type(loss).__name__}."
            )
        optimizer = trainer.optimizers[0] if trainer.optimizers else None
        self.schedule = LevenbergMarquardt(loss, model=pl_module, optimizer=optimizer, **self.options)
        if self._restored is not None:
            self.schedule.load_state_dict(self._restored)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Step the schedule, but only in training: not for `trainer.validate`, nor for Lightning's check before it.

        Args:
            trainer: The trainer.
            pl_module: The module with the loss.

        Raises:
            ValueError: If the module did not log `monitor`.
        """
        if trainer.state.fn != "fit" or trainer.sanity_checking or self.schedule is None:
            return
        if self.monitor not in trainer.callback_metrics:
            logged = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
            raise ValueError(f"The module must log {self.monitor!r} in validation; it logged {logged}.")
        self.schedule.step(trainer.callback_metrics[self.monitor])

    def state_dict(self) -> dict[str, Any]:
        """State of the schedule, for the trainer's checkpoints."""
        return {} if self.schedule is None else self.schedule.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of the schedule from a trainer's checkpoint.

        Args:
            state_dict: Result of `state_dict`.
        """
        self._restored = state_dict or None
