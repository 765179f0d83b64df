"""P-loss: the baseline that knows nothing of sound."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pnp.losses.base import PairLoss
from pnp.losses.quadratic_form import squared_norm

__all__ = ["ParameterLoss"]


class ParameterLoss(PairLoss):
    """P-loss, L = μ/2 ‖û − u‖²: the baseline that knows nothing of sound.

    It equals `PNPLoss` with M = I.

    Args:
        scale: Factor μ.
        reduction: `"mean"` or `"sum"` over the batch, or `"none"`.

    Examples:
        >>> ParameterLoss()(torch.tensor([[0.5, 0.0]]), torch.tensor([[0.0, 1.0]]))
        tensor(0.6250)
    """

    def __init__(self, *, scale: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(scale, reduction)

    def _of_pair(self, u_hat: Tensor, u: Tensor) -> Tensor:
        dtype = u_hat.dtype
        if self.reduction == "none" or dtype not in (torch.float32, torch.float64):
            return self._half(squared_norm(u_hat.to(dtype) - u.to(dtype)))
        # One operation where the same takes three; autocast would change the type of what has half precision.
        error: Tensor = nn.functional.mse_loss(u_hat, u.to(dtype), reduction=self.reduction)
        return error * (0.5 * self.scale * (u_hat.shape[1] if self.reduction == "mean" else 1))
