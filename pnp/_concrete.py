"""Which tensors hold numbers that may be looked at."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

# These have no public predicates; they are what PyTorch itself asks, and have been in place since torch 2.1. Should
# they go, nothing is taken for eager.
_CAN_TELL = all(
    hasattr(torch._C, name)
    for name in ("_get_tracing_state", "_are_functorch_transforms_active", "_len_torch_dispatch_stack")
) and hasattr(forward_ad, "_current_level")


def is_concrete(tensor: Tensor) -> bool:
    """Whether value checks may read `tensor`.

    Inside `torch.func.vmap`, `jvp` or `grad` a tensor stands for many values or carries a tangent, and while
    `torch.compile` traces it stands for none: a Python branch on its values would raise or break the graph.
    The caller outside has the real values, and can check them with `ParameterSpace.check_unit`.
    """
    if torch.compiler.is_compiling() or tensor.is_meta:
        return False
    # torch.func has no public predicate for its wrappers; this one has been in place since torch 2.0.
    return not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def is_eager() -> bool:
    """Whether operations run at once on plain numbers: nothing traces or transforms them, and none has a tangent.

    Only then may a result come from outside of PyTorch, where no transform, mode or tracer would see how.
    """
    return _CAN_TELL and not (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or forward_ad._current_level >= 0
    )
