"""First sounds of a run: they give the number of features, and are probed before anything long begins."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pnp._protocols import SynthesizerModule
from pnp._torch.environment import environment_fault
from pnp._torch.single_thread import single_thread
from pnp.errors import SynthesisError
from pnp.jacobian import Derivatives, Resolved, as_they_are, resolve
from pnp.jacobian.jacobian import ScaledTangents, features_and_jacobian, rows_at_a_time, scaled_tangents
from pnp.jacobian.numerical import Progress, numerical_of
from pnp.offline.block import Known
from pnp.parameters.values import rounded
from pnp.synths.probe import probe as probe_synthesizer

__all__ = ["Trial", "first_sound", "probe_where_it_sounds"]

_log = logging.getLogger(__name__)

# Sounds that are tried before giving up on a synthesizer that always fails.
_MOST_TRIED = 8

# Sounds at which a synthesizer is probed.
_PROBED = 2

# Sound with tangents, features and Jacobian.
_Values = tuple[ScaledTangents, Tensor, Tensor]


@dataclass(frozen=True)
class Trial:
    """First sound of a design that can be computed.

    Args:
        row: Its row.
        u: Scaled parameters, shape (1, P), in the type and on the device of the computation.
        tangents: Samples x, shape (1, N), and their tangents.
        features: Features S, shape (1, C).
        jacobian: Jacobian J, shape (1, C, P).
        resolved: Synthesizer and features with the derivatives that they have.
        seconds: Time that the sound took with its derivatives.
        is_alone: True where blocks, too, compute every row alone.
    """

    row: int
    u: Tensor
    tangents: ScaledTangents
    features: Tensor
    jacobian: Tensor
    resolved: Resolved
    seconds: float
    is_alone: bool

    @property
    def sound(self) -> Tensor:
        """Samples x, shape (1, N)."""
        return self.tangents.x

    @property
    def known(self) -> Known | None:
        """Work that the block of this row need not do again; None where nothing can be handed on bit for bit."""
        if self.is_alone:
            return Known(self.row, results=(self.sound.cpu(), self.features.cpu(), self.jacobian.cpu()))
        # A program makes every sound alone, whichever rows are computed together.
        if numerical_of(self.resolved.synth) is not None:
            return Known(self.row, tangents=self.tangents.to("cpu"))
        return None

    @property
    def n_features(self) -> int:
        """Number of features C."""
        return int(self.features.shape[-1])


def first_sound(
    synth: SynthesizerModule,
    features: nn.Module,
    design: Tensor,
    dtype: torch.dtype,
    device: str,
    derivatives: Derivatives,
    progress: Progress | None = None,
) -> Trial:
    """Compute the first sound of a design that can be computed, with features and Jacobian.

    Args:
        synth: Synthesizer.
        features: Feature map.
        design: Scaled parameters, shape (n, P).
        dtype: Type of u that the synthesizer is given.
        device: Device of the modules.
        derivatives: Kind of derivative of each parameter.
        progress: Shows the progress where steps are measured, and through the tangents, as `tqdm` does.

    Returns:
        The sound, its features and their Jacobian.

    Raises:
        SynthesisError: If none of the first sounds can be computed.
    """
    failure: Exception | None = None
    with single_thread():
        for row in range(min(_MOST_TRIED, len(design))):
            u = design[row : row + 1].to(device=device, dtype=dtype)
            try:
                found, (tangents, S, J), seconds = _compute(synth, features, u, derivatives, progress)
            except Exception as error:  # noqa: BLE001  (reported below, with its cause)
                failure = error
            else:
                is_alone = rows_at_a_time(found.synth, derivatives) == 1
                return Trial(row, u, tangents, S, J, found, seconds, is_alone)
    fault = environment_fault(failure)
    if fault is not None:
        raise SynthesisError(
            f"the first sound cannot be computed here ({type(fault).__name__}: {fault}); that is a fault of the "
            "machine, such as too little memory for a sound of this length"
        ) from failure
    raise SynthesisError(
        f"none of the first {min(_MOST_TRIED, len(design))} sounds can be computed; the last attempt raised "
        f"{type(failure).__name__}: {failure}"
    ) from failure


def _compute(
    synth: SynthesizerModule,
    features: nn.Module,
    u: Tensor,
    derivatives: Derivatives,
    progress: Progress | None,
) -> tuple[Resolved, _Values, float]:
    """Compute a sound with synthesizer and features as they are or, where these lack derivatives, with adapters."""

    def timed(synth: SynthesizerModule, features: nn.Module) -> tuple[_Values, float]:
        started = time.monotonic()
        tangents = scaled_tangents(synth, u, derivatives)
        S, J = features_and_jacobian(synth, features, u, tangents, derivatives, progress)
        return (tangents, S, J), time.monotonic() - started

    numerical = numerical_of(synth)
    if numerical is None or derivatives.kind == "auto":
        if numerical is not None:
            numerical.calibrate(progress)
        try:
            values, seconds = timed(synth, features)
            return as_they_are(synth, features, derivatives), values, seconds
        except Exception as error:
            if environment_fault(error) is not None:
                raise
            _log.debug("looking for other derivatives, after %s: %s", type(error).__name__, error)
            found = resolve(synth, features, u, derivatives, progress)
            if found.synth is synth and found.features is features:
                raise
    else:
        found = resolve(synth, features, u, derivatives, progress)
    return found, *timed(found.synth, found.features)


def probe_where_it_sounds(synth: SynthesizerModule, design: Tensor, device: str) -> tuple[Tensor, Tensor]:
    """Probe a synthesizer where it sounds: a sound that fails concerns its row, not the whole run.

    Args:
        synth: Synthesizer.
        design: Scaled parameters, shape (n, P), float64.
        device: Device of the synthesizer.

    Returns:
        Up to two points that it was probed at, in physical units, shape (B, D), and their sounds, shape (B, N).

    Raises:
        ValueError: If the synthesizer fails the probe.
    """
    points, sounds = list[Tensor](), list[Tensor]()
    for theta in rounded(synth.space, synth.space.from_unit(design[:_MOST_TRIED].to(device))):
        try:
            with torch.no_grad():
                x = synth(theta[None])
        except Exception as error:  # noqa: BLE001  (whatever a user's synthesizer raises is a property of the sound)
            _log.debug("the probe passes over a sound that fails: %s", error)
            continue
        if torch.isfinite(x).all() and x.any():
            points.append(theta)
            sounds.append(x.reshape(1, -1))
        if len(points) == _PROBED:
            break
    if points:
        probe_synthesizer(synth, torch.stack(points), tangents=False)
        return torch.stack(points), torch.cat(sounds)
    return design.new_empty(0, len(synth.space.columns)), design.new_empty(0, synth.n_samples)
