"""Base of the losses: checks of their options, and the reduction."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from pnp._arguments import finite_number, shown
from pnp._torch.modes import KeepingModule
from pnp.losses.checks import check_pair

REDUCTIONS = ("mean", "sum", "none")


class Loss(KeepingModule):
    """Loss of a pair of parameter batches, with a scale and a reduction.

    An empty batch is treated as PyTorch's losses do: its mean is NaN, its sum is 0.
    """

    def __init__(self, scale: float, reduction: str) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f"Reduction must be one of {', '.join(REDUCTIONS)}; got {shown(reduction)}.")
        self.scale = finite_number("scale", scale, above=0)
        self.reduction = reduction

    def _half(self, form: Tensor) -> Tensor:
        """μ/2 times the squared distance of each item, reduced."""
        if self.reduction == "mean":
            form = form.mean()
        elif self.reduction == "sum":
            form = form.sum()
        return 0.5 * self.scale * form

    def extra_repr(self) -> str:
        """Options, as `repr` shows them."""
        return f"scale={self.scale:g}, reduction={self.reduction!r}"


class PairLoss(Loss):
    """Loss of predicted and true parameters alone, without anything of the sound at a row of the cache."""

    def forward(
        self, u_hat: Tensor, u: Tensor, index: Tensor | None = None, *, metric: Tensor | None = None
    ) -> Float[Tensor, "*batch"]:
        """Loss of a batch.

        Args:
            u_hat: Predicted parameters û in units of the cube, shape (B, P).
            u: True parameters, shape (B, P).
            index: Not used; here so that losses are interchangeable.
            metric: Not used.

        Returns:
            A scalar, or shape (B,) with reduction `"none"`.

        Raises:
            TypeError: If a batch is not a floating-point tensor.
            ValueError: If the shapes differ or are not (B, P).
        """
        del index, metric
        check_pair(u_hat, u)
        return self._of_pair(u_hat, u)

    def _of_pair(self, u_hat: Tensor, u: Tensor) -> Tensor:
        """Return the reduced loss of a batch that was checked."""
        raise NotImplementedError
