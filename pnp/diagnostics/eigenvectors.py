"""Eigenvectors, as shares of parameters and in words."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from pnp._arguments import finite_number, whole_number
from pnp.diagnostics.spectral import require_sounds
from pnp.metric.riemannian import RiemannianMetric


def composition(metric: RiemannianMetric) -> Float[Tensor, "P P"]:
    """Return the shares of the parameters in the eigenvectors: squared components, averaged over the sounds.

    Args:
        metric: Metrics of B sounds.

    Returns:
        Row k is the k-th eigenvector, most audible first, and column p its share of parameter p; rows sum
        to 1.

    Raises:
        ValueError: If no sound has a metric.
    """
    return require_sounds(metric).eigenvectors.square().mean(dim=0).mT


def describe_eigenvectors(
    eigenvectors: Float[Tensor, "P P"], names: Sequence[str], least: float = 0.1
) -> list[str]:
    """Return eigenvectors in words, such as "0.98 carrier − 0.17 rate".

    Args:
        eigenvectors: (P, P), one eigenvector a column.
        names: The P parameters' names.
        least: Components smaller than this in magnitude are left out.

    Returns:
        One phrase per eigenvector, its largest component first and positive (an eigenvector has no sign).

    Raises:
        ValueError: If the number of names is not P.

    Examples:
        >>> import torch
        >>> describe_eigenvectors(torch.tensor([[0.6, -0.8], [-0.8, -0.6]]), ["pitch", "decay"])
        ['0.80 decay − 0.60 pitch', '0.80 pitch + 0.60 decay']
    """
    if len(names) != eigenvectors.shape[0]:
        raise ValueError(f"expected {eigenvectors.shape[0]} names, one per parameter, got {len(names)}")
    return [in_words(vector, names, least) for vector in eigenvectors.mT.tolist()]


def in_words(
    vector: Sequence[float], names: Sequence[str], least: float = 0.1, most: int | None = None
) -> str:
    """Return one eigenvector in words.

    Args:
        vector: P components.
        names: Names of the P parameters.
        least: Components smaller than this in magnitude are left out.
        most: Terms at most; dots stand for the others.

    Returns:
        A phrase, the largest component first and positive.

    Examples:
        >>> in_words([0.1, -0.7, 0.7], ["a", "b", "c"], most=2)
        '0.70 b − 0.70 c …'
    """
    least = finite_number("least", least, least=0)
    most = None if most is None else whole_number("most", most, least=1)
    by_size = sorted(zip(vector, names, strict=True), key=lambda part: -abs(part[0]))
    sign = -1.0 if by_size[0][0] < 0 else 1.0
    words = f"{sign * by_size[0][0]:.2f} {by_size[0][1]}"
    others = [(value, name) for value, name in by_size[1:] if abs(value) >= least]
    for value, name in others[: None if most is None else most - 1]:
        words += f" {'−' if sign * value < 0 else '+'} {abs(value):.2f} {name}"
    return words + (" …" if most is not None and len(others) >= most else "")
