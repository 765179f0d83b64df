"""Surrogate of the spectral loss, from the sounds of a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from pnp._arguments import check_cache, check_keywords, finite_number, shown, truth
from pnp.losses.base import PairLoss
from pnp.losses.normalization import normalization
from pnp.losses.quadratic_form import squared_norm
from pnp.metric.surrogate import DistanceSurrogate

if TYPE_CHECKING:
    from pnp._protocols import CacheLike

__all__ = ["SurrogateLoss"]


class SurrogateLoss(PairLoss):
    """Surrogate of the spectral loss, L = μ/2 ‖Φ̃(û) − Φ̃(u)‖², with Φ̃ from the sounds of a cache.

    Φ̃ blends first-order expansions of the features around the nearest sounds of the cache, at û and at u, so
    that it follows the sound where PNP loss goes on along one tangent. Nothing is synthesized, and u need not
    be in the cache.

    Args:
        surrogate: Features Φ̃.
        scale: Factor μ.
        reduction: `"mean"` or `"sum"` over the batch, or `"none"`.
    """

    def __init__(self, surrogate: DistanceSurrogate, *, scale: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(scale, reduction)
        if not isinstance(surrogate, DistanceSurrogate):
            raise TypeError(f"surrogate must be a pnp.DistanceSurrogate, got {shown(surrogate)}")
        self.surrogate = surrogate

    @classmethod
    def from_cache(
        cls,
        cache: CacheLike,
        *,
        rank: int | None = None,
        neighbours: int | None = None,
        reach: float | None = 1.0,
        normalize: bool = False,
        **options: Any,
    ) -> SurrogateLoss:
        """Loss through the training sounds of a cache that keeps features and Jacobians.

        Args:
            cache: Open metric cache.
            rank: Dimensions of the features that are kept, as for `DistanceSurrogate`.
            neighbours: Sounds that are blended, likewise.
            reach: Size of the differences for which expansions are to stand, as for `DistanceSurrogate.from_cache`.
            normalize: Divide by the mean eigenvalue of the metric over the training sounds, saturated for the same
                reach, as `PNPLoss` does.
            **options: Options of the loss.

        Returns:
            The loss, on the CPU.

        Raises:
            CacheError: If the cache does not keep features and Jacobians.
            ValueError: If there are too few sounds, an option is outside its range, or the sounds differ in choices,
                conditions or parameters that `select` left out.
        """
        check_cache(cache)
        check_keywords(f"{cls.__name__}.from_cache", options, cls, cls.from_cache, without=("surrogate",))
        columns = getattr(cache, "synth_space", cache.space).column_names
        others = [name for name in columns if name not in cache.space.names]
        if others:
            raise ValueError(
                f"A surrogate blends sounds that are near in their parameters; those of {cache.path} also differ in "
                f"{', '.join(others)}, which are not predicted. Use PNPLoss, whose metric is that of each sound."
            )
        surrogate = DistanceSurrogate.from_cache(cache, rank=rank, neighbours=neighbours, reach=reach)
        if truth("normalize", normalize):
            scale = finite_number("scale", options.get("scale", 1.0), above=0)
            options["scale"] = scale / normalization(cache, reach)
        return cls(surrogate, **options)

    def _of_pair(self, u_hat: Tensor, u: Tensor) -> Tensor:
        return self._half(squared_norm(self.surrogate(u_hat) - self.surrogate(u)))
