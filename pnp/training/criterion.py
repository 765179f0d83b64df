"""Loss that a run is trained on, by its name, and the schedule of its damping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from pnp._protocols import SynthesizerLike
from pnp.errors import CacheError
from pnp.losses import ChoiceCrossEntropy, ChoiceLoss, ParameterLoss, PNPLoss, SpectralLoss, SurrogateLoss
from pnp.metric.reach import DEFAULT_REACH
from pnp.training.damping import LevenbergMarquardt

if TYPE_CHECKING:
    from pnp._protocols import CacheLike, ChoiceCacheLike

__all__ = ["LOSSES", "make_choice_criterion", "make_criterion", "make_schedule", "with_defaults"]

LOSSES = ("pnp", "p", "surrogate", "spectral", "multiscale")


def with_defaults(loss: str | nn.Module, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a loss with those that training sets by default.

    They are spelled out, so that a run which was begun with other defaults is not continued with these.

    Args:
        loss: Name of the loss, or the loss itself.
        options: Options that were given.

    Returns:
        All options. PNP loss has a reach.
    """
    if loss != "pnp" or options.get("ceiling") is not None:
        return dict(options)
    # A plain number, as checkpoints keep it.
    return {"reach": float(DEFAULT_REACH)} | dict(options)


def make_criterion(
    cache: CacheLike,
    synth: SynthesizerLike,
    loss: str | nn.Module,
    options: Mapping[str, Any],
    features: nn.Module | None,
) -> tuple[nn.Module, str]:
    """Make a loss over the sounds of a cache.

    Args:
        cache: Sounds and metrics.
        synth: Synthesizer, for the losses that listen.
        loss: Name of the loss, one of `LOSSES`; or the loss itself.
        options: Options of a loss that is named.
        features: Features Φ, for the spectral loss.

    Returns:
        The loss, and its name.

    Raises:
        ValueError: If there is no such loss, or options or features do not go with it.
    """
    if isinstance(loss, nn.Module):
        if options:
            raise ValueError("loss_options go with the name of a loss; a module has its options already.")
        return loss, type(loss).__name__
    if loss == "pnp":
        # Normalized even without a reach, so that one learning rate suits all losses.
        return PNPLoss.from_cache(cache, **({"normalize": True} | dict(options))), loss
    if loss == "p":
        return ParameterLoss(**options), loss
    if loss == "surrogate":
        return SurrogateLoss.from_cache(cache, **({"normalize": True} | dict(options))), loss
    if loss == "spectral":
        if features is None:
            raise ValueError("The spectral loss needs the features to compare sounds by; got features=None.")
        return SpectralLoss(synth, features, **({"targets": _stored_features(cache)} | dict(options))), loss
    if loss == "multiscale":
        if features is not None:
            raise ValueError("The multiscale loss has its own features; use 'spectral' for others.")
        # The one loss by name that brings features along: the online stage is loaded without them.
        from pnp.features.multiscale import MultiscaleSTFT

        return SpectralLoss(synth, MultiscaleSTFT(), **({"power": 1} | dict(options))), loss
    raise ValueError(f"Loss must be one of {', '.join(LOSSES)}, or a module; got {loss!r}.")


def make_choice_criterion(
    cache: CacheLike, loss: str | nn.Module, options: Mapping[str, Any], given: nn.Module | None
) -> nn.Module | None:
    """Make the loss of choices that is added to a loss of parameters.

    Args:
        cache: Sounds, with distances between options.
        loss: Name of the loss of parameters, or the loss itself.
        options: Its options: both losses are in one unit.
        given: Loss of choices, if one was given.

    Returns:
        The loss that was given, cross-entropy beside P-loss, or `ChoiceLoss`; None where the space has no choices.

    Raises:
        ValueError: If a loss of choices was given and there are none.
    """
    if not cache.space.choices:
        if given is not None:
            raise ValueError(
                f"choice_loss goes with choices; the space of {cache.path} has none: "
                f"{', '.join(cache.space.column_names)}."
            )
        return None
    if given is not None:
        return given
    choices = cast("ChoiceCacheLike", cache)
    if loss == "p":
        return ChoiceCrossEntropy.from_cache(choices)
    shared = {name: options[name] for name in ("reach", "ceiling", "normalize", "scale") if name in options}
    return ChoiceLoss.from_cache(choices, **({"normalize": True} | shared))


def _stored_features(cache: CacheLike) -> Tensor | None:
    """Features of all rows, NaN where a sound failed; None if the cache does not keep them."""
    rows = cache.rows()
    try:
        stored = cache.features(rows).float()
    except CacheError:
        return None
    targets = torch.full((len(cache), stored.shape[-1]), torch.nan)
    targets[rows] = stored
    return targets


def make_schedule(
    options: Mapping[str, Any] | None,
    loss_options: Mapping[str, Any],
    criterion: nn.Module,
    encoder: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> LevenbergMarquardt | None:
    """Make the schedule of the damping of a loss.

    Args:
        options: Options of the schedule; None for no schedule.
        loss_options: Options of the loss, whose damping is where the schedule begins.
        criterion: The loss.
        encoder: Network whose best state the schedule keeps.
        optimizer: Its optimizer.

    Returns:
        The schedule, if there is one.

    Raises:
        ValueError: If the loss has no damping, or the initial damping is given twice.
    """
    if options is None:
        return None
    if not isinstance(criterion, PNPLoss):
        raise ValueError(f"A damping schedule needs PNP loss; got {type(criterion).__name__}.")
    initial, damping = options.get("initial"), loss_options.get("damping")
    if initial is not None and damping is not None and initial != damping:
        raise ValueError(
            f"The damping of the loss is where its schedule begins; got damping={damping} and initial={initial}. "
            "Give one of both."
        )
    # Not the damping of a loss that comes as a module, which may be what an earlier schedule left there.
    chosen = dict(options) | {"initial": damping if initial is None else initial}
    return LevenbergMarquardt(criterion, model=encoder, optimizer=optimizer, **chosen)
