"""Levenberg–Marquardt schedule: how much damping PNP loss gets as training proceeds."""

from __future__ import annotations

import copy
import logging
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pnp._arguments import finite_number, truth, whole_number
from pnp.losses import LARGEST_DAMPING, PNPLoss
from pnp.metric.riemannian import RiemannianMetric

_LOGGER = logging.getLogger(__name__)

# λ is kept in float32, whose numbers lose digits below its normal range until they are 0; with some headroom.
_LEAST = torch.finfo(torch.float32).tiny * 2.0**10


class LevenbergMarquardt:
    """Schedule of the damping λ of a `PNPLoss`, stepped once an epoch like `ReduceLROnPlateau`.

    Far from the solution the quadratic form is a poor model of perceptual distance, and its sharpest
    directions dominate every gradient; a large λ makes PNP loss behave like P-loss there. As predictions
    improve the model becomes trustworthy, and λ is lowered:

    - the watched value improves: λ ← λ · `decrease`, and the state of model and optimizer is kept as the best
      so far;
    - it does not, for more than `patience` steps: λ ← λ · `brake`, and with `revert` the best state is put
      back, but for the options of the optimizer: its learning rate, for one, stays where a schedule has brought it;
    - it is NaN or infinite: the same at once, whatever the patience.

    λ stays between ε λ₀ and λ₀ / ε, with ε the rounding of float32: below, damping no longer changes the
    loss, and above, the metric no longer does. It also stays where float32 neither loses digits nor losses overflow,
    10⁻³⁵ to 10³⁰, into which a λ₀ that is beyond is moved. So no sequence of steps can underflow or overflow it,
    whatever the eigenvalues.

    The watched value must not itself contain λ, or lowering λ would count as an improvement: use a distance,
    or `loss.undamped()`.

    Args:
        loss: Loss whose `damping` is set; λ₀ is set at once.
        model: Network whose best state is kept. Needed for `revert`.
        optimizer: Its optimizer, whose state is kept along with it.
        initial: λ₀. None takes it from the data, as `initial_damping` does.
        decrease: Factor on improvement, between 0 and 1.
        brake: Factor on failure, above 1.
        patience: Steps without improvement to let pass before braking. With few validation sounds their loss
            rises by chance now and then; without patience, `revert` would then throw good epochs away.
        threshold: Relative improvement that counts: value < best · (1 − threshold).
        revert: Put the best state back when braking.

    Raises:
        TypeError: If the loss is not a `PNPLoss`.
        ValueError: If an option is outside its range, or `revert` is asked for without a model.

    Examples:
        >>> loss = PNPLoss(RiemannianMetric.from_factor(torch.eye(2)[None]))
        >>> schedule = LevenbergMarquardt(loss, initial=1.0, decrease=0.1, brake=2.0, patience=0, revert=False)
        >>> tuple(round(schedule.step(value) and loss.damping, 4) for value in (5.0, 4.0, 3.0))
        (0.1, 0.01, 0.001)
        >>> schedule.step(3.5), round(loss.damping, 4)
        (False, 0.002)

    Source:
        Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM J. 1963; applied
        to PNP loss by Han, Lostanlen, Lagrange, "Learning to Solve Inverse Problems for Perceptual Sound
        Matching", TASLP 2024.
    """

    def __init__(
        self,
        loss: PNPLoss,
        *,
        model: nn.Module | None = None,
        optimizer: Optimizer | None = None,
        initial: float | None = None,
        decrease: float = 0.2,
        brake: float = 5.0,
        patience: int = 5,
        threshold: float = 1e-4,
        revert: bool = True,
    ) -> None:
        # A compiled loss passes its attributes on to the one that it was compiled from.
        if not isinstance(getattr(loss, "_orig_mod", loss), PNPLoss):
            raise TypeError(
                f"The loss must be the PNPLoss whose damping is scheduled; got {type(loss).__name__}, which has no "
                "damping."
            )
        decrease = finite_number("decrease", decrease, above=0, below=1)
        # At 1 or below it would not brake.
        brake = finite_number("brake", brake, above=1)
        patience = whole_number("patience", patience, least=0)
        threshold = finite_number("threshold", threshold, least=0, below=1)
        revert = truth("revert", revert)
        if revert and model is None:
            raise ValueError(
                "To revert to the best state the schedule needs the model; pass it, or revert=False."
            )
        lam = (
            initial_damping(loss)
            if initial is None
            else finite_number("the initial damping", initial, above=0)
        )
        lam = _representable(lam)
        eps = torch.finfo(torch.float32).eps
        self.loss = loss
        self.model = model
        self.optimizer = optimizer
        self.decrease = decrease
        self.brake = brake
        self.patience = patience
        self.threshold = threshold
        self.revert = revert
        self.bounds = (_representable(lam * eps), _representable(lam / eps))
        self.best = math.inf
        self.n_failures = 0
        self._best_states: dict[str, Any] = {}
        self.loss.damping = lam

    def step(self, value: float | Tensor) -> bool:
        """Lower or raise λ after an epoch.

        Args:
            value: Quantity that is watched on validation data, the lower the better.

        Returns:
            True where it improved.
        """
        value = float(value)
        # The first finite value always improves on infinity, and a NaN never does.
        if value < self.best and (
            math.isinf(self.best) or value < self.best - self.threshold * abs(self.best)
        ):
            self.best = value
            self.n_failures = 0
            self._best_states = {
                name: copy.deepcopy(part.state_dict()) for name, part in self._parts().items()
            }
            self._set(self.loss.damping * self.decrease)
            return True
        self.n_failures += 1
        if self.n_failures > self.patience or not math.isfinite(value):
            self.n_failures = 0
            raised = self.loss.damping * self.brake
            if self.revert and self._best_states:
                self._put_back()
            # After reverting: where the loss is part of the model, its damping has been put back too.
            self._set(raised)
            _LOGGER.info(
                "no improvement on %.4g (got %.4g): damping raised to %.3g",
                self.best,
                value,
                self.loss.damping,
            )
        return False

    def _put_back(self) -> None:
        """Load the best states of model and optimizer."""
        # Loading may alias what it is given, and training would then write into the kept state.
        states = copy.deepcopy(self._best_states)
        if self.optimizer is not None:
            # Learning rates, and momenta that are cycled with them, are set by schedules of their own, which are not
            # reverted: one that multiplies the rate that it finds would go on from an older one.
            states["optimizer"]["param_groups"] = self.optimizer.state_dict()["param_groups"]
        for name, part in self._parts().items():
            part.load_state_dict(states[name])

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer}
        return {name: part for name, part in parts.items() if part is not None}

    def _set(self, lam: float) -> None:
        self.loss.damping = _clipped(lam, *self.bounds)

    def state_dict(self) -> dict[str, Any]:
        """State to go on from: λ, its bounds, the best value, and the model and optimizer kept with it."""
        return {
            "damping": self.loss.damping,
            "bounds": self.bounds,
            "best": self.best,
            "n_failures": self.n_failures,
            "best_states": copy.deepcopy(self._best_states),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned; sets the loss's λ too.

        Args:
            state: Result of `state_dict`.
        """
        low, high = state["bounds"]
        self.bounds = (_representable(low), _representable(high))
        self.best = state["best"]
        self.n_failures = state["n_failures"]
        self._best_states = copy.deepcopy(state["best_states"])
        self._set(state["damping"])


def _clipped(lam: float, low: float, high: float) -> float:
    return min(max(lam, low), high)


def _representable(lam: float) -> float:
    """Nearest λ that float32 keeps without losing digits, and under which losses do not overflow."""
    return _clipped(lam, _LEAST, LARGEST_DAMPING)


def initial_damping(loss: PNPLoss) -> float:
    """Damping λ₀ at which identity (or mean, or diagonal) and metric weigh the same.

    Args:
        loss: Loss with the metrics of a cache.

    Returns:
        For identity damping, the mean over sounds of the largest eigenvalue of M, as the loss holds it: no
        direction then pulls more than about twice as hard as the others. For diagonal and mean damping, which
        scale with M, 1.

    Raises:
        ValueError: If the loss has no metrics, or all of them are zero.
    """
    if loss.damping_kind != "identity":
        return 1.0
    if loss.factor is None:
        raise ValueError("The loss has no metrics to take the initial damping from; pass initial=.")
    metric = RiemannianMetric.from_factor(loss.factor)
    lam = float(metric.eigenvalues[..., 0][metric.valid].mean())
    if not lam > 0:
        raise ValueError("The metric is zero at every sound: there is no initial damping to take from it.")
    return lam
