"""Plain gradient descent in the unit cube, its step controlled by the loss alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pnp._progress import Bar

__all__ = ["Descents", "descend"]

# Armijo's condition: a step must bring this part of what the gradient promises.
_SUFFICIENT = 1e-4
_GROWTH, _SHRINKAGE = 2.0, 0.5


@dataclass(frozen=True)
class Descents:
    """Paths of descents.

    Args:
        path: Accepted points, from the start on, in units of the cube, shape (T + 1, B, P).
        loss: Losses there, shape (T + 1, B).
    """

    path: Float[Tensor, "T1 B P"]
    loss: Float[Tensor, "T1 B"]

    @property
    def end(self) -> Float[Tensor, "B P"]:
        """Last points, shape (B, P)."""
        return self.path[-1]


def descend(
    evaluate: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    start: Shaped[Tensor, "B P"],
    *,
    steps: int = 60,
    first: float = 0.1,
    tolerance: float = 1e-3,
    progress: str = "",
) -> Descents:
    """Steepest descent from several starts at once, projected to the cube [-1, 1]^P.

    Each start has a step size of its own. A step that lowers the loss by Armijo's condition is taken and the next one
    is tried twice as long; otherwise it is tried half as long. Nothing else is asked: not where the target is, nor
    whether the parameters come closer to it.

    Args:
        evaluate: From points (b, P), and which of the B starts they come from (b,), to losses (b,) and gradients
            (b, P). Starts that have ended are left out.
        start: Starting points in the cube, shape (B, P).
        steps: Evaluations for each start, after the first one.
        first: Length of the first trial step, in units of the cube.
        tolerance: A descent has ended when its trial step is shorter, in units of the cube.
        progress: Title of a progress bar; none if empty.

    Returns:
        The paths. Where a trial was refused, a path stays for a step.

    Source:
        Armijo, "Minimization of functions having Lipschitz continuous first partial derivatives", Pacific J. Math. 16
        (1966); projected steps as in Bertsekas, "On the Goldstein-Levitin-Polyak gradient projection method", 1976.

    Examples:
        >>> bowl = lambda u, rows: (0.5 * (u - 0.3).square().sum(-1), u - 0.3)
        >>> descend(bowl, torch.tensor([[-1.0, 1.0]])).end.round(decimals=2)
        tensor([[0.3000, 0.3000]], dtype=torch.float64)
    """
    rows = torch.arange(len(start))
    u = start.double()
    loss, gradient = (value.double() for value in evaluate(u, rows))
    step = first / gradient.norm(dim=-1).clamp_min(torch.finfo(torch.float64).tiny)
    path, losses = [u], [loss]
    for _ in Bar(range(steps), desc=progress, disable=not progress, unit="step"):
        trial = (u - step.unsqueeze(-1) * gradient).clamp(-1.0, 1.0)
        move = u - trial
        active = rows[move.norm(dim=-1) >= tolerance]
        if len(active) == 0:
            break
        trial_loss, trial_gradient = (value.double() for value in evaluate(trial[active], active))
        promised = (gradient * move).sum(-1)[active]
        taken = (trial_loss <= loss[active] - _SUFFICIENT * promised) & (promised > 0)
        chosen = active[taken]
        u, loss, gradient, step = u.clone(), loss.clone(), gradient.clone(), step.clone()
        u[chosen], loss[chosen], gradient[chosen] = trial[chosen], trial_loss[taken], trial_gradient[taken]
        step[active] *= torch.where(taken, _GROWTH, _SHRINKAGE).to(step.dtype)
        path.append(u)
        losses.append(loss)
    return Descents(torch.stack(path), torch.stack(losses))
