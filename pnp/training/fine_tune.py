"""Fine-tuning of an encoder on recordings whose parameters nobody knows, through a differentiable synthesizer."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from pnp._progress import Bar
from pnp._protocols import FeatureMap, SynthesizerLike
from pnp._torch.modes import full_precision
from pnp.losses.spectral import SpectralLoss
from pnp.training.encoder import Encoder

__all__ = ["fine_tune"]


def fine_tune(
    encoder: Encoder,
    sounds: Shaped[Tensor, "n N"],
    synth: SynthesizerLike,
    features: FeatureMap,
    *,
    steps: int = 200,
    batch_size: int = 8,
    learning_rate: float = 1e-4,
    seed: int = 0,
    note: Callable[[int, float], None] | None = None,
    progress: bool = False,
) -> Encoder:
    """Adapt a trained encoder to recordings: its predictions are to sound like what it hears.

    The loss is `SpectralLoss` between features of a recording and those of the sound at the predicted parameters, with
    the gradient through features and synthesizer. Nothing is known of the recordings but their sound. Each recording is
    brought to the level of the sound that the encoder predicted for it at first. Statistics of batch normalization stay
    those of training.

    Args:
        encoder: Trained encoder; it stays as it is.
        sounds: Recordings at the synthesizer's sampling rate, length and onset, see
            `pnp.matching.recording.fit_recording`, shape (n, N).
        synth: Synthesizer whose sounds can be differentiated.
        features: Features Φ.
        steps: Steps of Adam.
        batch_size: Recordings a step.
        learning_rate: Learning rate.
        seed: Seed of the order of the recordings.
        note: Called with number and loss of each step.
        progress: Show a progress bar.

    Returns:
        Another encoder, in evaluation mode.

    Raises:
        ValueError: If the recordings do not have the length of the synthesizer's sounds, one is silent, or there is no
            gradient from the sounds to the parameters.
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
    tuned = copy.deepcopy(encoder).eval()
    x = sounds.float()
    with torch.no_grad(), full_precision(x):
        own = torch.linalg.vector_norm(synth(synth.space.from_unit(tuned(x))), dim=-1, keepdim=True)
        norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        if not norms.all():
            raise ValueError(f"Recording {int((norms == 0).nonzero()[0, 0])} is silent.")
        targets = features(x * (own / norms))
    criterion = SpectralLoss(synth, features, targets=targets)
    optimizer = torch.optim.Adam(tuned.parameters(), lr=learning_rate)
    order = torch.Generator().manual_seed(seed)
    for step in Bar(range(steps), desc="fine-tuning", unit="step", disable=not progress):
        index = torch.randperm(len(x), generator=order)[:batch_size]
        u_hat = tuned(x[index])
        loss = criterion(u_hat, u_hat.detach(), index)
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
        if note is not None:
            note(step, float(loss.detach()))
    return tuned.eval()
