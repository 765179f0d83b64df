"""Fine-tuning of an encoder on recordings whose parameters nobody knows, through a differentiable synthesizer."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from pnp._arguments import finite_number
from pnp._progress import Bar
from pnp._protocols import FeatureMap, SynthesizerLike
from pnp._torch.modes import full_precision
from pnp.training.encoder import Encoder

__all__ = ["fine_tune"]

# Of a recording's power, what is the synthesizer's at least.
_LEAST_VOICED = 0.01


def fine_tune(
    encoder: Encoder,
    sounds: Shaped[Tensor, "n N"],
    synth: SynthesizerLike,
    features: FeatureMap,
    *,
    noise: Shaped[Tensor, "m M"] | None = None,
    level: float | None = None,
    steps: int = 200,
    batch_size: int = 8,
    learning_rate: float = 5e-4,
    averaging: float = 0.995,
    seed: int = 0,
    note: Callable[[int, float], None] | None = None,
    progress: bool = False,
) -> Encoder:
    """Adapt a trained encoder to recordings: its predictions are to sound like what it hears.

    The loss is spectral: the distance between features of a recording and those of the sound at the predicted
    parameters, relative to the recording's, with the gradient through features and synthesizer. Nothing is known of the
    recordings but their sound. Their level says nothing, nor does their noise floor: all recordings are brought to the
    level of the sounds that the encoder predicts at first, predicted sounds to what the recording has besides its
    floor, and the floor is added to them. The learning rate rises over the first twentieth of the steps and falls to
    zero along a cosine. Single steps follow the few recordings of a batch, and spectral losses have many valleys: what
    is returned is an exponential average of the weights. Statistics of batch normalization stay those of training.

    Args:
        encoder: Trained encoder; it stays as it is.
        sounds: Recordings at the synthesizer's sampling rate, length and onset, see
            `pnp.matching.recording.fit_recording`, shape (n, N).
        synth: Synthesizer whose sounds can be differentiated.
        features: Features Φ.
        noise: A noise floor for each recording, at the recording's level, such as
            `pnp.matching.noise.noise_floor` makes, shape (n, N); None for none.
        level: Norm to which recordings are brought, such as that at which `pnp.match` compares,
            `pnp.matching.catalogue.Catalogue.level`; None for the median norm of the first predictions' sounds.
        steps: Steps of Adam.
        batch_size: Recordings a step.
        learning_rate: Largest learning rate.
        averaging: Part of the average that each step keeps, at least 0 and below 1; less in the first steps, whose
            weights are to be forgotten. 0 returns the last weights.
        seed: Seed of the order of the recordings.
        note: Called with number and loss of each step.
        progress: Show a progress bar.

    Returns:
        Another encoder, in evaluation mode.

    Raises:
        ValueError: If recordings or noise do not have the length of the synthesizer's sounds, a recording is silent,
            level or averaging are out of their ranges, or there is no gradient from the sounds to the parameters.
        FloatingPointError: If the loss is NaN or infinite.

    Source:
        Masuda, Saito, "Synthesizer sound matching with differentiable DSP", ISMIR 2021: training on parameters first,
        on sounds of unknown parameters after.
    """
    if sounds.ndim != 2 or sounds.shape[1] != synth.n_samples or not len(sounds):
        raise ValueError(
            f"Recordings must have shape (n, {synth.n_samples}), as the synthesizer's sounds; got "
            f"{tuple(sounds.shape)}."
        )
    if noise is not None and noise.shape != sounds.shape:
        raise ValueError(
            f"Noise floors must have the shape of the recordings, {tuple(sounds.shape)}; got {tuple(noise.shape)}."
        )
    if not 0 <= averaging < 1:
        raise ValueError(f"averaging must be at least 0 and below 1; got {averaging}.")
    tuned, averaged = copy.deepcopy(encoder).eval(), copy.deepcopy(encoder).eval()
    x = sounds.float()
    floor = torch.zeros_like(x) if noise is None else noise.to(x)
    with torch.no_grad(), full_precision(x):
        norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        if not norms.all():
            raise ValueError(f"Recording {int((norms == 0).nonzero()[0, 0])} is silent.")
        if level is None:
            first = [synth(synth.space.from_unit(tuned(part))) for part in x.split(batch_size)]
            level = float(torch.linalg.vector_norm(torch.cat(first), dim=-1).median())
        level = finite_number("level", level, above=0)
        x, floor = x * (level / norms), floor * (level / norms)
        targets = torch.cat([features(part) for part in x.split(batch_size)])
        size = torch.linalg.vector_norm(targets.flatten(1), dim=-1)
        share = torch.linalg.vector_norm(floor, dim=-1, keepdim=True) / level
        voiced = level * (1.0 - share.square()).clamp_min(_LEAST_VOICED).sqrt()
    optimizer = torch.optim.Adam(tuned.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    order = torch.Generator().manual_seed(seed)
    for step in Bar(range(steps), desc="fine-tuning", unit="step", disable=not progress):
        index = torch.randperm(len(x), generator=order)[:batch_size]
        own = synth(synth.space.from_unit(tuned(x[index])))
        tiny = torch.finfo(own.dtype).tiny
        heard = own * (voiced[index] / torch.linalg.vector_norm(own, dim=-1, keepdim=True).clamp_min(tiny))
        apart = (features(heard + floor[index]) - targets[index]).flatten(1)
        loss = (torch.linalg.vector_norm(apart, dim=-1) / size[index]).mean()
        if not loss.requires_grad:
            raise ValueError(
                f"{type(synth).__name__} and its features pass no gradient on; fine-tuning needs a synthesizer that "
                "PyTorch differentiates."
            )
        if not math.isfinite(float(loss.detach())):
            raise FloatingPointError(
                f"The loss is not finite in step {step}; a lower learning rate may help."
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        _average(averaged, tuned, min(averaging, step / (step + 10)))
        if note is not None:
            note(step, float(loss.detach()))
    return averaged


def _rate(step: int, steps: int) -> float:
    """Return the learning rate of a step as a part of the largest."""
    rising = (step + 1) / max(1, steps // 20)
    return min(1.0, rising) * 0.5 * (1.0 + math.cos(math.pi * step / max(steps, 1)))


@torch.no_grad()
def _average(averaged: Encoder, tuned: Encoder, kept: float) -> None:
    """Move averaged weights towards the present ones."""
    for mean, weight in zip(averaged.parameters(), tuned.parameters(), strict=True):
        mean.lerp_(weight, 1.0 - kept)
