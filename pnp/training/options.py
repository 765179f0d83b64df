"""Options of a training run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pnp._arguments import finite_number, truth, whole_number
from pnp._text import did_you_mean
from pnp.training.augment import Augmentation

__all__ = ["DECAYS", "TrainOptions"]

DECAYS = ("cosine", "plateau")

_DEFAULT_EPOCHS = 40


@dataclass(frozen=True)
class TrainOptions:
    """Options of `pnp.train`. Each of them may also be given to it by keyword.

    Attributes:
        loss_options: Options of `PNPLoss.from_cache`, `ParameterLoss`, `SurrogateLoss.from_cache` or
            `SpectralLoss`. PNP loss and its surrogate are normalized unless they say otherwise, so that one
            learning rate suits all losses.
        damping_schedule: For PNP loss, options of `LevenbergMarquardt` ({} for its defaults), stepped on the
            validation loss. It begins at the `damping` of `loss_options`, where that is given. None: damping stays
            as it is.
        epochs: Most passes over the training fold. None: 40 where nothing else, a time budget or convergence, would end
            training; else no limit.
        time_budget: Most seconds of training, synthesis and spectrograms of the network's input not counted;
            None for no limit. Looked at after every step, so that an epoch longer than that is cut short; one
            validation comes after it.
        patience: Stop after this many epochs without a better validation loss; None for never.
        n_sounds: Train on the first sounds of the training fold alone, as many as this says, for learning curves; None
            for all.
        batch_size: Sounds a batch, B.
        learning_rate: Initial learning rate.
        decay: Decay of the learning rate. `"cosine"`: along a cosine to 0 over the epochs or the time budget,
            whichever is nearer its end. `"plateau"`: to a third whenever more than eight epochs have brought no
            validation loss lower by a thousandth; once it would fall below a hundredth of the initial one, training has
            converged and ends.
        weight_decay: Weight decay of AdamW.
        augment: Changes to the network's input in training, such as recordings undergo: an `Augmentation`, its options
            by name, or True for all kinds. Targets and metrics stay those of the clean sounds. Validation hears one
            draw, the same in every epoch.
        encoder_options: Options of `Encoder`.
        seed: Seed of initial weights and of the order of sounds.
        device: Device to train on.
        out: Directory for `last.pt`, `best.pt` and `log.csv`, written at the end of every epoch. None:
            nothing is written.
        resume: Go on from `out/last.pt` if it is there and was trained with the same settings on the same cache,
            wherever that lies now.
        overwrite: Overwrite the run in `out`: its checkpoints and logs are removed before the first epoch.
        tensorboard: Also log every epoch for TensorBoard, into `out/tensorboard`.

    Raises:
        TypeError: If a number or a truth value is none, or an augmentation has an option that there is not.
        ValueError: If an option is outside its range, or a log for TensorBoard has no directory.
    """

    loss_options: Mapping[str, Any] | None = None
    damping_schedule: Mapping[str, Any] | None = None
    epochs: int | None = None
    time_budget: float | None = None
    patience: int | None = None
    n_sounds: int | None = None
    batch_size: int = 16
    learning_rate: float = 3e-3
    decay: str = "cosine"
    weight_decay: float = 1e-2
    augment: Augmentation | Mapping[str, Any] | bool | None = None
    encoder_options: Mapping[str, Any] | None = None
    seed: int = 0
    device: Any = "cpu"
    out: str | os.PathLike[str] | None = None
    resume: bool = False
    overwrite: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", Augmentation.of(self.augment))
        if self.tensorboard and self.out is None:
            raise ValueError("A log for TensorBoard needs a directory; got out=None.")
        if self.decay not in DECAYS:
            raise ValueError(
                f"The decay of the learning rate must be one of {', '.join(DECAYS)}; got {self.decay!r}."
            )
        # Of NumPy's numbers a checkpoint would know nothing.
        plain = {
            "seed": whole_number("seed", self.seed, least=-(2**63), most=2**63 - 1),
            "batch_size": whole_number("batch_size", self.batch_size, least=1),
            "learning_rate": finite_number("learning_rate", self.learning_rate, above=0),
            "weight_decay": finite_number("weight_decay", self.weight_decay, least=0),
        }
        for name in ("epochs", "patience", "n_sounds"):
            if getattr(self, name) is not None:
                plain[name] = whole_number(name, getattr(self, name), least=1)
        if self.time_budget is not None:
            plain["time_budget"] = finite_number("time_budget", self.time_budget, above=0)
        for name in ("resume", "overwrite", "tensorboard"):
            plain[name] = truth(name, getattr(self, name))
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @property
    def most_epochs(self) -> int | None:
        """Epochs after which training ends whatever else would end it; None for no limit."""
        endless = self.epochs is None and self.time_budget is None and self.decay != "plateau"
        return _DEFAULT_EPOCHS if endless else self.epochs

    def changed(self, changes: Mapping[str, Any]) -> TrainOptions:
        """Return the same options with some of them replaced.

        Args:
            changes: Options by name.

        Returns:
            New options.

        Raises:
            TypeError: If there is no such option.
            ValueError: If one is outside its range.
        """
        known = [option.name for option in fields(self)]
        for name in changes:
            if name not in known:
                raise TypeError(f"train has no option {name!r}{did_you_mean(name, known)}.")
        return replace(self, **changes)
