"""Loss of choices: which mistakes are audible, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from pnp._arguments import check_cache, check_keywords, finite_number, shown, truth
from pnp.losses.base import ChoicesLoss
from pnp.losses.checks import check_choices, check_rows, select_rows
from pnp.losses.normalization import normalization
from pnp.metric.reach import DEFAULT_REACH

if TYPE_CHECKING:
    from pnp._protocols import ChoiceCacheLike

__all__ = ["ChoiceLoss"]


class ChoiceLoss(ChoicesLoss):
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

    Examples:
        >>> import torch
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
        if not isinstance(distances, Mapping):
            raise TypeError(f"distances must be a mapping from choice to tensor, got {shown(distances)}")
        if not distances:
            raise ValueError("A choice loss needs the distances of at least one choice; got none.")
        for name, stored in distances.items():
            if not isinstance(stored, Tensor):
                raise TypeError(f"distances of choice {name!r} must be a tensor, got {shown(stored)}")
        lengths = {name: len(stored) for name, stored in distances.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"Distances of all choices must have the same number of sounds; got {lengths}.")
        self.names = tuple(distances)
        self.n_options = {name: stored.shape[-1] for name, stored in distances.items()}
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
        ceiling: float | None = None,
        normalize: bool | None = None,
        **options: Any,
    ) -> ChoiceLoss:
        """Loss over the choices of a cache, in the unit of `PNPLoss.from_cache` with the same arguments.

        Args:
            cache: Open metric cache whose space has choices.
            reach: Reach of that PNP loss, on which its unit depends.
            ceiling: Ceiling of that PNP loss, in place of its reach.
            normalize: Divide by the same number as that PNP loss. By default with a reach or a ceiling, and not
                without.
            **options: Options of the loss.

        Returns:
            The loss, on the CPU.

        Raises:
            ValueError: If the space of the cache has no choices.
        """
        check_cache(cache)
        check_keywords(f"{cls.__name__}.from_cache", options, cls, cls.from_cache, without=("distances",))
        check_choices(cache)
        asked = reach is not None or ceiling is not None
        if asked if normalize is None else truth("normalize", normalize):
            scale = finite_number("scale", options.get("scale", 1.0), above=0)
            options["scale"] = scale / normalization(cache, reach, ceiling)
        return cls(dict(cache.choice_distances), **options)

    def _of_choice(self, name: str, probabilities: Tensor, index: Tensor) -> Tensor:
        stored = self.get_buffer(f"distance_{name}")
        chosen = select_rows(stored, index, len(probabilities), self.check_index)
        return (probabilities * chosen.to(probabilities.dtype)).sum(-1)

    def check_index(self, index: Tensor) -> None:
        """Check that every sound of a batch is in the cache and has distances.

        Args:
            index: Rows in the cache, integers of shape (B,).

        Raises:
            IndexError: If one is outside the cache, or failed.
        """
        check_rows(self.get_buffer(f"distance_{self.names[0]}")[:, 0], index, "distances")
