"""Check of a feature map before a long run depends on it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from pnp._text import percent
from pnp._torch.modes import full_precision
from pnp._torch.pushforward import derivative_along
from pnp.jacobian.agreement import REPEATABLE, contradiction_of_differences, relative
from pnp.offline.trial import Trial

__all__ = ["probe_derivative", "probe_features"]

_log = logging.getLogger(__name__)

# Steps in unit coordinates of the finite differences, the most likely one first.
_STEPS = (1e-5, 1e-4, 1e-6, 1e-3, 1e-2)
_LONGEST = max(_STEPS)


@torch.no_grad()
def probe_features(features: nn.Module, sounds: Tensor) -> None:
    """Check that a feature map gives every sound features of its own, and the same every time.

    Args:
        features: Feature map from sounds (B, N) to (B, ...).
        sounds: One sound or a few, shape (B, N).

    Raises:
        TypeError: If the features are no tensor.
        ValueError: For every other defect, with the part of the feature map where it arises.
    """
    label = _label(features)
    x = sounds[:1]
    value = features(x)
    if not isinstance(value, Tensor):
        raise TypeError(f"{label} must return a torch.Tensor, got {type(value).__name__}")
    # Beside a sound that is nothing like it.
    batch = torch.cat([sounds, 0.5 * x.flip(-1)])
    both = features(batch)
    if value.shape[:1] != (1,) or both.shape != (len(batch), *value.shape[1:]):
        raise ValueError(
            f"{label} must map sounds of shape (B, N) to features of shape (B, ...), got {tuple(value.shape)} for one "
            f"sound and {tuple(both.shape)} for {len(batch)}"
        )
    tolerance = REPEATABLE * torch.finfo(value.dtype).eps
    drift = relative(features(x) - value, value)
    if drift > tolerance:
        where = _first_difference(features, partial(features, x), partial(features, x), tolerance)
        raise ValueError(
            f"{label} are not deterministic: the same sound twice gives features that differ by {drift:.1e} of their "
            f"norm{where}; likely dropout that is always on, or noise without a seed"
        )
    drift = relative(both[:1] - value, value)
    if drift > tolerance:
        where = _first_difference(features, partial(features, x), partial(features, batch), tolerance)
        raise ValueError(
            f"{label} mix the rows of a batch: a sound alone and beside others gives features that differ by "
            f"{drift:.1e} of their norm{where}; likely a mean or maximum over the whole batch, or batch normalization "
            "in training mode"
        )


@torch.no_grad()
def probe_derivative(features: nn.Module, trial: Trial) -> None:
    """Compare the derivative of a feature map, along the diagonal of the cube, with finite differences.

    The sound moves along its tangent, and is not rendered anew: a synthesizer may be slow.

    Args:
        features: Feature map.
        trial: Sound with tangents, features and Jacobian.

    Raises:
        ValueError: If the derivative is zero or wrong.
    """
    label = _label(features)
    x, S, axes = trial.sound, trial.features, trial.tangents.axes
    # Columns of parameters without a derivative here are long differences, not tangents.
    missing = trial.tangents.missing
    places = [place for place in range(len(axes)) if missing is None or not missing[0, place]]
    if not places:
        return
    columns = [axes[place] for place in places]
    J = trial.jacobian[..., columns]
    # Signs lead inside the cube.
    signs = torch.where(trial.u[0, columns] > 0, -1.0, 1.0).to(trial.u)
    along = (signs[:, None] * trial.tangents.dx[:, places]).sum(1)
    noise = torch.finfo(S.dtype).eps * float(S.double().norm())
    if not bool(J.any()) and float(_central(features, x, along)(_LONGEST).norm()) * _LONGEST > 100 * noise:
        where = _first_detached(features, x)
        raise ValueError(
            f"{label} drop the gradient: they change with the sound but their derivative is 0{where}; "
            "likely .detach(), .item(), NumPy or torch.no_grad() inside"
        )
    if S.dtype == torch.float64:
        pushed = (J * signs).sum(-1)
    else:
        # Features of resonant sounds bend within 1e-5. In single precision no difference is that short, and longer ones
        # agree with each other on the trend alone.
        x, along = x.double(), along.double()
        wide = _in_double(features, trial, x, along)
        if wide is None:
            return
        features, pushed = wide
    difference = _central(features, x, along)
    gap = contradiction_of_differences(pushed, ((difference(step), difference(step / 2)) for step in _STEPS))
    if gap is not None:
        raise ValueError(
            f"{label} have a wrong derivative: along the diagonal of the cube it is {percent(gap, 0)} off finite "
            "differences; likely .detach(), .item() or torch.no_grad() on part of the way"
        )


def _central(features: nn.Module, x: Tensor, along: Tensor) -> Callable[[float], Tensor]:
    """Central difference of features along a tangent of the sound, as a function of its step."""

    def at(length: float) -> Tensor:
        value: Tensor = features(x + length * along).reshape(1, -1).double()
        return value

    return lambda step: (at(step) - at(-step)) / (2.0 * step)


def _in_double(
    features: nn.Module, trial: Trial, x: Tensor, along: Tensor
) -> tuple[nn.Module, Tensor] | None:
    """Copy of a feature map in double precision, and its derivative along a tangent.

    None where the map computes in single precision alone.
    """
    if trial.resolved.features is not features:
        return None
    try:
        wide = copy.deepcopy(features).double()
        with full_precision(x):
            # One tangent, where J would take as many as there are parameters.
            S, pushed = derivative_along(wide, x, along[:, None])
    except Exception as error:  # noqa: BLE001  (engines, constants in single precision: any module of a user)
        _log.debug("derivatives of the features are not compared in double precision: %s", error)
        return None
    return (wide, pushed.reshape(1, -1)) if S.dtype == torch.float64 else None


def _label(features: nn.Module) -> str:
    return f"features {type(features).__name__!r}"


def _outputs(features: nn.Module, call: Callable[[], Tensor]) -> list[tuple[str, nn.Module, Tensor]]:
    """Run a feature map and record the outputs of its parts, in the order in which they end."""
    found, hooks = list[tuple[str, nn.Module, Tensor]](), []
    for name, part in features.named_modules():

        def record(module: nn.Module, _: object, output: object, name: str = name) -> None:
            if isinstance(output, Tensor):
                found.append((name, module, output))

        hooks.append(part.register_forward_hook(record))
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _first_difference(
    features: nn.Module, one: Callable[[], Tensor], other: Callable[[], Tensor], tolerance: float
) -> str:
    """Name the part in which two runs on the same first sound begin to differ."""
    for (name, part, a), (_, _, b) in zip(_outputs(features, one), _outputs(features, other), strict=False):
        first = b[: len(a)] if a.ndim else b
        if a.shape != first.shape or relative(a - first, a) > tolerance:
            return f", first in part {name!r} ({type(part).__name__})" if name else ""
    return ""


def _first_detached(features: nn.Module, x: Tensor) -> str:
    """Name the first part whose output no longer depends on the sound."""
    with torch.enable_grad():
        outputs = _outputs(features, partial(features, x.clone().requires_grad_()))
    for name, part, output in outputs:
        if not output.requires_grad:
            return f", first in part {name!r} ({type(part).__name__})" if name else ""
    return ""
