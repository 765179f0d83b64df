"""Losses between predicted and true synthesizer parameters, behind one call: `loss(u_hat, u, index)`.

- `ParameterLoss`: ½‖Δu‖², blind to what is heard;
- `PNPLoss`: ½ Δuᵀ M Δu with the precomputed metric M of each sound, at nearly the same price;
- `SurrogateLoss`: ½‖Φ̃(û) − Φ̃(u)‖² with Φ̃ interpolated between the sounds of a cache, good far away too;
- `SpectralLoss`: ½‖Φ(g(û)) − Φ(g(u))‖², which the two before approximate, through synthesizer and features each
  time.

Here u are parameters scaled to the cube [−1, 1]^P and Δu = û − u. All of them carry the factor ½ and none
divides by the number of parameters or features, so that PNP loss is the expansion of spectral loss to second
order in Δu.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp import quadratic_form
from pnp._concrete import is_concrete
from pnp.metric import DAMPING_KINDS, RiemannianMetric
from pnp.reach import ceiling_of_reach
from pnp.surrogate import DistanceSurrogate

if TYPE_CHECKING:
    from pnp.parameters import ParameterSpace
    from pnp.store import MetricCache

REDUCTIONS = ("mean", "sum", "none")

# Of λ: a loss in float32, with a sum over a large batch and a diagonal D, has room for it. A float32 number itself, for
# λ is kept as one and may be set again to what it is.
LARGEST_DAMPING = 2.0**100


class _Loss(nn.Module):
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


class ParameterLoss(_Loss):
    """P-loss, L = μ/2 ‖û − u‖²: the baseline that knows nothing of sound.

    It equals `PNPLoss` with M = I.

    Args:
        scale: Factor μ.
        reduction: `"mean"` or `"sum"` over the batch, or `"none"`.

    Example:
        >>> ParameterLoss()(torch.tensor([[0.5, 0.0]]), torch.tensor([[0.0, 1.0]]))
        tensor(0.6250)
    """

    def __init__(self, *, scale: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(scale, reduction)

    def forward(
        self, u_hat: Tensor, u: Tensor, index: Tensor | None = None, *, metric: Tensor | None = None
    ) -> Float[Tensor, "*batch"]:
        """P-loss of a batch.

        Args:
            u_hat: Predicted parameters û in units of the cube, shape (B, P).
            u: True parameters, shape (B, P).
            index: Not used; here so that losses can stand in for each other.
            metric: Not used.

        Returns:
            A scalar, or shape (B,) with reduction `"none"`.

        Raises:
            TypeError: If a batch is not a floating-point tensor.
            ValueError: If the shapes differ or are not (B, P).
        """
        del index, metric
        _check_pair(u_hat, u)
        dtype = u_hat.dtype
        if self.reduction == "none" or dtype not in (torch.float32, torch.float64):
            return self._half(quadratic_form.squared_norm(_difference(u_hat, u, dtype)))
        # One operation where the same takes three; autocast would change the type of what has half precision.
        error: Tensor = nn.functional.mse_loss(u_hat, u.to(dtype), reduction=self.reduction)
        return error * (0.5 * self.scale * (u_hat.shape[1] if self.reduction == "mean" else 1))


class PNPLoss(_Loss):
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

    On the CPU, where Numba is installed and parameters and factors are of one type, float32 or float64, value and
    gradient come out of one compiled loop, for little more than the mean squared error costs. The first call of a
    process takes half a second for it, and two when there is nothing compiled on disk yet.

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
        ValueError: If an option is outside its range, or means are asked for and no sound has a metric.

    Example:
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
        if damping_kind not in DAMPING_KINDS:
            raise ValueError(f"Damping kind must be one of {', '.join(DAMPING_KINDS)}; got {damping_kind!r}.")
        if not 0 <= volume_weighting < float("inf"):
            raise ValueError(f"Volume weighting must be finite and at least 0; got {volume_weighting}.")
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
        factor = mean_factor = weight = None
        if metric is not None:
            if ceiling is not None:
                metric = metric.saturated(ceiling)
                reference = None if reference is None else reference.saturated(ceiling)
            reference = metric if reference is None else reference
            normalization = float(reference.mean().trace) / metric.n_parameters if normalize else 1.0
            if normalization == 0:
                raise ValueError("The metric cannot be normalized: it is zero at every sound.")
            scaled = metric.scaled(1 / normalization).factor
            factor = scaled.to(dtype, copy=True).contiguous()
            if factor.isinf().any():
                raise ValueError(
                    f"Factors of the metrics, as large as {float(scaled.nan_to_num().abs().max()):.3g}, overflow in "
                    f"{dtype}; use another dtype, or normalize=True."
                )
            if damping_kind == "mean":
                mean_factor = reference.mean().scaled(1 / normalization).factor.to(dtype).contiguous()
            if volume_weighting:
                weight = _volume_weights(metric, reference, volume_weighting).to(dtype)
        self.register_buffer("factor", factor)
        self.register_buffer("mean_factor", mean_factor)
        self.register_buffer("weight", weight)
        self.register_buffer("damping_lambda", torch.zeros((), dtype=torch.float32))
        self.damping = damping

    @classmethod
    def from_cache(
        cls, cache: MetricCache, *, mean_metric: bool = False, reach: float | None = None, **options: Any
    ) -> PNPLoss:
        """Loss over the sounds of a cache; the batch's `index` is the row in the cache.

        Means (for `normalize`, `damping_kind="mean"`, `volume_weighting` and `mean_metric`) are taken over
        the training fold alone.

        Args:
            cache: Open metric cache.
            mean_metric: Use the mean metric for every sound: L = μ/2 Δuᵀ (mean M + λD) Δu, which weighs and
                mixes parameters as the ear does on average, the same everywhere. Not with volume weighting, which
                tells sounds apart by their own metrics.
            reach: Size r of the differences Δu for which the loss is to stand for the distance, in units of the
                cube. Sets the ceiling κ = d²/r², with d the root mean square distance between the features of two
                sounds of the training fold: no direction then counts as if a difference of r along it changed the
                sound by more than d. None leaves the metric as it is, which is right for differences that are small
                enough. Drums wanted 3 to 10, far more than the errors that were left (`docs/evidence.md`).
            **options: Options of the loss.

        Returns:
            The loss, on the CPU.

        Raises:
            ValueError: If no sound of the training fold has a metric, or an option is outside its range.
            CacheError: If `reach` is asked for and the cache keeps no features.
        """
        if reach is not None:
            if options.get("ceiling") is not None:
                raise ValueError("The reach sets the ceiling; give one of both.")
            options["ceiling"] = ceiling_of_reach(cache, reach)
        if mean_metric and options.get("volume_weighting"):
            raise ValueError(
                "Volume weighting tells sounds apart by their own metrics; with mean_metric there is one for all."
            )
        metrics = cache.metrics()
        ceiling = options.pop("ceiling", None)
        if ceiling is not None:
            # Here and not in the loss, for a mean metric is to be the mean of saturated ones.
            metrics = metrics.saturated(ceiling)
        training = metrics.valid & (cache.fold == 0)
        if not training.any():
            raise ValueError(
                f"No sound in the training fold of {cache.path} has a metric; of all {len(metrics)} sounds, "
                f"{int(metrics.valid.sum())} have one. Likely cause: precomputation has not finished."
            )
        reference = metrics[training]
        return cls(reference.mean() if mean_metric else metrics, reference=reference, **options)

    @property
    def damping(self) -> float:
        """Damping λ."""
        return float(self.damping_lambda)

    @damping.setter
    def damping(self, value: float) -> None:
        if not 0 <= value <= LARGEST_DAMPING:
            raise ValueError(
                f"Damping λ must be at least 0 and at most {LARGEST_DAMPING:g}, beyond which losses overflow; "
                f"got {value}."
            )
        self.damping_lambda.fill_(value)

    def undamped(self) -> PNPLoss:
        """The same loss with λ = 0, sharing its buffers: what to validate with while λ changes."""
        twin = type(self)(scale=self.scale, reduction=self.reduction)
        twin.factor, twin.weight = self.factor, self.weight
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
        if metric is None:
            # Steps are short enough for the look-up of an attribute to show.
            buffers = self._buffers
            damping = buffers["damping_lambda"]
            assert damping is not None
            loss = quadratic_form.fused(
                u_hat,
                u,
                index,
                buffers["factor"],
                damping,
                self.damping_kind,
                buffers["mean_factor"],
                buffers["weight"],
                self.scale,
                self.reduction,
                self.check_index,
            )
            if loss is not None:
                return loss
        _check_pair(u_hat, u)
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
        _check_rows(self.factor[:, 0, 0], index, "a metric")

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
        return _select_rows(self.factor, index, len(u_hat), self.check_index)

    def extra_repr(self) -> str:
        """Options, as `repr` shows them."""
        shape = None if self.factor is None else tuple(self.factor.shape)
        return (
            f"factor={shape}, damping={self.damping:g}, damping_kind={self.damping_kind!r}, "
            + super().extra_repr()
        )


class SurrogateLoss(_Loss):
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
        self.surrogate = surrogate

    @classmethod
    def from_cache(
        cls,
        cache: MetricCache,
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
            ValueError: If there are too few sounds, or an option is outside its range.
        """
        surrogate = DistanceSurrogate.from_cache(cache, rank=rank, neighbours=neighbours, reach=reach)
        if normalize:
            metrics = cache.metrics()[cache.rows("train")]
            if reach is not None:
                metrics = metrics.saturated(ceiling_of_reach(cache, reach))
            mean = metrics.mean()
            options["scale"] = options.get("scale", 1.0) * mean.n_parameters / float(mean.trace)
        return cls(surrogate, **options)

    def forward(
        self, u_hat: Tensor, u: Tensor, index: Tensor | None = None, *, metric: Tensor | None = None
    ) -> Float[Tensor, "*batch"]:
        """Surrogate loss of a batch.

        Args:
            u_hat: Predicted parameters û in units of the cube, shape (B, P).
            u: True parameters, shape (B, P).
            index: Not used; here so that losses can stand in for each other.
            metric: Not used.

        Returns:
            A scalar, or shape (B,) with reduction `"none"`.

        Raises:
            TypeError: If a batch is not a floating-point tensor.
            ValueError: If the shapes differ or are not (B, P).
        """
        del index, metric
        _check_pair(u_hat, u)
        return self._half(quadratic_form.squared_norm(self.surrogate(u_hat) - self.surrogate(u)))


class SpectralLoss(_Loss):
    """Spectral loss, L = μ/2 ‖Φ(g(û)) − Φ(g(u))‖², with the gradient through synthesizer g and features Φ.

    With joint time-frequency scattering as Φ this is what `PNPLoss` approximates; with
    `pnp.multiscale.MultiscaleSTFT` and `power=1`, L = μ ‖Φ(g(û)) − Φ(g(u))‖₁ is the field's usual loss.

    Args:
        synth: Synthesizer g: a module from physical parameters (B, P) to audio (B, N), with attribute
            `space`.
        features: Features Φ: a module from audio (B, N) to (B, ...).
        targets: Features of all sounds, shape (n, ...), whose rows `index` selects; saves half of the work.
            None: compute them from u at each call.
        power: 2 for half the squared Euclidean distance, 1 for the sum of absolute differences.
        scale: Factor μ.
        reduction: `"mean"` or `"sum"` over the batch, or `"none"`.

    Raises:
        ValueError: If an option is outside its range.
    """

    targets: Tensor | None

    def __init__(
        self,
        synth: nn.Module,
        features: nn.Module,
        *,
        targets: Tensor | None = None,
        power: int = 2,
        scale: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(scale, reduction)
        if power not in (1, 2):
            raise ValueError(f"Power must be 1 or 2; got {power}.")
        self.power = power
        self.synth = synth
        self.space: ParameterSpace = synth.space  # type: ignore[assignment]  # modules are typed as of modules
        self.features = features
        # The targets can be recomputed and are large: not in the state.
        self.register_buffer("targets", targets, persistent=False)

    def forward(
        self, u_hat: Tensor, u: Tensor, index: Tensor | None = None, *, metric: Tensor | None = None
    ) -> Float[Tensor, "*batch"]:
        """Spectral loss of a batch.

        Args:
            u_hat: Predicted parameters û in units of the cube, shape (B, P).
            u: True parameters, shape (B, P).
            index: Row of each sound in `targets`, integers of shape (B,); needed where there are targets.
            metric: Not used.

        Returns:
            A scalar, or shape (B,) with reduction `"none"`.

        Raises:
            TypeError: If a batch is not a floating-point tensor.
            ValueError: If shapes do not fit, or there are targets and no index.
            IndexError: If `index` is outside the cache, or, on the CPU, selects a sound without features.
        """
        del metric
        _check_pair(u_hat, u)
        if self.targets is None:
            with torch.no_grad():
                target = self._analyse(u.to(u_hat.dtype))
        else:
            target = _select_rows(self.targets, index, len(u_hat), self.check_index)
        difference = (self._analyse(u_hat) - target).flatten(1)
        form = 2 * difference.abs().sum(-1) if self.power == 1 else quadratic_form.squared_norm(difference)
        if (
            self.targets is not None
            and form.device.type == "cpu"
            and is_concrete(form)
            and form.isnan().any()
        ):
            assert index is not None
            self.check_index(index)
        return self._half(form)

    def check_index(self, index: Tensor) -> None:
        """Check that every sound of a batch is in the cache and has features among the stored targets.

        Args:
            index: Rows in the cache, integers of shape (B,).

        Raises:
            IndexError: If one is outside the cache, or has no features.
        """
        assert self.targets is not None
        _check_rows(self.targets.flatten(1)[:, 0], index, "features")

    def _analyse(self, u: Tensor) -> Tensor:
        features: Tensor = self.features(self.synth(self.space.from_unit(u)))
        return features


def _select_rows(
    stored: Tensor, index: Tensor | None, n_items: int, check_index: Callable[[Tensor], None]
) -> Tensor:
    """Rows of what is stored for every sound of a cache, after checking the index."""
    if index is None:
        raise ValueError(
            "A loss over the sounds of a cache needs the index of each sound: loss(u_hat, u, index)."
        )
    if not isinstance(index, Tensor) or index.dtype not in (torch.int64, torch.int32):
        got = index.dtype if isinstance(index, Tensor) else type(index).__name__
        raise TypeError(f"Index must be a tensor of row numbers in the cache (torch.int64); got {got}.")
    if index.shape != (n_items,):
        raise ValueError(
            f"Index must have shape (B,) with B = {n_items}, a row for each item; got {tuple(index.shape)}."
        )
    if index.device != stored.device:
        raise ValueError(f"Index is on {index.device} but the loss on {stored.device}; move one of them.")
    try:
        # index_select, unlike indexing, takes no negative index for one from the end.
        return stored.index_select(0, index)
    except IndexError:
        check_index(index)
        raise


def _check_rows(stored: Tensor, index: Tensor, what: str) -> None:
    """Check that an index selects rows that are there, and whose number, one of those stored, is not NaN."""
    n_sounds = len(stored)
    if not index.numel():
        return
    low, high = torch.aminmax(index)
    if low < 0 or high >= n_sounds:
        outside = (index < 0) | (index >= n_sounds)
        raise IndexError(
            f"Index must be in 0 … {n_sounds - 1}, the rows of the cache; got "
            f"{index[outside][:8].tolist()}. Likely cause: it belongs to another cache."
        )
    failed = torch.isnan(stored.index_select(0, index))
    if failed.any():
        raise IndexError(
            f"Index selects sounds without {what}, rows {index[failed][:8].tolist()} of the cache, "
            "which failed in precomputation. Leave them out of training: `cache.ok` marks those to keep."
        )


def _check_pair(u_hat: Tensor, u: Tensor) -> None:
    for name, value in (("u_hat", u_hat), ("u", u)):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(
                f"{name} must be a floating-point tensor of parameters in the unit cube; got {got}."
            )
    if u_hat.ndim != 2 or u_hat.shape != u.shape:
        raise ValueError(
            f"u_hat and u must have the same shape (B, P); got {tuple(u_hat.shape)} and {tuple(u.shape)}. "
            "Likely cause: a network whose outputs are not the P parameters of the cache."
        )


def _difference(u_hat: Tensor, u: Tensor, dtype: torch.dtype) -> Tensor:
    """Δu = û − u in the given type, after checking the pair."""
    _check_pair(u_hat, u)
    return u_hat.to(dtype) - u.to(dtype)


def _volume_weights(metric: RiemannianMetric, reference: RiemannianMetric, exponent: float) -> Tensor:
    """vᵃ / mean(vᵃ), by way of logarithms: volumes span more decades than floating-point numbers."""
    log_reference = exponent * reference.log_volume[reference.valid]
    log_mean = torch.logsumexp(log_reference, 0) - torch.log(torch.tensor(float(log_reference.numel())))
    if not torch.isfinite(log_mean):
        raise ValueError("Volume weighting needs a sound whose metric is not singular; every det M is 0.")
    return torch.exp(exponent * metric.log_volume - log_mean).nan_to_num(nan=1.0)
