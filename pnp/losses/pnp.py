"""Perceptual-neural-physical loss: a quadratic form with a precomputed metric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import check_cache, check_keywords, finite_number, truth
from pnp._torch.concrete import is_concrete
from pnp._torch.dtypes import floating_type
from pnp._torch.modes import ordinary
from pnp.losses import quadratic_form
from pnp.losses.base import Loss
from pnp.losses.checks import check_pair, check_rows, select_rows
from pnp.losses.normalization import mean_eigenvalue, training_sounds
from pnp.metric.reach import DEFAULT_REACH, chosen_ceiling
from pnp.metric.riemannian import DAMPING_KINDS, RiemannianMetric

if TYPE_CHECKING:
    from pnp._protocols import CacheLike

__all__ = ["LARGEST_DAMPING", "PNPLoss"]

# Of λ: a loss in float32, with a sum over a large batch and a diagonal D, has room for it. A float32 number itself, for
# λ is kept as one and may be set again to what it is.
LARGEST_DAMPING = 2.0**100


class PNPLoss(Loss):
    """Perceptual-neural-physical loss: a quadratic form in the parameter error, with a precomputed metric.

    For the sound at row i of a cache, with metric Mᵢ = RᵢᵀRᵢ,

        L = wᵢ μ/2 Δuᵀ (Mᵢ + λD) Δu = wᵢ μ/2 (‖Rᵢ Δu‖² + λ ΔuᵀDΔu),        Δu = û − u,

    whose gradient with respect to û is wᵢ μ (Mᵢ + λD) Δu. Nothing is synthesized and nothing is analysed. The
    loss is never negative, by construction: what it keeps is the factor R.

    The factors of the whole cache are one buffer, `factor` of shape (n, P, P), on the loss's device: 4096
    sounds with 5 parameters take 400 kB. Move the loss like any module. It computes in float32 at least,
    under autocast too.

    A sound without a metric, because it failed in precomputation, has NaN in its row. On the CPU, a batch
    that holds one, or an index outside the cache, raises `IndexError`. On a GPU, and in compiled code,
    looking would stall every step, so the loss of such a sound comes out as NaN, and an index outside the
    cache trips PyTorch's own assertion; `check_index` looks on request.

    Args:
        metric: Metrics of all sounds, batch shape (n,), whose rows `index` selects; or one metric, batch
            shape (), for every sound, and then `index` is not needed; or None, and then each call brings its
            own.
        damping: λ ≥ 0. May be changed at any time through the attribute `damping`, as `LevenbergMarquardt`
            does.
        damping_kind: D as in `RiemannianMetric.damped`: `"identity"` (D = I), `"diagonal"` (D = diag Mᵢ) or
            `"mean"` (D = mean of M).
        scale: Factor μ.
        normalize: Divide all metrics by their mean eigenvalue, mean(tr M) / P, before λ is added. PNP loss is
            then as large as P-loss on average, and the same learning rates suit both.
        ceiling: Ceiling κ of the eigenvalues of M before all else, as in `RiemannianMetric.saturated`; None for none.
        volume_weighting: Exponent a ≥ 0 of the weights wᵢ = vᵢᵃ / mean(vᵃ) with vᵢ = √det Mᵢ, the volume that
            a unit of the cube takes up in perceptual space. 0: all sounds count alike; 1: as if the sounds
            had been drawn uniformly in perceptual space.
        reference: Metrics over which the means above are taken. Default: all of `metric`.
        reduction: `"mean"` or `"sum"` over the batch, or `"none"`.
        dtype: In which the factors are stored.

    Raises:
        TypeError: If `metric` or `reference` is not a `RiemannianMetric`.
        ValueError: If an option is outside its range, the reference is about other parameters, or means are asked for
            and no sound has a metric.

    Examples:
        >>> metric = RiemannianMetric.from_factor(torch.diag_embed(torch.tensor([[1.0, 1.0], [10.0, 0.1]])))
        >>> loss = PNPLoss(metric, reduction="none")
        >>> u = torch.zeros(2, 2)
        >>> loss(u + 1, u, torch.tensor([0, 1]))
        tensor([ 1.0000, 50.0050])

    Source:
        Han, Lostanlen, Lagrange, "Perceptual-Neural-Physical Sound Matching", ICASSP 2023, eq. 6; damping:
        the same authors, "Learning to Solve Inverse Problems for Perceptual Sound Matching", TASLP 2024.
    """

    factor: Tensor | None
    mean_factor: Tensor | None
    weight: Tensor | None
    damping_lambda: Tensor

    def __init__(
        self,
        metric: RiemannianMetric | None = None,
        *,
        damping: float = 0.0,
        damping_kind: str = "identity",
        scale: float = 1.0,
        normalize: bool = False,
        ceiling: float | None = None,
        volume_weighting: float = 0.0,
        reference: RiemannianMetric | None = None,
        reduction: str = "mean",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(scale, reduction)
        for name, given in (("The metric of a loss", metric), ("The reference of a loss", reference)):
            if given is not None and not isinstance(given, RiemannianMetric):
                raise TypeError(
                    f"{name} must be a RiemannianMetric; got {type(given).__name__}. Build one with "
                    "RiemannianMetric.from_jacobian, from_factor or from_matrix."
                )
        if metric is not None and reference is not None and reference.n_parameters != metric.n_parameters:
            raise ValueError(
                f"The reference must be about the P = {metric.n_parameters} parameters of the metric; got "
                f"P = {reference.n_parameters}."
            )
        dtype, normalize = floating_type("dtype", dtype), truth("normalize", normalize)
        if damping_kind not in DAMPING_KINDS:
            raise ValueError(f"Damping kind must be one of {', '.join(DAMPING_KINDS)}; got {damping_kind!r}.")
        ceiling = None if ceiling is None else finite_number("ceiling", ceiling, above=0)
        volume_weighting = finite_number("volume_weighting", volume_weighting, least=0)
        if metric is None and (
            normalize or volume_weighting or ceiling is not None or damping_kind == "mean"
        ):
            raise ValueError(
                "Normalization, volume weighting, a ceiling and mean damping need the metrics of all sounds; "
                "got metric=None."
            )
        if metric is not None and len(metric.batch_shape) > 1:
            raise ValueError(
                f"The metric of a loss must have batch shape (n,) or (); got {tuple(metric.batch_shape)}."
            )
        self.damping_kind = damping_kind
        # For `repr`: the metrics that are kept have been through it.
        self.settings = "" if metric is None else f"normalize={normalize}, ceiling={_brief(ceiling)}, "
        factor = mean_factor = weight = None
        if metric is not None:
            if ceiling is not None:
                metric = metric.saturated(ceiling)
                reference = None if reference is None else reference.saturated(ceiling)
            reference = metric if reference is None else reference
            unit = mean_eigenvalue(reference) if normalize else 1.0
            scaled = metric.scaled(1 / unit).factor
            factor = scaled.to(dtype, copy=True).contiguous()
            if factor.isinf().any():
                raise ValueError(
                    f"Factors of the metrics, as large as {float(scaled.nan_to_num().abs().max()):.3g}, overflow in "
                    f"{dtype}; use another dtype, or normalize=True."
                )
            if damping_kind == "mean":
                mean_factor = reference.mean().scaled(1 / unit).factor.to(dtype).contiguous()
            if volume_weighting:
                weight = _volume_weights(metric, reference, volume_weighting).to(dtype)
        self.register_buffer("factor", factor)
        self.register_buffer("mean_factor", mean_factor)
        self.register_buffer("weight", weight)
        self.register_buffer("damping_lambda", torch.zeros((), dtype=torch.float32))
        self.damping = damping

    @classmethod
    def from_cache(
        cls,
        cache: CacheLike,
        *,
        reach: float | None = DEFAULT_REACH,
        normalize: bool | None = None,
        mean_metric: bool = False,
        **options: Any,
    ) -> PNPLoss:
        """Loss over the sounds of a cache; the batch's `index` is the row in the cache.

        By default it is what the evidence recommends: normalized, with a reach. `reach=None` is the plain form, half
        the squared distance to first order.

        Means (for `normalize`, `damping_kind="mean"`, `volume_weighting` and `mean_metric`) are taken over
        the training fold alone.

        Args:
            cache: Open metric cache.
            reach: Size r of parameter error that the loss should describe, in units of the cube. Sets the ceiling
                κ = d²/r², with d the root mean square distance between the features of two sounds of the training
                fold: no direction then counts as if an error of r along it changed the sound by more than d. None
                leaves the metric as it is, which is right for errors that are small enough. A `ceiling` among the
                options takes the place of the default, and excludes a reach.
            normalize: Divide all metrics by their mean eigenvalue, as the class does. By default with a reach or a
                ceiling, and not without.
            mean_metric: Use the mean metric for every sound: L = μ/2 Δuᵀ (mean M + λD) Δu, which weighs and
                mixes parameters as the ear does on average, the same everywhere. Not with volume weighting, which
                tells sounds apart by their own metrics.
            **options: Options of the loss.

        Returns:
            The loss, on the CPU.

        Raises:
            TypeError: If there is no option of a name given, or a number is none.
            ValueError: If no sound of the training fold has a metric, a reach is asked for and there is one training
                sound or all have the same features, a reach and a ceiling are given, or an option is outside its
                range.
        """
        check_cache(cache)
        check_keywords(
            f"{cls.__name__}.from_cache", options, cls, cls.from_cache, without=("metric", "reference")
        )
        if truth("mean_metric", mean_metric) and options.get("volume_weighting"):
            raise ValueError(
                "Volume weighting tells sounds apart by their own metrics; with mean_metric there is one for all."
            )
        metrics = cache.metrics()
        training = training_sounds(cache, metrics)
        ceiling = chosen_ceiling(cache, reach, options.pop("ceiling", None))
        if ceiling is not None:
            # Here and not in the loss, for a mean metric is to be the mean of saturated ones.
            metrics = metrics.saturated(ceiling)
        reference = metrics[training]
        normalize = ceiling is not None if normalize is None else truth("normalize", normalize)
        loss = cls(
            reference.mean() if mean_metric else metrics,
            reference=reference,
            normalize=normalize,
            **options,
        )
        loss.settings = f"normalize={normalize}, reach={_brief(reach)}, ceiling={_brief(ceiling)}, "
        return loss

    @property
    def damping(self) -> float:
        """Damping λ."""
        return float(self.damping_lambda)

    @damping.setter
    def damping(self, value: float) -> None:
        # Beyond the largest, losses overflow.
        self.damping_lambda.fill_(finite_number("damping", value, least=0, most=LARGEST_DAMPING))

    def undamped(self) -> PNPLoss:
        """The same loss with λ = 0, sharing its buffers: what to validate with while λ changes."""
        twin = type(self)(scale=self.scale, reduction=self.reduction)
        twin.settings = self.settings
        twin.factor, twin.weight = self.factor, self.weight
        with ordinary():
            twin.damping_lambda = torch.zeros_like(self.damping_lambda)
        return twin

    def forward(
        self,
        u_hat: Tensor,
        u: Tensor,
        index: Tensor | None = None,
        *,
        metric: Tensor | RiemannianMetric | None = None,
    ) -> Float[Tensor, "*batch"]:
        """PNP loss of a batch.

        Args:
            u_hat: Predicted parameters û in units of the cube, shape (B, P), in any floating-point type. NaN
                passes through to the loss, as it does for PyTorch's own losses.
            u: True parameters, shape (B, P).
            index: Row of each sound in the cache, integers of shape (B,).
            metric: Metrics of this batch in place of the stored ones, taken as they are: M of shape (B, P, P), or a
                `RiemannianMetric`. Normalization, ceiling and volume weighting were of the stored ones and do not
                apply to them; build a `MetricField` from saturated or scaled metrics instead. A plain tensor is
                factored at each call, so that a metric which is none is found.

        Returns:
            A scalar, or shape (B,) with reduction `"none"`.

        Raises:
            TypeError: If a batch is not a floating-point tensor, or `index` not an integer one.
            ValueError: If shapes or devices do not fit, or a metric is not symmetric positive semi-definite.
            IndexError: If `index` is outside the cache, or selects a sound without a metric (see the class).
        """
        check_pair(u_hat, u)
        factor = self._select(u_hat, index, metric)
        dtype = torch.promote_types(torch.promote_types(u_hat.dtype, factor.dtype), torch.float32)
        factor = factor.to(dtype)
        du = u_hat.to(dtype) - u.to(dtype)
        if du.shape[-1] != factor.shape[-1]:
            raise ValueError(
                f"Parameters and metric must have the same number of parameters P; got {du.shape[-1]} "
                f"parameters and a metric of {factor.shape[-1]}. Likely cause: network and cache belong to "
                "different synthesizers."
            )
        weight = self.weight if metric is None else None
        if weight is not None and weight.ndim and index is not None:
            weight = weight.index_select(0, index)
        # What is known to change nothing is left out.
        on_hand = du.device.type == "cpu" and is_concrete(du)
        if on_hand and weight is None and self.reduction != "none" and len(du) and self.damping == 0:
            heard = quadratic_form.apply(factor, du).reshape(-1)
            items = len(du) if self.reduction == "mean" else 1
            loss = torch.dot(heard, heard) * (0.5 * self.scale / items)
        else:
            loss = self._half(
                quadratic_form.form(
                    du, factor, self.damping_lambda, self.damping_kind, self.mean_factor, weight
                )
            )
        # Only a sound without a metric, or a prediction of NaN, makes the loss NaN: no need to look at each before.
        chosen = metric is None and index is not None and factor.ndim == 3
        if on_hand and chosen and math.isnan(loss.detach().sum().item()):
            assert index is not None
            self.check_index(index)
        return loss

    def check_index(self, index: Tensor) -> None:
        """Check that every sound of a batch is in the cache and has a metric.

        On a GPU this waits for the device.

        Args:
            index: Rows in the cache, integers of shape (B,).

        Raises:
            IndexError: If one is outside the cache, or has no metric.
        """
        assert self.factor is not None
        check_rows(self.factor[:, 0, 0], index, "a metric")

    def _select(
        self, u_hat: Tensor, index: Tensor | None, metric: Tensor | RiemannianMetric | None
    ) -> Tensor:
        """Factors of the batch, shape (B, P, P), or (P, P) where one serves all."""
        if metric is not None:
            if not isinstance(metric, RiemannianMetric):
                metric = RiemannianMetric.from_matrix(metric)
            if metric.batch_shape not in ((), u_hat.shape[:-1]):
                raise ValueError(
                    f"The metric of a batch must have shape (B, P, P) with B = {len(u_hat)}; got batch shape "
                    f"{tuple(metric.batch_shape)}."
                )
            return metric.factor.to(torch.promote_types(u_hat.dtype, torch.float32))
        if self.factor is None:
            raise ValueError(
                "This loss has no metric of its own; pass metric=M with each batch, or build it from a cache."
            )
        if self.factor.ndim == 2:
            return self.factor
        return select_rows(self.factor, index, len(u_hat), self.check_index)

    def extra_repr(self) -> str:
        """Options, as `repr` shows them."""
        shape = None if self.factor is None else tuple(self.factor.shape)
        return (
            f"factor={shape}, {self.settings}damping={self.damping:g}, damping_kind={self.damping_kind!r}, "
            + super().extra_repr()
        )


def _brief(value: float | None) -> str:
    return "None" if value is None else f"{value:.3g}"


def _volume_weights(metric: RiemannianMetric, reference: RiemannianMetric, exponent: float) -> Tensor:
    """vᵃ / mean(vᵃ), by way of logarithms: volumes span more decades than floating-point numbers."""
    log_reference = exponent * reference.log_volume[reference.valid]
    log_mean = torch.logsumexp(log_reference, 0) - torch.log(torch.tensor(float(log_reference.numel())))
    if not torch.isfinite(log_mean):
        raise ValueError("Volume weighting needs a sound whose metric is not singular; every det M is 0.")
    return torch.exp(exponent * metric.log_volume - log_mean).nan_to_num(nan=1.0)
