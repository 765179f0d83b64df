"""Features and their Jacobian: each column an exact derivative or a difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp._protocols import SynthesizerModule, check_synthesizer
from pnp._torch.environment import environment_fault
from pnp._torch.memory import FEATURE_TANGENTS, NUMBERS_AT_ONCE, give_back
from pnp._torch.modes import full_precision
from pnp._torch.pushforward import derivative_along
from pnp.jacobian.derivatives import DEFAULT_STEP, Derivatives
from pnp.jacobian.differences import difference_columns, next_whole
from pnp.jacobian.numerical import Progress, measured_steps
from pnp.jacobian.resolve import resolve, sound_tangents
from pnp.jacobian.sounds import heard
from pnp.parameters.values import rounded

__all__ = [
    "ScaledTangents",
    "features_and_jacobian",
    "rows_at_a_time",
    "scaled_tangents",
    "sound_and_jacobian",
    "value_and_jacobian",
]

# Step along the diagonal of the cube that tells a dropped gradient from an inaudible parameter.
_STEP = 1e-3


@dataclass(frozen=True)
class ScaledTangents:
    """Sounds and their tangents in units of u.

    Args:
        x: Sounds, shape (B, N).
        dx: Tangents along the parameters that have derivatives, shape (B, A, N).
        axes: Columns of these parameters, A of them.
        missing: True, shape (B, A), where there is no derivative and the tangent is 0; None for exact tangents.
    """

    x: Float[Tensor, "B N"]
    dx: Float[Tensor, "B A N"]
    axes: list[int]
    missing: Tensor | None = None

    def to(self, device: torch.device | str) -> ScaledTangents:
        """Return the same on a device."""
        missing = None if self.missing is None else self.missing.to(device)
        return ScaledTangents(self.x.to(device), self.dx.to(device), self.axes, missing)


def value_and_jacobian(
    synth: nn.Module,
    features: nn.Module,
    u: Tensor,
    *,
    derivatives: str = "auto",
    step: float | Mapping[str, float] | None = None,
) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C P"]]:
    r"""Features of synthesized sounds, and their Jacobian with respect to scaled parameters.

    .. math:: S = \Phi(g(h^{-1}(u))), \qquad J = \frac{\partial S}{\partial u}.

    Forward mode throughout, because features outnumber parameters: P tangents are pushed through the synthesizer, then
    through the feature map. Modules that offer `value_and_tangents` are differentiated by it, others by `torch.func`.
    For an integer, the difference to the next whole number takes the place of the derivative. A parameter with a step h
    has the difference (Φ(u + h) - Φ(u - h)) / 2h in place of the derivative, clipped at the faces of the cube.

    Args:
        synth: Synthesizer: any module with `space`, `sample_rate` and `n_samples`, from θ (B, P) to sounds (B, N).
        features: Feature map: any module from sounds (B, N) to features (B, ...), which are flattened.
        u: Scaled parameters, shape (B, P), in [-1, 1], float32 or float64; the computation is in that dtype. Where the
            space has choices or conditions, shape (B, D), with all columns that the synthesizer receives.
        derivatives: "auto", "forward" or "difference", as in `precompute`.
        step: Step of differences in units of u: a number for all continuous parameters, or from name to number.

    Returns:
        Features S, shape (B, C), and Jacobian J, shape (B, C, P). They carry no gradient.

    Raises:
        TypeError: If `u` is not a floating-point tensor.
        ValueError: If `u` is not of shape (B, D) or leaves the cube, if sounds do not have shape (B, N), or if the
            synthesizer drops the gradient of a parameter.

    Source:
        Han, Lostanlen and Lagrange, "Perceptual-neural-physical sound matching", ICASSP 2023, equation 5.
    """
    synth = check_synthesizer(synth)
    asked = Derivatives.of(synth.space, derivatives, step)
    _check_points(synth, u)
    try:
        return sound_and_jacobian(synth, features, u, asked)[1:]
    except Exception as error:
        if environment_fault(error) is not None or not len(u):
            raise
        try:
            found = resolve(synth, features, u[:1], asked)
        except Exception as other:
            if asked.kind == "forward" and isinstance(other, ValueError):
                raise other from error
            raise error from other
        if found.synth is synth and found.features is features:
            raise
        return sound_and_jacobian(found.synth, found.features, u, asked)[1:]


@torch.no_grad()
def sound_and_jacobian(
    synth: nn.Module,
    features: nn.Module,
    u: Tensor,
    derivatives: Derivatives | None = None,
    progress: Progress | None = None,
    known: tuple[int, ScaledTangents] | None = None,
) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B C"], Float[Tensor, "B C P"]]:
    """Sounds, with what `value_and_jacobian` returns, for synthesizer and features that have derivatives.

    Args:
        synth: Synthesizer.
        features: Feature map.
        u: Scaled parameters, shape (B, P), or (B, D).
        derivatives: Kind of derivative of each parameter; exact ones if not given.
        progress: Shows the progress through the tangents, as `tqdm` does.
        known: Number of a row whose sound and tangents need not be computed, with these; None for none.

    Returns:
        Sounds x, shape (B, N); features S, shape (B, C); Jacobian J, shape (B, C, P).

    Raises:
        TypeError: As `value_and_jacobian`.
        ValueError: As `value_and_jacobian`.
    """
    synth = check_synthesizer(synth)
    _check_points(synth, u)

    several = rows_at_a_time(synth, derivatives)

    def few(start: int, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if known is None or not start <= known[0] < start + len(rows):
            tangents = scaled_tangents(synth, rows, derivatives)
        else:
            tangents = _with_known(synth, rows, derivatives, known[0] - start, known[1])
        return tangents.x, *features_and_jacobian(synth, features, rows, tangents, derivatives, progress)

    parts = [few(several * number, rows) for number, rows in enumerate(u.split(several))]
    if len(parts) == 1:
        return parts[0]
    x, S, J = (torch.cat(column) for column in zip(*parts, strict=True))
    return x, S, J


def rows_at_a_time(synth: SynthesizerModule, derivatives: Derivatives | None = None) -> int:
    """Return the number of rows whose Jacobians are computed together, at most.

    Args:
        synth: Synthesizer.
        derivatives: Kind of derivative of each parameter; exact ones if not given.
    """
    axes, _ = _axes_and_steps(synth, derivatives)
    return max(1, NUMBERS_AT_ONCE // (max(1, len(axes)) * synth.n_samples))


@torch.no_grad()
def scaled_tangents(
    synth: SynthesizerModule, u: Tensor, derivatives: Derivatives | None = None
) -> ScaledTangents:
    """Sounds, and their tangents along the parameters that have derivatives: first half of a Jacobian.

    Args:
        synth: Synthesizer that has derivatives.
        u: Scaled parameters, shape (B, D), as many rows as fit into memory.
        derivatives: Kind of derivative of each parameter; exact ones if not given.

    Returns:
        Sounds and tangents.

    Raises:
        ValueError: If sounds do not have shape (B, N), or the synthesizer drops the gradient of a parameter.
    """
    space, n_samples = synth.space, synth.n_samples
    axes, _ = _axes_and_steps(synth, derivatives)
    missing = None
    large = len(u) * len(axes) * n_samples > NUMBERS_AT_ONCE
    with full_precision(u):
        theta, slope = rounded(space, space.from_unit(u)), space.slope(u)
        if large:
            give_back()
        if axes:
            x, tangents, missing = sound_tangents(synth, theta, axes)
            dx = tangents * slope[:, axes].unsqueeze(-1)
            del tangents  # as large as everything else together
            if large:
                give_back()
        else:
            x = synth(theta)
            dx = x.new_empty(len(u), 0, x.shape[-1])
        if x.shape != (len(u), n_samples):
            raise ValueError(
                f"synthesizer {type(synth).__name__} must map θ of shape {tuple(theta.shape)} to sounds of shape "
                f"{(len(u), n_samples)}, got {tuple(x.shape)}"
            )
        if missing is None:
            _check_gradients(synth, u, x, dx, axes)
    return ScaledTangents(x, dx, axes, missing)


def _with_known(
    synth: SynthesizerModule, u: Tensor, derivatives: Derivatives | None, row: int, known: ScaledTangents
) -> ScaledTangents:
    """Sounds and tangents of some rows, one of which is known."""
    parts = [scaled_tangents(synth, rows, derivatives) for rows in (u[:row], u[row + 1 :]) if len(rows)]
    parts.insert(1 if row else 0, known.to(u.device))
    missing = [part.missing for part in parts if part.missing is not None]
    return ScaledTangents(
        torch.cat([part.x for part in parts]),
        torch.cat([part.dx for part in parts]),
        known.axes,
        torch.cat(missing) if missing else None,
    )


@torch.no_grad()
def features_and_jacobian(
    synth: SynthesizerModule,
    features: nn.Module,
    u: Tensor,
    tangents: ScaledTangents,
    derivatives: Derivatives | None = None,
    progress: Progress | None = None,
) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C P"]]:
    """Features of sounds whose tangents are known, and their Jacobian: second half of a Jacobian.

    Args:
        synth: Synthesizer, for the columns that are no derivatives.
        features: Feature map that has derivatives.
        u: Scaled parameters, shape (B, D).
        tangents: Their sounds and tangents.
        derivatives: Kind of derivative of each parameter; exact ones if not given.
        progress: Shows the progress through the tangents, as `tqdm` does.

    Returns:
        Features S, shape (B, C); Jacobian J, shape (B, C, P).
    """
    space, axes, missing = synth.space, tangents.axes, tangents.missing
    _, steps = _axes_and_steps(synth, derivatives)
    with full_precision(u):
        S, J = _features_and_tangents(features, tangents.x, tangents.dx, progress)
        columns = dict(zip(axes, J.unbind(-1), strict=True))
        if missing is not None:
            _fill_in(synth, features, u, S, columns, missing, axes)
        if len(axes) < len(space):
            columns |= difference_columns(synth, features, u, S, steps)
            theta = rounded(space, space.from_unit(u))
            for p in set(range(len(space))) - set(columns):
                columns[p] = next_whole(synth, features, theta, S, p)
        elif missing is None:
            return S, J
        return S, torch.stack([columns[p] for p in range(len(space))], -1)


def _axes_and_steps(
    synth: SynthesizerModule, derivatives: Derivatives | None
) -> tuple[list[int], dict[str, float]]:
    """Columns that have derivatives, and steps by name of those that have long differences in their place."""
    steps = dict(derivatives.steps if derivatives is not None else {})
    if any(not p.is_whole and p.name not in steps for p in synth.space):
        measured = measured_steps(synth)
        steps = {name: step.secant for name, step in measured.items() if step.always} | steps
    return [p for p, q in enumerate(synth.space) if not q.is_whole and q.name not in steps], steps


def _features_and_tangents(
    features: nn.Module, x: Tensor, dx: Tensor, progress: Progress | None
) -> tuple[Tensor, Tensor]:
    """Features, shape (B, C), and their tangents, shape (B, C, A); a few tangents at a time."""
    n = dx.shape[1]
    few = partial(_few_tangents, features, progress=progress)
    S, dS = heard(few if n else lambda x, dx: (features(x), dx), x, dx)
    n_features = math.prod(S.shape[1:])
    S = S.reshape(len(x), n_features)
    return (S, dS.reshape(len(x), n, n_features).mT) if n else (S, S.new_empty(*S.shape, 0))


def _few_tangents(
    features: nn.Module, x: Tensor, dx: Tensor, *, progress: Progress | None
) -> tuple[Tensor, Tensor]:
    """Features and their tangents, those of a feature map that has a way of its own in groups that fit into memory."""
    n, size = dx.shape[1:]
    own = hasattr(features, "value_and_tangents")
    S, pushed = None, []
    parts = dx.split(FEATURE_TANGENTS.tangents_at_a_time(n, size) if own else n, dim=1)
    for part in parts if progress is None or len(parts) == 1 else progress(parts):
        value, some = derivative_along(features, x, part)
        S = value if S is None else S
        pushed.append(some)
    assert S is not None
    return S, pushed[0] if len(pushed) == 1 else torch.cat(pushed, 1)


def _fill_in(
    synth: SynthesizerModule,
    features: nn.Module,
    u: Tensor,
    S: Tensor,
    columns: dict[int, Tensor],
    missing: Tensor,
    axes: list[int],
) -> None:
    """Put differences over a longer step where a parameter has no derivative at a sound."""
    measured = measured_steps(synth)
    for place, p in enumerate(axes):
        rows = missing[:, place].to(u.device)
        if rows.any():
            name = synth.space.names[p]
            step = {name: measured[name].secant or DEFAULT_STEP}
            columns[p] = columns[p].clone()
            columns[p][rows] = difference_columns(synth, features, u[rows], S[rows], step)[p]


def _check_points(synth: SynthesizerModule, u: Tensor) -> None:
    space = synth.space
    space.check_unit(u)
    if u.ndim != 2 or u.shape[1] != len(space.columns):
        raise ValueError(f"u must have shape (B, {len(space.columns)}), got {tuple(u.shape)}")


def _check_gradients(synth: SynthesizerModule, u: Tensor, x: Tensor, dx: Tensor, axes: list[int]) -> None:
    """Refuse a tangent that is zero throughout though the sound changes: the parameter was detached on its way."""
    space = synth.space
    silent = (~dx.any(-1).any(0)).nonzero().flatten().tolist() if len(u) else []
    for p in (axes[row] for row in silent):
        step = torch.zeros_like(u)
        step[:, p] = torch.where(u[:, p] > 0, -_STEP, _STEP)
        whole, half = ((synth(space.from_unit(u + part * step)) - x).norm() for part in (1.0, 0.5))
        # A stationary point, such as a square drum's aspect ratio, changes by a quarter with half the step; a dropped
        # gradient by half, or less where the phase has turned far.
        if whole > 0 and not whole > 3.0 * half:
            raise ValueError(
                f"synthesizer {type(synth).__name__} drops the gradient of parameter {space.names[p]!r}: its "
                "derivative is zero though the sound depends on it; likely float(), .item() or .detach() inside"
            )
