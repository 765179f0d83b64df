"""What the losses share."""

from __future__ import annotations

from torch import Tensor, nn

REDUCTIONS = ("mean", "sum", "none")


class Loss(nn.Module):
    """What the losses share: checks of the pair of parameter batches, and the reduction."""

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
