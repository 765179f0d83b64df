"""Training run in progress: epochs, validation, and what ends it."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pnp._progress import Bar
from pnp.losses import PNPLoss
from pnp.training.answers import Answer, answer_of
from pnp.training.damping import LevenbergMarquardt
from pnp.training.encoder import Encoder
from pnp.training.learning_rate import LearningRate
from pnp.training.options import TrainOptions
from pnp.training.record import Record
from pnp.training.spectrograms import Spectrograms

__all__ = ["MOST_STANDARDIZED", "Learner", "Run", "Sounds", "State"]

_LOGGER = logging.getLogger(__name__)

# Sounds that set offset and scale of the network's input.
MOST_STANDARDIZED = 512
# Memory for sounds that are augmented in every epoch; beyond, they are made in every epoch too.
_MOST_BYTES = 2**30
# Validation hears the same draw of an augmentation in every epoch: that of an epoch that there is not.
_VALIDATION = -1


@dataclass
class State:
    """Progress of a run: all that changes from epoch to epoch besides weights."""

    epoch: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_validation_loss: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Learner:
    """Network, and what changes it."""

    encoder: Encoder
    criterion: nn.Module
    optimizer: torch.optim.Optimizer
    learning_rate: LearningRate
    schedule: LevenbergMarquardt | None
    choice_criterion: nn.Module | None = None

    def loss(self, criterion: nn.Module, answer: Answer, u: Tensor, index: Tensor) -> Tensor:
        """Return the loss of a batch: that of parameters, plus that of choices where there are some.

        Args:
            criterion: Loss of parameters.
            answer: Output of the network.
            u: True parameters, shape (B, P).
            index: Rows of the cache, shape (B,).
        """
        loss: Tensor = criterion(answer.u_hat, u, index)
        if self.choice_criterion is None:
            return loss
        choices: Tensor = self.choice_criterion(answer.probabilities, index)
        return loss + choices

    def state_dict(self) -> dict[str, Any]:
        """State to go on from, as a checkpoint holds it."""
        return {
            "model": self.encoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            **self.learning_rate.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self.encoder.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.learning_rate.load_state_dict(state)

    @property
    def damping(self) -> float:
        """Damping λ of the loss; 0 where it has none."""
        return self.criterion.damping if isinstance(self.criterion, PNPLoss) else 0.0

    def validation_criterion(self) -> nn.Module:
        """Return what epochs are compared by: damping changes from epoch to epoch, and that must not."""
        return self.criterion.undamped() if isinstance(self.criterion, PNPLoss) else self.criterion


class Sounds:
    """Sounds of a run, as its network takes them in, in batches.

    Args:
        u: Scaled parameters of all rows of the cache, on the device, shape (n, P).
        rows: Rows of the folds "train" and "validation".
        spectrograms: Input of the network.
        encoder: The network. Offset and scale of its input are set from the first training sounds.
        batch_size: Sounds a batch, B.
        conditions: Conditions of all rows, scaled to [-1, 1], on the device, shape (n, Q), where the network hears
            some.
        choices: Positions of the true options of all rows, on the device, shape (n, K), where there are choices.
        augment: Function from sounds, rows and epoch to what the network hears; None for the sounds themselves.
    """

    def __init__(
        self,
        u: Tensor,
        rows: Mapping[str, Tensor],
        spectrograms: Spectrograms,
        encoder: Encoder,
        batch_size: int,
        *,
        conditions: Tensor | None = None,
        choices: Tensor | None = None,
        augment: Callable[[Tensor, Tensor, int], Tensor] | None = None,
    ) -> None:
        self.u, self.rows, self.batch_size, self.augment = u, rows, batch_size, augment
        self.conditions, self.choices = conditions, choices
        self._spectrograms = spectrograms
        self._made, self._is_made = torch.empty(0), torch.zeros(len(u), dtype=torch.bool)
        encoder.standardize(spectrograms(rows["train"][:MOST_STANDARDIZED]))
        self._rates = None if augment is not None else spectrograms.derived(encoder.rates)

    def shuffled(self, seed: int, epoch: int) -> tuple[Tensor, ...]:
        """Return the batches of an epoch, row numbers in an order that depends on seed and epoch alone.

        A resumed run needs no state of a generator.
        """
        order = seed * 1_000_003 + epoch
        if not -(2**63) <= order < 2**64:
            # PyTorch takes no more than 64 bits. Seeds that fit stay what they are.
            order %= 2**64
        generator = torch.Generator().manual_seed(order)
        rows = self.rows["train"]
        return torch.split(rows[torch.randperm(len(rows), generator=generator)], self.batch_size)

    def validation(self) -> tuple[Tensor, ...]:
        """Return the batches of validation, row numbers in order."""
        return torch.split(self.rows["validation"], self.batch_size)

    def predict(self, encoder: Encoder, index: Tensor, epoch: int) -> Answer:
        """Return what the network says about some rows in an epoch."""
        rates = None if self._rates is None else self._rates(index)
        if self.augment is None:
            spectrograms = self._spectrograms(index)
        else:
            spectrograms = self._spectrograms.of_sounds(self.augment(self._clean(index), index, epoch))
        if self.conditions is None:
            said = encoder.body(spectrograms, rates)
        else:
            said = encoder.body(spectrograms, rates, self.conditions[index.to(self.u.device)])
        return answer_of(said, len(index), encoder.space)

    def _clean(self, index: Tensor) -> Tensor:
        """Sounds of some rows, made once where all fit into memory, shape (B, N)."""
        missing = index[~self._is_made[index]]
        if not len(missing):
            return self._made[index]
        sounds = self._spectrograms.sounds(missing)
        if not len(self._made) and sounds[0].nbytes * len(self.u) <= _MOST_BYTES:
            self._made = sounds.new_empty((len(self.u), sounds.shape[-1]))
        if not len(self._made):
            return sounds
        self._made[missing], self._is_made[missing] = sounds, True
        return self._made[index]


class Run:
    """Training run in progress, from its beginning or from where an earlier one stopped.

    Args:
        learner: Network, and what changes it.
        sounds: Training data.
        options: Options of the run.
        record: Its files.
        previous: Last checkpoint of the run that this one goes on from.
        clock: Function that returns seconds.
        progress: Show a progress bar.
    """

    def __init__(
        self,
        learner: Learner,
        sounds: Sounds,
        options: TrainOptions,
        record: Record,
        *,
        previous: Mapping[str, Any] | None,
        clock: Callable[[], float],
        progress: bool,
    ) -> None:
        self.learner, self.sounds, self.options, self.record = learner, sounds, options, record
        self._clock, self._progress = clock, progress
        self._validation_criterion = learner.validation_criterion()
        self.state = State()
        self.best_weights: dict[str, Tensor] = {}
        if previous is not None:
            learner.load_state_dict(previous)
            self.state = State(**previous["state"])
            self.best_weights = {name: w.to(sounds.u.device) for name, w in previous["best_weights"].items()}

    def go(self, label: str) -> str:
        """Train to the end.

        Args:
            label: Name of the run in its progress bar.

        Returns:
            Reason for its end: "epochs", "time", "patience", "converged" or "diverged".

        Raises:
            FloatingPointError: If the loss is NaN or infinite before a first epoch ends well.
        """
        bar = Bar(
            total=self.options.most_epochs,
            initial=self.state.epoch,
            unit="epoch",
            desc=f"train ({label})",
            disable=not self._progress,
        )
        with bar:
            while True:
                end = self._end()
                if end is not None:
                    return end
                start, before = self._clock(), self.state.seconds
                train_loss = self._train_epoch(start - before)
                found = self._validate()
                validation_loss = found["validation_loss"]
                self._note(train_loss, found, before + self._clock() - start)
                bar.update()
                bar.set_postfix(
                    train=f"{train_loss:.4g}",
                    validation=f"{validation_loss:.4g}",
                    error=f"{found['validation_error']:.3f}",
                )
                # With a schedule that reverts, a failed epoch is not the end.
                if not math.isfinite(validation_loss) and not self._can_recover():
                    return self._diverged()

    def _end(self) -> str | None:
        """Return what ends the run before another epoch, if anything does."""
        state, options = self.state, self.options
        if options.most_epochs is not None and state.epoch >= options.most_epochs:
            return "epochs"
        if options.time_budget is not None and state.seconds >= options.time_budget:
            return "time"
        if options.patience is not None and state.epoch - state.best_epoch >= options.patience:
            return "patience"
        return "converged" if self.learner.learning_rate.converged else None

    def _can_recover(self) -> bool:
        """Return true where the schedule has just put good weights back."""
        schedule = self.learner.schedule
        return schedule is not None and schedule.revert and bool(self.best_weights)

    def _diverged(self) -> str:
        if not self.best_weights:
            raise FloatingPointError(
                f"Training diverged: the validation loss is not finite after epoch {self.state.epoch}. "
                f"Likely causes: the learning rate {self.options.learning_rate:g} is too high, or the "
                "metric needs normalizing or damping."
            )
        _LOGGER.warning("training diverged in epoch %d; the best weights before are kept", self.state.epoch)
        return "diverged"

    def _train_epoch(self, origin: float) -> float:
        learner, sounds, budget = self.learner, self.sounds, self.options.time_budget
        learner.encoder.train()
        batches = sounds.shuffled(self.options.seed, self.state.epoch)
        total, seen = torch.zeros((), device=sounds.u.device), 0
        for number, index in enumerate(batches):
            learner.learning_rate.set(min(max(self._fractions(number / len(batches), origin)), 1.0))
            learner.optimizer.zero_grad()
            answer = sounds.predict(learner.encoder, index, self.state.epoch)
            loss = learner.loss(learner.criterion, answer, sounds.u[index], index.to(sounds.u.device))
            loss.backward()
            learner.optimizer.step()
            total += loss.detach() * len(index)
            seen += len(index)
            if budget is not None and self._clock() - origin >= budget:
                break
        return float(total) / seen

    def _fractions(self, of_epoch: float, origin: float) -> Iterator[float]:
        """Parts of the run that are over, by epochs and by time."""
        yield 0.0
        if self.options.most_epochs is not None:
            yield (self.state.epoch + of_epoch) / self.options.most_epochs
        if self.options.time_budget is not None:
            yield (self._clock() - origin) / self.options.time_budget

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Return the loss of the validation fold, its mean error and, where there are choices, how many are right."""
        learner, sounds = self.learner, self.sounds
        learner.encoder.eval()
        total, error, right = 0.0, 0.0, 0.0
        for index in sounds.validation():
            answer, u = sounds.predict(learner.encoder, index, _VALIDATION), sounds.u[index]
            loss = learner.loss(self._validation_criterion, answer, u, index.to(u.device))
            total += float(loss) * len(index)
            error += float((answer.u_hat - u).abs().mean()) * len(index)
            if sounds.choices is not None:
                hits = answer.options(learner.encoder.space) == sounds.choices[index.to(u.device)]
                right += float(hits.double().mean()) * len(index)
        n_sounds = len(sounds.rows["validation"])
        found = {"validation_loss": total / n_sounds, "validation_error": error / n_sounds}
        return found if sounds.choices is None else found | {"validation_accuracy": right / n_sounds}

    def _note(self, train_loss: float, found: dict[str, float], seconds: float) -> None:
        """Note an epoch, keep its weights if they are the best, step the schedules, and write it all down."""
        state, learner = self.state, self.learner
        validation_loss = found["validation_loss"]
        state.epoch += 1
        state.seconds = seconds
        state.history.append(
            {
                "epoch": state.epoch,
                "seconds": seconds,
                "learning_rate": learner.learning_rate.current,
                "damping": learner.damping,
                "train_loss": train_loss,
                **found,
            }
        )
        improved = validation_loss < state.best_validation_loss
        if improved:
            state.best_epoch, state.best_validation_loss = state.epoch, validation_loss
            self.best_weights = copy.deepcopy(learner.encoder.state_dict())
        learner.learning_rate.note(validation_loss)
        if learner.schedule is not None:
            learner.schedule.step(validation_loss)
        self.record.write(
            asdict(state), state.history, learner.state_dict(), self.best_weights, improved=improved
        )
