"""Reverse mode: the network as a few nodes of PyTorch's graph, each computed path by path over the cores.

A node keeps its input and nothing of what lies between: the backward pass computes that again, which takes less time
than to write it to memory and read it back. Where a graph of the backward pass itself is asked for, it takes the plain
path, operation by operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, TypeVar

import torch
from torch import Tensor

from pnp._torch.modes import full_precision
from pnp.features.scattering.frequential import (
    FrequentialTables,
    averaged_modulus,
    averaged_modulus_and_tangents,
    averaged_modulus_cotangent,
    chunk_length,
)
from pnp.features.scattering.temporal import (
    AverageTables,
    GroupTables,
    PathTables,
    add_low_bins,
    coefficients,
    first_order,
    from_planes,
    modulus,
    scalogram_cotangent,
    scalogram_spectrum,
    second_order,
    second_order_cotangent,
    second_order_planes,
    to_planes,
)
from pnp.features.scattering.threads import thread_map

__all__ = ["AveragedModulus", "Scalogram", "SecondOrder", "over_cores", "second_order_averages"]

Path = tuple[PathTables, FrequentialTables, AverageTables]
Item = TypeVar("Item")
Result = TypeVar("Result")


def over_cores(x: Tensor) -> Callable[[Callable[[Item], Result], Sequence[Item]], list[Result]]:
    """Return what maps a function over the parts of the network: on a CPU threads, on a GPU one after the other."""
    return thread_map if x.device.type == "cpu" else _one_by_one


def _one_by_one(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]


class Scalogram(torch.autograd.Function):
    """Fourier coefficients of the moduli of first-order sub-bands, one tensor for each group of wavelets."""

    @staticmethod
    def forward(ctx: Any, groups: Sequence[GroupTables], x_hat: Tensor) -> tuple[Tensor, ...]:
        """Coefficients, shapes (batch, n1, bins), from spectra of padded signals, shape (batch, N)."""
        ctx.save_for_backward(x_hat)
        ctx.groups = groups

        def part(pair: tuple[GroupTables, int]) -> Tensor:
            group, item = pair
            return scalogram_spectrum(x_hat[item : item + 1], group)

        results = over_cores(x_hat)(part, list(product(groups, range(len(x_hat)))))
        return tuple(torch.cat(results[i : i + len(x_hat)]) for i in range(0, len(results), len(x_hat)))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        """Cotangent of the spectra."""
        (x_hat,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            with torch.enable_grad():
                outputs = [
                    coefficients(modulus(first_order(x_hat, group)), group.bins) for group in ctx.groups
                ]
                (g,) = torch.autograd.grad(outputs, x_hat, gradients, create_graph=True)
            return None, g

        def part(pair: tuple[int, tuple[GroupTables, Tensor]]) -> Tensor:
            item, (group, gradient) = pair
            return scalogram_cotangent(x_hat[item : item + 1], group, gradient[item])

        pairs = list(product(range(len(x_hat)), zip(ctx.groups, gradients, strict=True)))
        results = over_cores(x_hat)(part, pairs)
        n = len(ctx.groups)
        return None, torch.stack([sum_of(results[i : i + n]) for i in range(0, len(results), n)])


class SecondOrder(torch.autograd.Function):
    """Block averages of the moduli of all second-order paths."""

    @staticmethod
    def forward(ctx: Any, paths: Sequence[Path], *spectra: Tensor) -> tuple[Tensor, ...]:
        """Averages, (batch, moduli, blocks, taps), from coefficients of the scalogram, (batch, n1, bins)."""
        ctx.save_for_backward(*spectra)
        ctx.paths = paths
        batch = len(spectra[0])

        def part(pair: tuple[Path, int]) -> Tensor:
            path, item = pair
            return second_order_averages([c[item : item + 1] for c in spectra], path)

        results = over_cores(spectra[0])(part, list(product(paths, range(batch))))
        return tuple(torch.cat(results[i : i + batch]) for i in range(0, len(results), batch))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Cotangents of the coefficients of the scalogram."""
        spectra = ctx.saved_tensors
        if torch.is_grad_enabled():
            with torch.enable_grad():
                z = [averaged_modulus(second_order(spectra, path), f, t) for path, f, t in ctx.paths]
                return (
                    None,
                    *torch.autograd.grad(z, spectra, gradients, create_graph=True, allow_unused=True),
                )
        with full_precision(spectra[0]):
            items = [
                _second_order_cotangents(spectra, gradients, ctx.paths, i) for i in range(len(spectra[0]))
            ]
        return (None, *(torch.stack(group) for group in zip(*items, strict=True)))


def _second_order_cotangents(
    spectra: Sequence[Tensor], gradients: Sequence[Tensor], paths: Sequence[Path], item: int
) -> list[Tensor]:
    """Cotangents of the coefficients of the scalogram of one item of a batch."""
    signal = [c[item : item + 1] for c in spectra]
    run = over_cores(signal[0])

    def cotangent(pair: tuple[Path, Tensor]) -> Tensor:
        (temporal, frequential, average), gradient = pair
        planes = second_order_planes(
            signal, temporal, chunk_length(temporal.n_samples, 1, frequential, average)
        )
        averaged_modulus_cotangent(planes, gradient[item], frequential, average)
        return second_order_cotangent(planes, temporal)

    low_bins = run(cotangent, list(zip(paths, gradients, strict=True)))

    def total(place: tuple[int, Tensor]) -> Tensor:
        # Path by path and in their order, so that the sum does not depend on which thread came first.
        start, c = place
        g = torch.zeros_like(c[0])
        for low in low_bins:
            rows = low[start : start + len(g)]
            if len(rows):
                add_low_bins(g[: len(rows)], rows)
        return g

    starts, start = [], 0
    for c in signal:
        starts.append(start)
        start += c.shape[1]
    return run(total, list(zip(starts, signal, strict=True)))


class AveragedModulus(torch.autograd.Function):
    """`frequential.averaged_modulus` that keeps no filtered sub-band in memory."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, tables: FrequentialTables, average: AverageTables) -> Tensor:
        """Block averages of the moduli of `y`, shape (batch, n1, M)."""
        ctx.save_for_backward(y)
        ctx.tables, ctx.average = tables, average
        length = chunk_length(y.shape[-1], 1, tables, average)
        planes = (to_planes(item[None], length) for item in y)
        return torch.cat([averaged_modulus_and_tangents(p, tables, average) for p in planes])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        """Cotangent of `y`."""
        (y,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            with torch.enable_grad():
                z = averaged_modulus(y, ctx.tables, ctx.average)
                (g,) = torch.autograd.grad(z, y, gradients[0], create_graph=True)
            return g, None, None
        length = chunk_length(y.shape[-1], 1, ctx.tables, ctx.average)
        g = torch.empty_like(y)
        for item, gradient, target in zip(y, gradients[0], g, strict=True):
            planes = to_planes(item[None], length)
            with full_precision(y):
                averaged_modulus_cotangent(planes, gradient, ctx.tables, ctx.average)
            target.copy_(from_planes(planes))
        return g, None, None


def second_order_averages(spectra: Sequence[Tensor], path: Path) -> Tensor:
    """Block averages of the moduli of one path, for a signal and its tangents, shape (signals, moduli, blocks, taps).

    Args:
        spectra: Fourier coefficients of the scalogram and of its tangents, by groups of wavelets.
        path: The path.

    Returns:
        The averages. Not differentiable.
    """
    temporal, frequential, average = path
    length = chunk_length(temporal.n_samples, len(spectra[0]), frequential, average)
    planes = second_order_planes(spectra, temporal, length)
    return averaged_modulus_and_tangents(planes, frequential, average)


def sum_of(tensors: Sequence[Tensor]) -> Tensor:
    """Sum, in the order given. Overwrites the first."""
    for tensor in tensors[1:]:
        tensors[0].add_(tensor)
    return tensors[0]
