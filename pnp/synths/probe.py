"""Check of a synthesizer before a long run depends on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pnp._protocols import SynthesizerModule, check_synthesizer
from pnp._text import percent
from pnp.jacobian import resolve_synthesizer
from pnp.jacobian.agreement import REPEATABLE, contradiction_of_differences, relative
from pnp.parameters import ParameterSpace
from pnp.parameters.values import rounded

__all__ = ["probe"]

# Steps in unit coordinates. Which one is right depends on how fast the sound's phase turns: try all, keep the
# one whose derivative changes least when the step is halved. Steps of few roundings of theta say nothing. The most
# likely one comes first.
_STEPS = (1e-5, 1e-6, 1e-4, 1e-3, 1e-7, 1e-2)
_LEAST_ROUNDINGS = 1e3

# Steps up to this are short, and a change of a sound from there on, relative to its norm, is a jump.
_SHORT = 1e-5
_LEAST_JUMP = 1e-3

# Keeps the finite differences inside the cube.
_MARGIN = 0.02


def probe(synth: nn.Module, theta: Tensor | None = None, *, tangents: bool = True) -> None:
    """Check that a synthesizer does what the offline stage needs of it.

    Synthesizes a few sounds and looks, in this order, at the interface, shape, dtype, finite values, silence,
    repeatability, independence of the rows of a batch, and the derivative with respect to each parameter,
    which is compared with finite differences. Precomputation calls it before its first block.

    Args:
        synth: Any `nn.Module` with `space`, `sample_rate` and `n_samples`.
        theta: A few points in physical units, shape (B, P), or (B, D). Defaults to two points of a Sobol design, in
            float64, where derivatives are told from rounding best.
        tangents: Check derivatives. Without them, also a synthesizer that has none passes.

    Raises:
        TypeError: If the interface, the type or the dtype of the output is wrong.
        ValueError: For every other defect, with the parameter or row where it shows.

    Examples:
        >>> import pnp
        >>> pnp.synths.probe(pnp.synths.make("chirp", n_samples=4096))
    """
    label = f"synthesizer {getattr(synth, 'name', type(synth).__name__)!r}"
    synth = check_synthesizer(synth, label)
    space, n_samples = synth.space, synth.n_samples
    if theta is None:
        theta = rounded(space, space.from_unit(space.sample(2)))
    space.check_physical(theta)
    if theta.ndim != 2:
        raise ValueError(f"theta must have shape (B, {len(space.columns)}), got {tuple(theta.shape)}")
    with torch.no_grad():
        x = synth(theta)
        _check_sound(x, theta, n_samples, label)
        _check_repeatable(synth, theta, x, label)
    if tangents:
        probe_tangents(synth, theta)


def probe_tangents(
    synth: SynthesizerModule,
    theta: Tensor,
    progress: Callable[..., Any] = iter,
    without: Collection[str] = (),
) -> None:
    """Check that every derivative of a synthesizer agrees with finite differences, where these can be trusted.

    Args:
        synth: Synthesizer. Where it has no exact derivatives, the steps of finite differences are measured.
        theta: A few points in physical units, shape (B, D).
        progress: Shows the progress of an iterable, as `tqdm` does.
        without: Names of parameters that need no derivative.

    Raises:
        ValueError: If a derivative is dropped, wrong or not finite, or the synthesizer is not deterministic.
    """
    label, space = f"synthesizer {getattr(synth, 'name', type(synth).__name__)!r}", synth.space
    smooth = [column for column, p in enumerate(space) if not p.is_whole and p.name not in without]
    if not smooth:
        return
    u = space.to_unit(theta.double())
    u[:, smooth] = u[:, smooth].clamp(-1.0 + _MARGIN, 1.0 - _MARGIN)
    theta = rounded(space, space.from_unit(u)).to(theta.dtype)
    tangents = resolve_synthesizer(synth, theta, smooth, progress=progress)[2]
    if tangents is not None:
        _check_tangents(synth, tangents, progress(smooth), u, theta.dtype, label)


def _check_sound(x: object, theta: Tensor, n_samples: int, label: str) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{label} must return a torch.Tensor, got {type(x).__name__}")
    expected = (len(theta), n_samples)
    if tuple(x.shape) != expected:
        raise ValueError(
            f"{label} must map theta of shape {tuple(theta.shape)} to sounds of shape {expected}, "
            f"got {tuple(x.shape)}; its n_samples is {n_samples}"
        )
    if x.dtype != theta.dtype:
        raise TypeError(
            f"{label} must return the dtype of theta, {theta.dtype}, got {x.dtype}; "
            "likely a constant tensor of another dtype inside"
        )
    for row, sound in enumerate(x):
        where = f"at theta = {[f'{value:.6g}' for value in theta[row].tolist()]}"
        bad = int((~torch.isfinite(sound)).sum())
        if bad:
            raise ValueError(f"{label} returns NaN or infinite samples ({bad} of {n_samples}) {where}")
        if not bool(sound.any()):
            raise ValueError(f"{label} is silent {where}: every sample is 0")


def _check_repeatable(synth: nn.Module, theta: Tensor, x: Tensor, label: str) -> None:
    tolerance = REPEATABLE * torch.finfo(x.dtype).eps
    drift = relative(synth(theta) - x, x)
    if drift > tolerance:
        raise ValueError(
            f"{label} is not deterministic: the same theta twice gives sounds that differ by {drift:.1e} "
            "of their norm; draw its noise from a seed that it receives, conditions=[Parameter('seed', kind='seed')]"
        )
    alone = torch.cat([synth(row[None]) for row in theta])
    drift = relative(alone - x, x)
    if drift > tolerance:
        raise ValueError(
            f"{label} mixes the rows of a batch: sounds made one by one differ from the batch by {drift:.1e} "
            f"of their norm; likely {_cause_of_mixing(synth, theta, alone, tolerance)}"
        )


def _cause_of_mixing(synth: nn.Module, theta: Tensor, alone: Tensor, tolerance: float) -> str:
    """Find out what makes the rows of a batch depend on each other."""
    twins = synth(theta[:1].expand(2, -1))
    if relative(twins[1:] - twins[:1], twins[:1]) > tolerance:
        return "noise that is drawn for the whole batch: draw it for one sound and use it for all rows"
    if relative(twins[:1] - alone[:1], alone[:1]) > tolerance:
        return "noise that is seeded by all rows: seed it by a constant, not by theta"
    backwards = synth(theta.flip(0)).flip(0)
    if relative(backwards - synth(theta), alone) > tolerance:
        return "a value of one row that decides about all: a branch or a seed that reads theta[0], say"
    return (
        "a maximum, mean or branch over the whole batch: reduce over the last axis only, and use torch.where"
    )


def _check_tangents(
    synth: SynthesizerModule,
    tangents: Tensor,
    smooth: Iterable[int],
    u: Tensor,
    dtype: torch.dtype,
    label: str,
) -> None:
    space = synth.space
    slope = space.slope(u)
    for place, column in enumerate(smooth):
        name, tangent = space.names[column], tangents[:, place].detach().double()
        if not bool(torch.isfinite(tangent).all()):
            raise ValueError(f"{label} has a NaN or infinite derivative with respect to {name!r}")
        tangent = tangent * slope[:, column, None]
        steps = [step for step in _STEPS if step >= _LEAST_ROUNDINGS * torch.finfo(dtype).eps]
        if not bool(tangent.any()) and bool(_central(synth, space, u, column, max(steps), dtype).any()):
            raise ValueError(
                f"{label} drops the gradient of {name!r}: the sound changes with it but its derivative is 0; "
                "likely a float(), .item(), detach() or rounding on the way"
            )
        wholes = dict[float, Tensor]()

        def pairs(
            column: int = column, steps: list[float] = steps, wholes: dict[float, Tensor] = wholes
        ) -> Iterator[tuple[Tensor, Tensor]]:
            for h in steps:
                wholes[h] = _central(synth, space, u, column, h, dtype)
                yield wholes[h], _central(synth, space, u, column, h / 2, dtype)

        gap = contradiction_of_differences(tangent, pairs())
        if gap is not None:
            raise ValueError(
                f"{label} has a wrong derivative with respect to {name!r}: it is {percent(gap, 0)} off finite "
                "differences; likely a float(), .item() or detach() on part of the way"
            )
        # A sound without edges and noise is settled at the first step.
        if len(wholes) < 2:
            continue
        for h in (step for step in steps if step not in wholes):
            wholes[h] = _central(synth, space, u, column, h, dtype)
        jump = _jump({h: 2.0 * h * float((whole - tangent).norm()) for h, whole in wholes.items()})
        norm = float(synth(rounded(space, space.from_unit(u)).to(dtype)).double().norm())
        if jump > _LEAST_JUMP * norm:
            raise ValueError(
                f"{label} jumps with {name!r}: however small its change, sounds move by {percent(jump / norm, 1)} of "
                "their norm; likely noise that is seeded by theta: seed it by a constant, or by a condition "
                "Parameter('seed', kind='seed')"
            )


def _jump(residuals: dict[float, float]) -> float:
    """Return what is left of a sound's change beyond its derivative at short steps, where that does not shrink."""
    found = 0.0
    steps = sorted(residuals)
    for short, middle, long in zip(steps, steps[1:], steps[2:], strict=False):
        # Of a smooth sound they shrink a thousandfold, of one with edges, such as a sawtooth, threefold a decade.
        if short <= _SHORT and residuals[short] > 0.6 * max(residuals[middle], 0.8 * residuals[long]):
            found = max(found, residuals[short])
    return found


def _central(
    synth: nn.Module, space: ParameterSpace, u: Tensor, column: int, step: float, dtype: torch.dtype
) -> Tensor:
    """Central difference of the sound along one axis of the cube."""
    offset = torch.zeros_like(u)
    offset[:, column] = step
    above, below = (rounded(space, space.from_unit(v)).to(dtype) for v in (u + offset, u - offset))
    # The step that is left after theta has been rounded to its dtype.
    taken = (space.to_unit(above.double()) - space.to_unit(below.double()))[:, column, None]
    difference: Tensor = (synth(above).double() - synth(below).double()) / taken
    return difference
