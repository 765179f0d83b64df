"""Answers of a network about sounds: parameters and, where the space has choices, their probabilities."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pnp._torch.modes import at_least_single
from pnp.parameters import ParameterSpace

if TYPE_CHECKING:
    from pnp._protocols import CacheLike

__all__ = ["Answer", "Network", "answer_of", "ask", "conditions_of", "hears_conditions"]

# Any callable from sounds (B, N), and from conditions (B, Q) where it takes them, to û or (û, probabilities).
Network = Callable[..., Any]


@dataclass(frozen=True)
class Answer:
    """Output of a network about a batch of sounds.

    Attributes:
        u_hat: Predicted parameters in units of the cube, shape (B, P).
        probabilities: Probabilities of the options of each choice by its name, shape (B, options); empty where the
            network leaves choices alone.
    """

    u_hat: Tensor
    probabilities: Mapping[str, Tensor] = field(default_factory=dict)

    def options(self, space: ParameterSpace) -> Tensor:
        """Return positions of the most probable options, shape (B, K); the network must have answered all choices."""
        chosen = [self.probabilities[choice.name].argmax(-1) for choice in space.choices]
        return torch.stack(chosen, -1) if chosen else self.u_hat.new_empty(len(self.u_hat), 0).long()

    @classmethod
    def joined(cls, parts: list[Answer]) -> Answer:
        """Return the answer about several batches as one, on the CPU.

        Args:
            parts: Answers, at least one.
        """
        probabilities = {
            name: torch.cat([part.probabilities[name].cpu() for part in parts])
            for name in parts[0].probabilities
        }
        return cls(torch.cat([part.u_hat.cpu() for part in parts]), probabilities)


def conditions_of(cache: CacheLike) -> Tensor | None:
    """Return the conditions of all sounds as a network hears them, or None where there are none.

    Args:
        cache: Open cache.

    Returns:
        Conditions scaled to [-1, 1], without a seed, shape (n, Q), float64.
    """
    n_conditions = len(cache.space.conditions)
    told = [cache.space.conditions.index(condition) for condition in cache.space.told]
    if not told:
        return None
    space: ParameterSpace = getattr(cache, "synth_space", cache.space)
    return space.to_unit(cache.theta)[:, -n_conditions:][:, told]


def hears_conditions(network: Network) -> bool:
    """Tell if a network takes conditions: if it has an argument of that name.

    Args:
        network: A callable; of a module, `forward` counts.
    """
    called = network.forward if isinstance(network, nn.Module) else network
    try:
        return "conditions" in inspect.signature(called).parameters
    except (TypeError, ValueError):
        # Some callables in C have no signature.
        return False


def ask(network: Network, sounds: Tensor, conditions: Tensor | None, space: ParameterSpace) -> Answer:
    """Return the answer of a network about sounds, once it has been checked.

    Args:
        network: Callable from sounds, shape (B, N), to û of shape (B, P), or to û and a mapping from the name of each
            choice to its probabilities. Conditions are given to it by keyword, if it has an argument `conditions`.
        sounds: Sounds, shape (B, N).
        conditions: Conditions scaled to [-1, 1], shape (B, Q); None where there are none.
        space: Parameters and choices that are asked for.

    Returns:
        The answer, in single precision at least.

    Raises:
        ValueError: If shapes or names do not fit.
    """
    hears = conditions is not None and hears_conditions(network)
    said = network(sounds, conditions=conditions) if hears else network(sounds)
    return answer_of(said, len(sounds), space)


def answer_of(said: object, n_sounds: int, space: ParameterSpace) -> Answer:
    """Return the output of a network as an answer, once it has been checked.

    Args:
        said: û, or a pair of û and probabilities by choice.
        n_sounds: Number of sounds B.
        space: Parameters and choices that were asked for.

    Returns:
        The answer, in single precision at least.

    Raises:
        ValueError: If shapes or names do not fit.
    """
    u_hat, probabilities = said if isinstance(said, (tuple, list)) and len(said) == 2 else (said, {})
    wanted = (n_sounds, len(space))
    if not isinstance(u_hat, Tensor) or tuple(u_hat.shape) != wanted:
        raise ValueError(
            f"The network must map sounds (B, N) to scaled parameters (B, P) = {wanted}; got {_shape(u_hat)}."
        )
    if not isinstance(probabilities, Mapping):
        raise ValueError(
            "The network must answer with û, or with û and a mapping from the name of each choice to its "
            f"probabilities; got û and {type(probabilities).__name__}."
        )
    names = [choice.name for choice in space.choices]
    if probabilities and set(probabilities) != set(names):
        raise ValueError(
            f"The network must give probabilities of the choices {', '.join(names) or 'none'}; got "
            f"{', '.join(map(str, probabilities))}."
        )
    for choice in space.choices if probabilities else ():
        given, expected = probabilities[choice.name], (n_sounds, len(choice.choices))
        if not isinstance(given, Tensor) or tuple(given.shape) != expected:
            raise ValueError(
                f"The network must give probabilities of {choice.name!r} of shape (B, options) = {expected}; got "
                f"{_shape(given)}."
            )
    return Answer(
        at_least_single(u_hat), {name: at_least_single(given) for name, given in probabilities.items()}
    )


def _shape(value: object) -> object:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
