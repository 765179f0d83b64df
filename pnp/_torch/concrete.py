"""Detection of tensors whose values can be inspected."""

from __future__ import annotations

import torch
from torch import Tensor


def is_concrete(tensor: Tensor) -> bool:
    """Return true where value checks may read `tensor`.

    Inside `torch.func.vmap`, `jvp` or `grad` a tensor stands for many values or carries a tangent, and while
    `torch.compile` traces it stands for none: a Python branch on its values would raise or break the graph.
    The caller outside has the real values, and can check them with `ParameterSpace.check_unit`.
    """
    if torch.compiler.is_compiling() or tensor.is_meta:
        return False
    # torch.func has no public predicate for its wrappers; this one has been in place since torch 2.0.
    return not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
