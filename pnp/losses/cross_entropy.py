"""Cross-entropy of choices: the baseline that knows nothing of sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pnp.losses.base import ChoicesLoss
from pnp.losses.checks import check_choices, select_rows

if TYPE_CHECKING:
    from pnp._protocols import ChoiceCacheLike

__all__ = ["ChoiceCrossEntropy"]


class ChoiceCrossEntropy(ChoicesLoss):
    """Cross-entropy of choices, L = −μ Σ_c log p_c with the probability p_c of the true option.

    It goes with P-loss: every mistake costs the same, whatever it sounds like.

    Args:
        options: From the name of each choice to the position of the true option of all sounds, integers of shape (n,).
        n_options: From the name of each choice to its number of options.
        scale: Factor μ.
        reduction: `"mean"` or `"sum"` over the batch, or `"none"`.

    Raises:
        ValueError: If there is no choice, or an option is out of range.

    Examples:
        >>> loss = ChoiceCrossEntropy({"wave": torch.tensor([1])}, {"wave": 2})
        >>> loss({"wave": torch.tensor([[0.5, 0.5]])}, torch.tensor([0]))
        tensor(0.6931)
    """

    def __init__(
        self,
        options: Mapping[str, Tensor],
        n_options: Mapping[str, int],
        *,
        scale: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(scale, reduction)
        if not options:
            raise ValueError("A cross-entropy of choices needs the options of at least one choice; got none.")
        self.names = tuple(options)
        self.n_options = {name: int(n_options[name]) for name in self.names}
        for name, true in options.items():
            if true.numel() and not 0 <= int(true.min()) <= int(true.max()) < self.n_options[name]:
                raise ValueError(
                    f"Options of choice {name!r} must be in 0 … {self.n_options[name] - 1}; got "
                    f"{int(true.min())} … {int(true.max())}."
                )
            self.register_buffer(f"option_{name}", true.long())

    @classmethod
    def from_cache(cls, cache: ChoiceCacheLike, **options: Any) -> ChoiceCrossEntropy:
        """Loss over the choices of a cache.

        Args:
            cache: Open metric cache whose space has choices.
            **options: Options of the loss.

        Returns:
            The loss, on the CPU.

        Raises:
            ValueError: If the space of the cache has no choices.
        """
        check_choices(cache)
        choices = cache.space.choices
        true = {choice.name: cache.choices[:, column] for column, choice in enumerate(choices)}
        return cls(true, {choice.name: len(choice.choices) for choice in choices}, **options)

    def _of_choice(self, name: str, probabilities: Tensor, index: Tensor) -> Tensor:
        option = self.get_buffer(f"option_{name}")
        true = select_rows(option, index, len(probabilities), self.check_index)
        # A probability of zero has a finite loss: that of the least number.
        least = torch.finfo(probabilities.dtype).tiny
        return -2 * probabilities.gather(1, true[:, None])[:, 0].clamp(min=least).log()

    def check_index(self, index: Tensor) -> None:
        """Check that every sound of a batch is in the cache.

        Args:
            index: Rows in the cache, integers of shape (B,).

        Raises:
            IndexError: If one is outside the cache.
        """
        n_sounds = len(self.get_buffer(f"option_{self.names[0]}"))
        outside = (index < 0) | (index >= n_sounds)
        if outside.any():
            raise IndexError(
                f"Index must be in 0 … {n_sounds - 1}, the rows of the cache; got {index[outside][:8].tolist()}. "
                "Likely cause: it belongs to another cache."
            )
