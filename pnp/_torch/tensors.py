"""Tensors of modules that users write."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

__all__ = ["tensors_of"]


def tensors_of(*modules: nn.Module) -> Iterator[Tensor]:
    """Yield the parameters and buffers of modules.

    The methods of `nn.Module` are called, not those of the object: a synthesizer may well have an attribute
    `parameters` of its own, such as the list that its space is made of.

    Args:
        modules: Modules.
    """
    for module in modules:
        yield from nn.Module.parameters(module)
        yield from nn.Module.buffers(module)
