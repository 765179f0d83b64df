"""Base of the losses: checks of their options, and the reduction."""

from __future__ import annotations

from torch import Tensor

from pnp._torch.modes import KeepingModule

REDUCTIONS = ("mean", "sum", "none")


class Loss(KeepingModule):
    """Loss of a pair of parameter batches, with a scale and a reduction.

    An empty batch is treated as PyTorch's losses do: its mean is NaN, its sum is 0.
    """

    def __init__(self, scale: float, reduction: str) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f"Reduction must be one of {', '.join(REDUCTIONS)}; got {reduction!r}.")
        if not 0 < scale < float("inf"):
            raise ValueError(f"Scale μ must be finite and positive; got {scale}.")
        self.scale = float(scale)
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
