"""Groups of parameters that sound alike, and an order that brings them together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pnp._arguments import finite_number

# |cosine| from which two parameters sound alike: half of the squared effect of one is the other's.
ALIKE = 0.7


class Clusters(NamedTuple):
    """Parameters clustered by how alike they sound.

    Attributes:
        order: All P parameters, those that sound alike next to each other.
        groups: Parameters of which every two sound alike, two or more a group, in that order.
        linkage: (P − 1, 4), the tree, as SciPy writes it; its heights are 1 − |cosine|.
    """

    order: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    linkage: np.ndarray


def clusters(cosines: Float[Tensor, "P P"], least: float = ALIKE) -> Clusters:
    """Return groups of parameters whose Jacobian columns point the same way.

    Complete linkage: within a group no |cosine| lies below `least`.

    Args:
        cosines: |cosine| between every two parameters, such as the `cosines` of a survey.
        least: |cosine| from which two parameters sound alike; at 0.7, half of the squared effect of one is the
            other's.

    Returns:
        Order, groups and tree.

    Examples:
        >>> import torch
        >>> cosines = torch.tensor([[1.0, 0.1, 0.9], [0.1, 1.0, 0.2], [0.9, 0.2, 1.0]])
        >>> clusters(cosines).groups
        ((2, 0),)
    """
    from scipy.cluster.hierarchy import cut_tree, leaves_list, linkage
    from scipy.spatial.distance import squareform

    least = finite_number("least", least, least=0, most=1)
    count = len(cosines)
    if count == 1:
        return Clusters((0,), (), np.empty((0, 4)))
    apart = 1.0 - cosines.abs().clamp(max=1.0).numpy(force=True).astype(np.float64)
    tree = linkage(squareform(apart, checks=False), method="complete", optimal_ordering=True)
    order = tuple(int(leaf) for leaf in leaves_list(tree))
    # Rounding must not part two parameters whose cosine is the threshold itself.
    labels = cut_tree(tree, height=1.0 - least + 1e-12).ravel()
    members: dict[int, list[int]] = {}
    for leaf in order:
        members.setdefault(int(labels[leaf]), []).append(leaf)
    return Clusters(order, tuple(tuple(group) for group in members.values() if len(group) > 1), tree)
