"""Weights of scattering paths fitted to ratings, judged on publications that had no part in the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import pnp

from .agreement import MARGIN

__all__ = ["Groups", "Kept", "fitted", "held_out"]

# Of the squares of logarithms of weights: what keeps weights at 1 where ratings do not ask for others.
_PENALTY = 0.01
_STEPS, _RATE = 200, 0.05


@dataclass(frozen=True)
class Groups:
    """Groups of scattering coefficients: by modulation rate, and by scale along log-frequency.

    Args:
        rows: Group of each row of coefficients, shape (C,).
        factors: 1 where a group's weight has a factor and 0 elsewhere, shape (groups, factors): one for the first
            order, one for each rate, one for each scale.
    """

    rows: Tensor
    factors: Tensor

    @classmethod
    def of(cls, transform: pnp.TimeFrequencyScattering) -> Groups:
        """Groups of a transform's paths."""
        meta = transform.meta()
        keys = [
            (int(rate), int(scale)) if order == 2 else (-1, -1)
            for order, rate, scale in zip(meta["order"], meta["n2"], meta["j_fr"], strict=True)
        ]
        known = sorted(set(keys))
        names = sorted({("rate", rate) for rate, _ in known} | {("scale", s) for _, s in known if s >= 0})
        factors = torch.tensor(
            [[("rate", rate) == name or ("scale", scale) == name for name in names] for rate, scale in known]
        )
        return cls(torch.tensor([known.index(key) for key in keys]), factors.double())

    def squares(self, features: Tensor) -> Tensor:
        """Squared distances between sounds within each group.

        Args:
            features: Shape (n, C, ...).

        Returns:
            Shape (n, n, groups).
        """
        parts = []
        for group in range(len(self.factors)):
            x = features[:, self.rows == group].flatten(1).double()
            parts.append(torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square())
        return torch.stack(parts, -1)


@dataclass(frozen=True)
class Kept:
    """Part of a study that a fit needs.

    Args:
        publication: Publication that it is part of.
        squares: Squared distances by group, shape (n, n, groups).
        ratings: Shape (n, n).
    """

    publication: str
    squares: Tensor
    ratings: np.ndarray

    def triplets(self) -> tuple[Tensor, Tensor]:
        """Squared distances, shape (triplets, groups), of what listeners found closer and of what they found farther.

        Both are divided by the mean over the study, so that studies count alike whatever their distances.
        """
        squares = self.squares / self.squares.sum(-1).mean()
        n = len(self.ratings)
        near, far = [], []
        for reference in range(n):
            others = np.delete(np.arange(n), reference)
            first, second = (others[places] for places in np.triu_indices(n - 1, 1))
            difference = self.ratings[reference, first] - self.ratings[reference, second]
            counted = np.abs(difference) > MARGIN
            first, second = first[counted], second[counted]
            closer = difference[counted] < 0
            near.append(squares[reference, np.where(closer, first, second)])
            far.append(squares[reference, np.where(closer, second, first)])
        return torch.cat(near), torch.cat(far)


def fitted(studies: Sequence[Kept], factors: Tensor) -> Tensor:
    """Weights under which most triplets are ordered as listeners order them.

    A logistic loss of the difference of the two distances, the weights' logarithms linear in `factors`.

    Args:
        studies: Studies to fit to.
        factors: As in `Groups`.

    Returns:
        Weights, shape (groups,).
    """
    near, far = (torch.cat(parts) for parts in zip(*(study.triplets() for study in studies), strict=True))
    logarithms = torch.zeros(factors.shape[1], dtype=torch.float64, requires_grad=True)
    sharpness = torch.tensor(10.0, dtype=torch.float64).log().requires_grad_()
    optimizer = torch.optim.Adam([logarithms, sharpness], lr=_RATE)
    for _ in range(_STEPS):
        weights = (factors @ logarithms).exp()
        margin = (far @ weights + 1e-12).sqrt() - (near @ weights + 1e-12).sqrt()
        loss = torch.nn.functional.softplus(-sharpness.exp() * margin).mean()
        optimizer.zero_grad()
        (loss + _PENALTY * logarithms.square().sum()).backward()
        optimizer.step()
    return (factors @ logarithms.detach()).exp()


def held_out(studies: Sequence[Kept], factors: Tensor) -> list[np.ndarray]:
    """Distances within each study, with weights fitted to the studies of all other publications.

    Args:
        studies: All studies.
        factors: As in `Groups`.

    Returns:
        Shape (n, n) for each study.
    """
    weights = {
        publication: fitted([one for one in studies if one.publication != publication], factors)
        for publication in {study.publication for study in studies}
    }
    return [(study.squares @ weights[study.publication]).sqrt().numpy() for study in studies]
