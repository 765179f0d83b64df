"""Base of the losses: checks of their options, and the reduction."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from pnp._arguments import finite_number, shown
from pnp._torch.concrete import is_concrete
from pnp._torch.modes import KeepingModule
from pnp.losses.checks import check_pair, check_probabilities

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


class ChoicesLoss(Loss):
    """Loss of the probabilities that a network gives to the options of choices: a sum over choices.

    Attributes:
        n_options: From the name of each choice to its number of options.
    """

    n_options: Mapping[str, int]

    def forward(self, probabilities: Mapping[str, Tensor], index: Tensor) -> Float[Tensor, "*batch"]:
        """Loss of a batch.

        Args:
            probabilities: From the name of each choice to the network's probabilities, shape (B, options); rows sum
                to one, as those of `torch.softmax` do.
            index: Row of each sound in the cache, integers of shape (B,).

        Returns:
            A scalar, or shape (B,) with reduction `"none"`.

        Raises:
            TypeError: If probabilities or index are not tensors of their type.
            ValueError: If a choice is missing, shapes do not fit, or rows do not sum to one.
            IndexError: If `index` is outside the cache, or, on the CPU, selects a sound without stored values.
        """
        total: Tensor | None = None
        for name, p in check_probabilities(probabilities, self.n_options).items():
            cost = self._of_choice(name, p, index)
            total = cost if total is None else total + cost
        assert total is not None
        if total.device.type == "cpu" and is_concrete(total) and total.isnan().any():
            self.check_index(index)
        return self._half(total)

    def _of_choice(self, name: str, probabilities: Tensor, index: Tensor) -> Tensor:
        """Return twice the loss of one choice, shape (B,)."""
        raise NotImplementedError

    def check_index(self, index: Tensor) -> None:
        """Check that every sound of a batch is in the cache, and has what the loss needs.

        Args:
            index: Rows in the cache, integers of shape (B,).

        Raises:
            IndexError: If one is outside the cache, or has not.
        """
        raise NotImplementedError


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
