"""Loss of choices: which mistakes are audible, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._torch.concrete import is_concrete
from pnp.losses.base import Loss
from pnp.losses.checks import check_rows, select_rows
from pnp.losses.pnp import normalization
from pnp.metric.reach import DEFAULT_REACH

if TYPE_CHECKING:
    from pnp._protocols import ChoiceCacheLike

__all__ = ["ChoiceLoss"]

# Probabilities sum to one, but for the rounding of half precision.
_SLACK = 1e-2


class ChoiceLoss(Loss):
    """Expected squared distance of choices, L = μ/2 Σ_c Σₖ p_ck d²_ck.

    The sum runs over choices c and their options k. d²_ck is the squared feature distance between a sound and the same
    sound with option k, zero at the true option, and p_ck is the probability that the network gives to it. A network
    that confuses two options which sound alike is not punished. The unit is that of PNP loss, so that the two add.

    Args:
        distances: From the name of each choice to the squared distances of all sounds, shape (n, options). NaN where a
            sound failed.
        scale: Factor μ.
        reduction: `"mean"` or `"sum"` over the batch, or `"none"`.

    Raises:
        ValueError: If there is no choice, shapes do not fit, a distance is negative, or an option is out of range.

    Example:
        >>> loss = ChoiceLoss({"wave": torch.tensor([[0.0, 4.0, 0.1]])})
        >>> loss({"wave": torch.tensor([[0.0, 0.0, 1.0]])}, torch.tensor([0]))
        tensor(0.0500)

    Source:
        Expected cost under unequal costs: Elkan, "The foundations of cost-sensitive learning", IJCAI 2001.
    """

    def __init__(
        self, distances: Mapping[str, Tensor], *, scale: float = 1.0, reduction: str = "mean"
    ) -> None:
        super().__init__(scale, reduction)
        if not distances:
            raise ValueError("A choice loss needs the distances of at least one choice; got none.")
        lengths = {name: len(stored) for name, stored in distances.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"Distances of all choices must have the same number of sounds; got {lengths}.")
        self.names = tuple(distances)
        for name, stored in distances.items():
            if stored.ndim != 2 or stored.shape[1] < 2:
                raise ValueError(
                    f"Distances of choice {name!r} must have shape (n, options) with two options or more; got "
                    f"{tuple(stored.shape)}."
                )
            if (stored < 0).any() or stored.isinf().any():
                raise ValueError(f"Squared distances of choice {name!r} must be finite and at least 0.")
            self.register_buffer(f"distance_{name}", stored.float())

    @classmethod
    def from_cache(
        cls,
        cache: ChoiceCacheLike,
        *,
        reach: float | None = DEFAULT_REACH,
        normalize: bool | None = None,
        **options: Any,
    ) -> ChoiceLoss:
        """Loss over the choices of a cache, in the unit of `PNPLoss.from_cache` with the same arguments.

        Args:
            cache: Open metric cache whose space has choices.
            reach: Reach of that PNP loss, on which its unit depends.
            normalize: Divide by the same number as that PNP loss. By default with a reach, and not without.
            **options: Options of the loss.

        Returns:
            The loss, on the CPU.

        Raises:
            ValueError: If the space of the cache has no choices.
        """
        if not cache.space.choices:
            raise ValueError(
                f"The space of {cache.path} has no choices, {', '.join(cache.space.column_names)}; a choice is "
                "Parameter(name, choices=(…))."
            )
        if normalize or (normalize is None and reach is not None):
            options["scale"] = options.get("scale", 1.0) / normalization(cache, reach)
        return cls(dict(cache.choice_distances), **options)

    def forward(self, probabilities: Mapping[str, Tensor], index: Tensor) -> Float[Tensor, "*batch"]:
        """Choice loss of a batch.

        Args:
            probabilities: From the name of each choice to the network's probabilities, shape (B, options); rows sum
                to one, as those of `torch.softmax` do.
            index: Row of each sound in the cache, integers of shape (B,).

        Returns:
            A scalar, or shape (B,) with reduction `"none"`.

        Raises:
            TypeError: If probabilities or index are not tensors of their type.
            ValueError: If a choice is missing, shapes do not fit, or rows do not sum to one.
            IndexError: If `index` is outside the cache, or, on the CPU, selects a sound that failed.
        """
        missing = [name for name in self.names if name not in probabilities]
        if missing or len(probabilities) != len(self.names):
            raise ValueError(
                f"Probabilities must be a mapping with the choices {', '.join(self.names)}; got "
                f"{', '.join(map(str, probabilities)) or 'none'}."
            )
        total: Tensor | None = None
        for name in self.names:
            stored, p = self.get_buffer(f"distance_{name}"), probabilities[name]
            p = _checked(name, p, stored.shape[1])
            chosen = select_rows(stored, index, len(p), self.check_index)
            expected = (p * chosen.to(p.dtype)).sum(-1)
            total = expected if total is None else total + expected
        assert total is not None
        if total.device.type == "cpu" and is_concrete(total) and total.isnan().any():
            self.check_index(index)
        return self._half(total)

    def check_index(self, index: Tensor) -> None:
        """Check that every sound of a batch is in the cache and has distances.

        Args:
            index: Rows in the cache, integers of shape (B,).

        Raises:
            IndexError: If one is outside the cache, or failed.
        """
        check_rows(self.get_buffer(f"distance_{self.names[0]}")[:, 0], index, "distances")


def _checked(name: str, p: Tensor, options: int) -> Tensor:
    """Probabilities in single precision at least, once they have been checked."""
    if not isinstance(p, Tensor) or not p.is_floating_point():
        got = p.dtype if isinstance(p, Tensor) else type(p).__name__
        raise TypeError(f"Probabilities of {name!r} must be a floating-point tensor; got {got}.")
    if p.ndim != 2 or p.shape[1] != options:
        raise ValueError(
            f"Probabilities of {name!r} must have shape (B, {options}), one for each option; got {tuple(p.shape)}."
        )
    p = p.to(torch.promote_types(p.dtype, torch.float32))
    if p.device.type == "cpu" and is_concrete(p):
        values = p.detach()
        off = ((values.sum(-1) - 1).abs() > _SLACK) | (values < -_SLACK).any(-1)
        if off.any():
            row = int(off.nonzero()[0])
            raise ValueError(
                f"Probabilities of {name!r} must be at least 0 and sum to 1; row {row} sums to "
                f"{float(values[row].sum()):.3g}. Likely cause: logits; apply torch.softmax."
            )
    return p
