"""Adapters that give a synthesizer or a feature map the derivatives that it lacks."""

from __future__ import annotations

import copy
from contextlib import suppress

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp._protocols import SynthesizerModule
from pnp._text import percent
from pnp._torch.memory import NUMBERS_AT_ONCE
from pnp._torch.pushforward import one_by_one
from pnp.errors import SynthesisError
from pnp.jacobian.numerical import DifferencedSounds, NumericalTangents
from pnp.parameters.values import rounded

__all__ = ["DirectionByDirection", "FeatureDifferences", "RenderedDifferences"]

# Sizes of a step along a tangent, relative to the sound.
_STEPS = {
    torch.float32: (3e-2, 1e-2, 3e-3, 1e-3, 3e-4),
    torch.float64: (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7),
}

# Disagreement with the difference along all tangents at once, from which on there is no derivative.
_TOLERANCE = 0.1


class DirectionByDirection(nn.Module):
    """Synthesizer or feature map that cannot be vectorized, differentiated in one direction at a time.

    Args:
        module: Synthesizer or feature map.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        for name in ("space", "sample_rate", "n_samples"):
            if hasattr(module, name):
                setattr(self, name, getattr(module, name))

    def forward(self, x: Tensor) -> Tensor:
        """Return what the module returns."""
        y: Tensor = self.module(x)
        return y

    def value_and_tangents(self, point: Tensor, dx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the value and its derivatives, along given directions or along all axes.

        Args:
            point: Points of differentiation, shape (B, A).
            dx: Directions, shape (B, P, A); all axes if not given.

        Returns:
            Value and directional derivatives, shape (B, P, ...).
        """
        if dx is None:
            dx = torch.eye(point.shape[-1]).to(point).expand(len(point), -1, -1)
        return one_by_one(self.module, point, dx)


class FeatureDifferences(nn.Module):
    r"""Feature map without forward mode, by differences along the tangents of the sound.

    .. math:: \partial \Phi \approx \frac{\Phi(x + \epsilon \dot x) - \Phi(x - \epsilon \dot x)}{2 \epsilon}

    Computed in double precision where the feature map works in it. At every sound, the differences are compared with
    one at a quarter of the step along the sum of all tangents, which a derivative must agree with.

    Args:
        features: Feature map from sounds (B, N) to features (B, ...).
        x: A sound to choose the step at, shape (1, N).
        dx: Its tangents, shape (1, P, N).

    Attributes:
        step: Length of a step relative to the sound.
        error: Relative change of the difference from twice the step to this one.
        in_double: True where differences are computed in double precision.
    """

    def __init__(self, features: nn.Module, x: Tensor, dx: Tensor) -> None:
        super().__init__()
        self.features = features
        self._double: nn.Module | None = _in_double(features, x)
        self.in_double = self._double is not None
        dtype = torch.float64 if self.in_double else x.dtype
        y, directions = x.to(dtype), _normalized(x.to(dtype), dx.to(dtype))
        audible = directions.flatten(2).any(-1)[0]
        candidates = list[tuple[float, float]]()
        for step in _STEPS[dtype]:
            fine, coarse = (
                self._along(y, scale * step * directions[:, audible]) / scale for scale in (1.0, 2.0)
            )
            size = float(fine.double().norm())
            change = float((fine - coarse).double().norm())
            candidates.append((change / size if size > 0 else 0.0, step))
        self.error, self.step = min(candidates)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        S: Tensor = self.features(x)
        return S

    def value_and_tangents(
        self, x: Float[Tensor, "B N"], dx: Float[Tensor, "B P N"]
    ) -> tuple[Tensor, Tensor]:
        """Return features and differences along tangents.

        Args:
            x: Sounds, shape (B, N).
            dx: Tangents of the sounds, shape (B, P, N).

        Returns:
            Features, shape (B, ...), and differences, shape (B, P, ...).

        Raises:
            SynthesisError: If the differences contradict each other.
        """
        S = self(x)
        y = x.double() if self.in_double else x
        moves = self.step * _normalized(y, dx.to(y))
        changes = self._along(y, moves)
        self._check(y, moves, changes)
        length = moves.norm(dim=-1) / dx.to(y).norm(dim=-1)
        length = torch.where(length.isfinite() & (length > 0), length, 1.0)
        return S, (changes / length.reshape(*length.shape, *[1] * (changes.ndim - 2))).to(S)

    def _along(self, y: Tensor, moves: Tensor) -> Tensor:
        """Half the change of the features from -move to +move, shape (B, P, ...)."""
        features = self.features if self._double is None else self._double
        found = []
        for part in moves.split(max(1, NUMBERS_AT_ONCE // (2 * y.numel())), dim=1):
            ends = torch.stack([y.unsqueeze(1) + part, y.unsqueeze(1) - part])
            above, below = features(ends.flatten(0, 2)).unflatten(0, ends.shape[:3])
            found.append((above - below) / 2.0)
        return torch.cat(found, 1)

    def _check(self, y: Tensor, moves: Tensor, changes: Tensor) -> None:
        """Refuse differences that their sum contradicts."""
        n = moves.shape[1]
        # Signs without a pattern of their own, the same for every sound.
        signs = torch.tensor([1.0 if (7 * p * p + 3 * p) % 5 < 2 else -1.0 for p in range(n)]).to(y)
        weights = (signs / n**0.5).unsqueeze(-1)
        # A quarter of the length that the sum of perpendicular moves has.
        total = (weights * moves).sum(1, keepdim=True) / 4.0
        expected = (weights * changes.flatten(2)).sum(1)
        found = 4.0 * self._along(y, total).flatten(1)
        scale = changes.flatten(2).square().mean(1).sum(-1).sqrt()
        # A kink of a few coefficients is no contradiction; noise of single precision is none either.
        noise = (
            50.0 * torch.finfo(y.dtype).eps * self(y.to(moves)).flatten(1).norm(dim=-1)
            if not self.in_double
            else 0.0
        )
        wrong = (found - expected).norm(dim=-1) > _TOLERANCE * scale + noise
        if wrong.any():
            row = int(wrong.nonzero()[0])
            gap = float((found - expected)[row].norm() / scale[row])
            raise SynthesisError(
                f"features {type(self.features).__name__!r} have no derivative here: differences along the tangents "
                f"contradict the one along their sum by {percent(gap, 0)}"
            )


class RenderedDifferences(DifferencedSounds, nn.Module):
    """Synthesizer without forward mode, by differences of its sounds.

    Args:
        synth: Synthesizer.

    Attributes:
        numerical: The differences, with their steps.
    """

    forward_mode = False

    def __init__(self, synth: SynthesizerModule) -> None:
        super().__init__()
        self.synth = synth
        self.space, self.sample_rate, self.n_samples = synth.space, synth.sample_rate, synth.n_samples
        label = f"synthesizer {getattr(synth, 'name', type(synth).__name__)!r}"
        self.numerical = NumericalTangents(self._render, self.space, self.n_samples, label)

    def _render(self, theta: Tensor) -> Tensor:
        x: Tensor = self.synth(rounded(self.space, theta))
        return x.double()

    def forward(self, theta: Tensor) -> Tensor:
        """Return the sounds of the synthesizer."""
        x: Tensor = self.synth(theta)
        return x


def _normalized(x: Tensor, dx: Tensor) -> Tensor:
    """Tangents scaled to the norm of the sound; those that are 0 stay."""
    size = dx.norm(dim=-1, keepdim=True)
    return torch.where(size > 0, dx * (x.norm(dim=-1)[:, None, None] / size), 0.0)


def _in_double(features: nn.Module, x: Tensor) -> nn.Module | None:
    """Return a copy of a feature map in double precision; None where it does not work in it."""
    with suppress(Exception), torch.no_grad():  # whatever a user's module raises when it is copied or called
        double = copy.deepcopy(features).double()
        S, expected = double(x.double()), features(x)
        close = (S - expected).norm() <= 1e-3 * expected.norm()
        return double if S.dtype == torch.float64 and bool(close) else None
    return None
