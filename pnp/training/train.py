"""Train a sound-matching encoder on the sounds of a cache under any of the losses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from pnp._arguments import check_cache, truth
from pnp._protocols import SynthesizerLike
from pnp._torch.device import usable_device
from pnp.store.fitting import check_fits
from pnp.training.answers import conditions_of
from pnp.training.augment import Augmentation
from pnp.training.criterion import (
    LOSSES,
    make_choice_criterion,
    make_criterion,
    make_schedule,
    with_defaults,
)
from pnp.training.encoder import Encoder
from pnp.training.learning_rate import LearningRate
from pnp.training.options import DECAYS, TrainOptions
from pnp.training.record import Record
from pnp.training.resume import Settings, cache_identity, previous_run
from pnp.training.run import MOST_STANDARDIZED, Learner, Run, Sounds
from pnp.training.spectrograms import Spectrograms
from pnp.training.tensorboard import summary_writer

if TYPE_CHECKING:
    from pnp._protocols import CacheLike, ChoiceCacheLike

__all__ = ["DECAYS", "LOSSES", "Spectrograms", "TrainOptions", "TrainResult", "train"]

_LOGGER = logging.getLogger(__name__)

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class TrainResult:
    """Result of a training run.

    Attributes:
        encoder: Network with the weights that were best on validation data, on the CPU, in evaluation mode.
        loss_name: Name of the loss.
        history: One dictionary an epoch: `epoch`, `seconds`, `learning_rate`, `damping`, `train_loss`,
            `validation_loss`, `validation_error` (mean |û − u|, in units of the cube) and, where there are choices,
            `validation_accuracy` (share of right options).
        best_epoch: Epoch of the weights kept.
        best_validation_loss: Its validation loss.
        stopped: Reason for its end: "epochs", "time", "patience", "converged" or "diverged".
        seconds: Time spent training, over all sessions of a resumed run.
        out: Directory of checkpoints and log, if any.
    """

    encoder: Encoder
    loss_name: str
    history: list[dict[str, float]]
    best_epoch: int
    best_validation_loss: float
    stopped: str
    seconds: float
    out: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Return the course of training, JSON-able, without the network."""
        plain = {name: value for name, value in vars(self).items() if name != "encoder"}
        return plain | {"out": None if self.out is None else str(self.out)}


def train(
    cache: CacheLike,
    synth: SynthesizerLike,
    options: TrainOptions | None = None,
    *,
    loss: str | nn.Module = "pnp",
    choice_loss: nn.Module | None = None,
    features: nn.Module | None = None,
    optimizer: OptimizerFactory | None = None,
    spectrograms: Spectrograms | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: bool = True,
    **changes: Any,
) -> TrainResult:
    """Train an encoder from sound to parameters on the training fold of a cache.

    Where the space has choices, the encoder answers with their probabilities too, and a loss of choices is added. Where
    it has conditions, the encoder is told them.

    Sounds are synthesized and their spectrograms computed once, up front, where they fit into memory. The optimizer
    is AdamW, and its learning rate falls as the options say. The weights with the lowest validation loss are kept; for
    PNP loss that is the loss without damping.

    The result depends on the seed and not on what ran before. A run stopped at any time and resumed ends as
    an undisturbed one would, bit for bit on the same machine, unless it has a time budget.

    Args:
        cache: Sounds, folds and metrics.
        synth: The synthesizer that the cache was made with.
        options: Options of the run: epochs, learning rate, directory and all else that `TrainOptions` lists.
        loss: `"pnp"`, `"p"`, `"surrogate"`, `"spectral"` or `"multiscale"` (absolute differences of
            `MultiscaleSTFT`); or a module called as `loss(u_hat, u, index)` on a batch.
        choice_loss: Module called as `choice_loss(probabilities, index)`, where the space has choices. None: beside
            P-loss `ChoiceCrossEntropy`; else `ChoiceLoss`, in the unit of the loss.
        features: Features Φ, for the spectral loss.
        optimizer: Makes an optimizer from the parameters of the network, in place of AdamW. Its learning rate
            is that of the options, whatever it was made with, and falls in the same way.
        spectrograms: Spectrograms of the same sounds by the same front end, so that several runs share them.
            None: made here.
        clock: Function that returns seconds. `time.process_time` makes budgets fair on a machine that is shared.
        progress: Show a progress bar.
        **changes: Options by keyword, over those of `options`: `train(cache, synth, epochs=20, out="runs/pnp")`.

    Returns:
        The trained encoder and the course of its training.

    Raises:
        TypeError: If there is no option of a name given.
        ValueError: If an option is outside its range, the device cannot be used, the synthesizer is not that of the
            cache, the training or validation fold is empty, a resumed run had other settings or another
            cache, the initial damping of a schedule is given twice, or `spectrograms` were made by another front end
            or without some of the sounds.
        ImportError: If a log for TensorBoard, or auraloss for `"multiscale"`, is asked for and not installed.
        FileExistsError: If `out` holds a run and the options neither resume nor overwrite it.
        FloatingPointError: If the loss is NaN or infinite before a first epoch ends well.
    """
    options = (TrainOptions() if options is None else options).changed(changes)
    if options.tensorboard:
        # Before anything is overwritten.
        summary_writer()
    progress = truth("progress", progress)
    device = usable_device(options.device)
    check_cache(cache)
    rows = _rows(cache)
    identity = cache_identity(cache, rows)
    rows["train"] = rows["train"][: options.n_sounds]
    # The multiscale loss has features of its own.
    check_fits(cache, synth, features if loss == "spectral" else None)
    loss_options = with_defaults(loss, options.loss_options or {})
    options = replace(options, loss_options=loss_options)
    criterion, loss_name = make_criterion(cache, synth, loss, loss_options, features)
    criterion.to(device)
    choice_criterion = make_choice_criterion(cache, loss, loss_options, choice_loss)
    if choice_criterion is not None:
        choice_criterion.to(device)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        encoder = Encoder(cache.space, float(synth.sample_rate), **(options.encoder_options or {})).to(device)
    updates = _adamw(encoder, options) if optimizer is None else optimizer(encoder.parameters())
    learner = Learner(
        encoder,
        criterion,
        updates,
        LearningRate(updates, options.learning_rate, options.decay),
        make_schedule(options.damping_schedule, loss_options, criterion, encoder, updates),
        choice_criterion,
    )
    settings = Settings.of(
        options,
        loss_name,
        encoder.config(),
        type(updates).__name__,
        identity,
        None if choice_criterion is None else type(choice_criterion).__name__,
    )

    # Augmented sounds are made anew in every epoch; clean ones only set the scale of the input.
    used = rows["train"][:MOST_STANDARDIZED] if options.augment else torch.cat(list(rows.values()))
    if spectrograms is None:
        spectrograms = Spectrograms(encoder.front_end, synth, cache.theta, used, device, progress=progress)
    spectrograms.check_serve(encoder.front_end, used)
    conditions = conditions_of(cache)
    sounds = Sounds(
        cache.u.float().to(device),
        rows,
        spectrograms,
        encoder,
        options.batch_size,
        conditions=None if conditions is None else conditions.float().to(device),
        choices=cast("ChoiceCacheLike", cache).choices.to(device) if cache.space.choices else None,
        augment=_augment(options, float(synth.sample_rate)),
    )

    out = None if options.out is None else Path(options.out)
    previous = (
        None
        if out is None
        else previous_run(out, settings, resume=options.resume, overwrite=options.overwrite)
    )
    record = Record(
        out,
        {"settings": asdict(settings), "encoder": encoder.config()},
        tensorboard=options.tensorboard,
        n_epochs=0 if previous is None else previous["state"]["epoch"],
    )
    with record:
        run = Run(learner, sounds, options, record, previous=previous, clock=clock, progress=progress)
        stopped = run.go(loss_name)
    encoder.load_state_dict(run.best_weights)
    state = run.state
    _LOGGER.info("%s: %d epochs, %.1f s, stopped by %s", loss_name, state.epoch, state.seconds, stopped)
    return TrainResult(
        encoder=encoder.cpu().eval(),
        loss_name=loss_name,
        history=state.history,
        best_epoch=state.best_epoch,
        best_validation_loss=state.best_validation_loss,
        stopped=stopped,
        seconds=state.seconds,
        out=out,
    )


def _augment(options: TrainOptions, sample_rate: float) -> Callable[[Tensor, Tensor, int], Tensor] | None:
    augmentation = Augmentation.of(options.augment)
    if augmentation is None:
        return None
    return lambda sounds, rows, epoch: augmentation(
        sounds, sample_rate, seed=options.seed, epoch=epoch, rows=rows
    )


def _rows(cache: CacheLike) -> dict[str, Tensor]:
    """Rows of the two folds that training needs."""
    rows = {fold: cache.rows(fold) for fold in ("train", "validation")}
    for fold, selected in rows.items():
        if not len(selected):
            raise ValueError(
                f"The {fold} fold of {cache.path} has no sound with a metric; training needs a training "
                "and a validation fold. Likely cause: the cache is too small or unfinished."
            )
    return rows


def _adamw(encoder: Encoder, options: TrainOptions) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        encoder.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
