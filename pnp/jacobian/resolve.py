"""Choice of the derivatives that synthesizer and features have: exact, one direction at a time, or differences."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pnp._protocols import SynthesizerModule, check_synthesizer
from pnp._torch.environment import environment_fault
from pnp._torch.memory import SOUND_TANGENTS
from pnp._torch.pushforward import along_axes, one_by_one, pushforward
from pnp.jacobian.adapters import DirectionByDirection, FeatureDifferences, RenderedDifferences
from pnp.jacobian.derivatives import Derivatives
from pnp.jacobian.numerical import Progress, measured_steps, numerical_of
from pnp.parameters.values import rounded

__all__ = ["Resolved", "as_they_are", "resolve", "resolve_synthesizer", "sound_tangents", "tangents_and_gaps"]

_log = logging.getLogger(__name__)

_FORWARD = "exact"
_ONE_BY_ONE = "exact, one direction at a time"
_MEASURED = "differences of its sounds at measured steps"
_NOT_NEEDED = "not needed"


@dataclass(frozen=True)
class Resolved:
    """Synthesizer and features with the derivatives that they have.

    Args:
        synth: The synthesizer, or an adapter around it.
        features: The feature map, or an adapter around it.
        of_synth: Derivatives of the synthesizer, in words.
        of_features: Derivatives of the features, in words.
    """

    synth: SynthesizerModule
    features: nn.Module
    of_synth: str = _FORWARD
    of_features: str = _FORWARD

    def describe(self, asked: Derivatives) -> dict[str, Any]:
        """Return how Jacobians are made, as JSON can hold it, for the header of a cache.

        Args:
            asked: Kind and steps that a user asked for.
        """
        names = [p.name for p in self.synth.space if not p.is_whole and p.name not in asked.steps]
        steps = measured_steps(self.synth) if names else {}
        measured = {name: steps[name] for name in names if name in steps}
        secants = {name: step.secant for name, step in measured.items() if step.always}
        errors = {
            name: float(f"{step.worst:.2g}") for name, step in measured.items() if step.worst < float("inf")
        }
        described = asked.to_dict() | {"synthesizer": self.of_synth, "features": self.of_features}
        if measured:
            described["measured_steps"] = {name: step.size for name, step in measured.items()}
            described["measured_errors"] = errors
            described["secants"] = secants
        return described | {"summary": self._summary(asked, secants)}

    def _summary(self, asked: Derivatives, secants: dict[str, float]) -> str:
        if asked.kind == "difference":
            return str(asked)
        same = self.of_synth == self.of_features
        parts = [
            self.of_synth
            if same
            else f"of the synthesizer: {self.of_synth}; of the features: {self.of_features}"
        ]
        steps = {**asked.steps, **secants}
        if steps:
            listed = ", ".join(f"±{step:g} of {name}" for name, step in steps.items())
            parts.append(f"differences of features over {listed}")
        return "; ".join(parts)


def as_they_are(synth: SynthesizerModule, features: nn.Module, derivatives: Derivatives) -> Resolved:
    """Return synthesizer and features without adapters, for those that have the derivatives that are asked for.

    Args:
        synth: Synthesizer.
        features: Feature map.
        derivatives: Kind and steps that a user asks for.
    """
    if all(parameter.is_whole or parameter.name in derivatives.steps for parameter in synth.space):
        return Resolved(synth, features, _NOT_NEEDED, _NOT_NEEDED)
    return Resolved(synth, features, _FORWARD if numerical_of(synth) is None else _MEASURED)


@torch.no_grad()
def resolve(
    synth: SynthesizerModule,
    features: nn.Module,
    u: Tensor,
    derivatives: Derivatives,
    progress: Progress | None = None,
) -> Resolved:
    """Find the derivatives that synthesizer and features have, and lend adapters where they have none.

    Args:
        synth: Synthesizer.
        features: Feature map.
        u: Scaled parameters of a sound that can be computed, shape (1, D).
        derivatives: Kind and steps that a user asks for.
        progress: Shows the progress where steps are measured, as `tqdm` does.

    Returns:
        Synthesizer and features, or adapters.

    Raises:
        ValueError: If exact derivatives are asked for and there are none.
    """
    space = synth.space
    axes = [p for p, q in enumerate(space) if not q.is_whole and q.name not in derivatives.steps]
    if not axes:
        numerical = numerical_of(synth)
        if numerical is not None:
            # It looks for a memory of earlier sounds, too.
            numerical.pilots()
        return Resolved(synth, features, _NOT_NEEDED, _NOT_NEEDED)
    theta, slope = rounded(space, space.from_unit(u)), space.slope(u)
    exact = derivatives.kind == "forward"
    synth, way, tangents = resolve_synthesizer(synth, theta, axes, exact=exact, progress=progress)
    never = [name for name, step in measured_steps(synth).items() if step.always]
    axes = [p for p in axes if space.names[p] not in never]
    if not axes:
        return Resolved(synth, features, way, _NOT_NEEDED)
    x, tangents = (synth(theta), tangents) if tangents is not None else sound_tangents(synth, theta, axes)[:2]
    return _with_features(Resolved(synth, features, way), x, tangents * slope[:, axes, None], exact=exact)


def resolve_synthesizer(
    synth: SynthesizerModule,
    theta: Tensor,
    axes: list[int],
    *,
    exact: bool = False,
    progress: Progress | None = None,
) -> tuple[SynthesizerModule, str, Tensor | None]:
    """Find the derivatives that a synthesizer has, and lend an adapter where it has none.

    Args:
        synth: Synthesizer.
        theta: Physical parameters of sounds that can be computed, shape (B, D).
        axes: Columns to differentiate along, at least one.
        exact: Only exact derivatives will do.
        progress: Shows the progress where steps are measured, as `tqdm` does.

    Returns:
        The synthesizer, or an adapter around it; its derivatives in words; and the tangents where they are exact.

    Raises:
        ValueError: If exact derivatives are asked for and there are none.
    """
    label = f"synthesizer {getattr(synth, 'name', type(synth).__name__)!r}"
    numerical = numerical_of(synth)
    if numerical is None:
        way, tangents, error = _first(
            [
                (_FORWARD, lambda: sound_tangents(synth, theta, axes)[1]),
                (_ONE_BY_ONE, lambda: one_by_one(synth, theta, _basis(theta, axes))[1]),
            ]
        )
        if tangents is not None:
            return synth if way == _FORWARD else check_synthesizer(DirectionByDirection(synth)), way, tangents
        synth(theta)  # a sound that fails says nothing about derivatives
        if exact:
            raise ValueError(
                f"{label} cannot be differentiated in forward mode ({_brief(error)}); use operations that torch.func "
                "supports, or derivatives='auto' or 'difference'"
            ) from error
        # Kept with the synthesizer, so that steps are measured once. Not as a part: it would be a part of its own part.
        rendered = vars(synth).get("_rendered_differences") or RenderedDifferences(synth)
        vars(synth)["_rendered_differences"] = rendered
        synth, numerical = check_synthesizer(rendered), rendered.numerical
        _log.warning("%s cannot be differentiated (%s); finite differences are used", label, _brief(error))
    elif exact:
        raise ValueError(f"{label} has no exact derivatives; use derivatives='auto' or 'difference'")
    numerical.calibrate(progress)
    return synth, _MEASURED, None


def sound_tangents(
    synth: SynthesizerModule, theta: Tensor, axes: list[int]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Sounds and tangents of a synthesizer that has them.

    Args:
        synth: Synthesizer.
        theta: Physical parameters, shape (B, D).
        axes: Columns to differentiate along, A of them, at least one.

    Returns:
        Sounds, shape (B, N); tangents, shape (B, A, N); and where they are differences, True, shape (B, A), where
        there is none.
    """
    if numerical_of(synth) is not None:
        rendered: Any = synth
        x, tangents, missing = rendered.tangents_where_they_exist(theta, axes)
        return x, tangents, missing
    if isinstance(synth, DirectionByDirection):
        return *synth.value_and_tangents(theta, _basis(theta, axes)), None
    group = SOUND_TANGENTS.tangents_at_a_time(len(axes), len(theta) * synth.n_samples)
    return *along_axes(synth, theta, axes, group), None


def tangents_and_gaps(
    synth: SynthesizerModule, theta: Tensor, axes: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Sounds and tangents of a synthesizer, for one around it, and where there are none.

    Args:
        synth: Synthesizer.
        theta: Physical parameters, shape (B, D).
        axes: Columns to differentiate along.

    Returns:
        Sounds, shape (B, N); tangents, shape (B, A, N); and True, shape (B, A), where there is no derivative.
    """
    if not axes:
        x = synth(theta)
        return x, x.new_zeros(len(x), 0, x.shape[-1]), torch.zeros(len(x), 0, dtype=torch.bool)
    x, tangents, missing = sound_tangents(synth, theta, axes)
    return x, tangents, torch.zeros(tangents.shape[:2], dtype=torch.bool) if missing is None else missing


def _with_features(found: Resolved, x: Tensor, dx: Tensor, *, exact: bool) -> Resolved:
    features = found.features
    own = getattr(features, "value_and_tangents", None)
    # Two directions tell as much as all of them.
    some = dx[:, :2]
    way, value, error = _first(
        [
            (_FORWARD, lambda: (pushforward(features, x, some) if own is None else own(x, some))[1]),
            (_ONE_BY_ONE, lambda: one_by_one(features, x, some)[1]),
        ]
    )
    if way == _ONE_BY_ONE:
        features = DirectionByDirection(features)
    elif value is None:
        features(x)  # a sound that fails says nothing about derivatives
        label = f"features {type(features).__name__!r}"
        if exact:
            raise ValueError(f"{label} cannot be differentiated in forward mode ({_brief(error)})") from error
        features = FeatureDifferences(features, x, dx)
        precision = "double" if features.in_double else "single"
        way = f"differences along the sound's tangents, {precision} precision, uncertain by {features.error:.1e}"
        _log.info("%s have no forward mode (%s): %s", label, _brief(error), way)
    return Resolved(found.synth, features, found.of_synth, way)


def _first(tries: list[tuple[str, Callable[[], Tensor]]]) -> tuple[str, Tensor | None, Exception | None]:
    """Return name and result of the first way that works; the error of the first where none does."""
    first: Exception | None = None
    for name, attempt in tries:
        try:
            return name, attempt(), None
        except Exception as error:  # noqa: PERF203  (whatever a user's module raises under torch.func)
            if environment_fault(error) is not None:
                raise
            first = first or error
    return "", None, first


def _basis(theta: Tensor, axes: list[int]) -> Tensor:
    return torch.eye(theta.shape[-1]).to(theta)[axes].expand(len(theta), -1, -1)


def _brief(error: Exception | None) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else f"{text[:159]}…"
