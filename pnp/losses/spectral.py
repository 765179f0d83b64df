"""Spectral loss: the distance of sounds themselves, through synthesizer and features at every step."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import shown, whole_number
from pnp._protocols import FeatureMap, SynthesizerLike, check_synthesizer
from pnp._torch.concrete import is_concrete
from pnp._torch.modes import at_least_single, full_precision
from pnp.losses.base import Loss
from pnp.losses.checks import check_pair, check_rows, select_rows
from pnp.losses.quadratic_form import squared_norm

__all__ = ["SpectralLoss"]


class SpectralLoss(Loss):
    """Spectral loss, L = μ/2 ‖Φ(g(û)) − Φ(g(u))‖², with the gradient through synthesizer g and features Φ.

    With joint time-frequency scattering as Φ this is what `PNPLoss` approximates; with
    `pnp.features.MultiscaleSTFT` and `power=1`, L = μ ‖Φ(g(û)) − Φ(g(u))‖₁ is the field's usual loss.

    Sounds and features are computed in float32 at least, under autocast and for predictions in half precision too.

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
        ValueError: If an option is outside its range, or the synthesizer has choices or conditions.
    """

    targets: Tensor | None

    def __init__(
        self,
        synth: SynthesizerLike,
        features: FeatureMap,
        *,
        targets: Tensor | None = None,
        power: int = 2,
        scale: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(scale, reduction)
        self.power = whole_number("power", power, least=1, most=2)
        check_synthesizer(synth)
        if not callable(features):
            raise TypeError(f"features must be a module from sounds to features, got {shown(features)}")
        if len(synth.space.columns) > len(synth.space):
            others = ", ".join(synth.space.column_names[len(synth.space) :])
            raise ValueError(
                f"A spectral loss makes sounds from predicted parameters alone; {type(synth).__name__} also needs "
                f"{others}. Use PNPLoss, whose cache knows them, or a synthesizer without choices and conditions."
            )
        self.synth = synth
        self.space = synth.space
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
        check_pair(u_hat, u)
        u_hat = at_least_single(u_hat)
        if self.targets is None:
            with torch.no_grad():
                target = self._analyse(u.to(u_hat.dtype))
        else:
            target = select_rows(self.targets, index, len(u_hat), self.check_index)
        difference = (self._analyse(u_hat) - target).flatten(1)
        form = 2 * difference.abs().sum(-1) if self.power == 1 else squared_norm(difference)
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
        check_rows(self.targets.flatten(1)[:, 0], index, "features")

    def _analyse(self, u: Tensor) -> Tensor:
        # Half of the digits of a phase are lost in half precision, and the rest by autocast.
        with full_precision(u):
            features: Tensor = self.features(self.synth(self.space.from_unit(u)))
        return features
