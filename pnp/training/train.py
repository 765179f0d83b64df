"""Train a sound-matching encoder on the sounds of a cache under any of the losses."""

from __future__ import annotations

import copy
import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pnp._torch.device import usable_device
from pnp.errors import CacheError
from pnp.losses import ParameterLoss, PNPLoss, SpectralLoss, SurrogateLoss
from pnp.parameters import ParameterSpace
from pnp.training import checkpoint
from pnp.training.damping import LevenbergMarquardt
from pnp.training.encoder import Encoder, LogFrequencySpectrogram
from pnp.training.tensorboard import TensorBoardLog, summary_writer

if TYPE_CHECKING:
    from pnp.store import MetricCache

_LOGGER = logging.getLogger(__name__)

LOSSES = ("pnp", "p", "surrogate", "spectral", "multiscale")
DECAYS = ("cosine", "plateau")

_DEFAULT_EPOCHS = 40

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

# Spectrograms up to this size are computed once and kept; beyond, they are made anew for each batch.
_MOST_BYTES = 2 * 2**30
# Below this part of the initial learning rate nothing is left to gain.
_LEAST_RATE = 1e-2
# Sounds synthesized at a time outside of training batches, and how many of them set offset and scale of the
# input.
_CHUNK, _MOST_STANDARDIZED = 32, 512


@dataclass
class TrainResult:
    """What a training run leaves.

    Attributes:
        encoder: Network with the weights that were best on validation data, on the CPU, in evaluation mode.
        loss_name: Name of the loss.
        history: One dictionary an epoch: `epoch`, `seconds`, `learning_rate`, `damping`, `train_loss`,
            `validation_loss`, `validation_error` (mean |û − u|, in units of the cube).
        best_epoch: Epoch of the weights kept.
        best_validation_loss: Its validation loss.
        stopped: Why it ended: "epochs", "time", "patience", "converged" or "diverged".
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


@dataclass(frozen=True)
class _Settings:
    """Settings that a resumed run must share with the one that it goes on from."""

    loss: str
    loss_options: dict[str, Any]
    damping_schedule: dict[str, Any] | None
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    space: dict[str, Any]
    encoder: dict[str, Any]
    optimizer: str = "AdamW"
    n_sounds: int | None = None
    decay: str = "cosine"
    cache: dict[str, Any] | None = None


# What resuming needs of a checkpoint, whatever the settings.
_RESUMED = ("settings", "state", "model", "optimizer", "best_weights")


@dataclass
class _State:
    """Progress of a run: all that changes from epoch to epoch besides weights."""

    epoch: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_validation_loss: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)


def train(
    cache: MetricCache,
    synth: nn.Module,
    *,
    loss: str | nn.Module = "pnp",
    loss_options: Mapping[str, Any] | None = None,
    features: nn.Module | None = None,
    damping_schedule: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    time_budget: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
    patience: int | None = None,
    n_sounds: int | None = None,
    batch_size: int = 16,
    learning_rate: float = 3e-3,
    decay: str = "cosine",
    weight_decay: float = 1e-2,
    optimizer: OptimizerFactory | None = None,
    encoder_options: Mapping[str, Any] | None = None,
    spectrograms: Spectrograms | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    progress: bool = True,
) -> TrainResult:
    """Train an encoder from sound to parameters on the training fold of a cache.

    Sounds are synthesized and their spectrograms computed once, up front, where they fit into memory. The optimizer
    is AdamW, and its learning rate falls as `decay` says. The weights with the lowest validation loss are kept; for
    PNP loss that is the loss without damping.

    The result depends on the seed and not on what ran before. A run stopped at any time and resumed ends as
    an undisturbed one would, bit for bit on the same machine, unless it has a time budget.

    Args:
        cache: Sounds, folds and metrics.
        synth: The synthesizer that the cache was made with.
        loss: `"pnp"`, `"p"`, `"surrogate"`, `"spectral"` or `"multiscale"` (absolute differences of
            `MultiscaleSTFT`); or a module called as `loss(u_hat, u, index)` on a batch.
        loss_options: Options of `PNPLoss.from_cache`, `ParameterLoss`, `SurrogateLoss.from_cache` or
            `SpectralLoss`. PNP loss and its surrogate are normalized unless they say otherwise, so that one
            learning rate suits all losses.
        features: Features Φ, for the spectral loss.
        damping_schedule: For PNP loss, options of `LevenbergMarquardt` ({} for its defaults), stepped on the
            validation loss. It begins at the `damping` of `loss_options`, where that is given. None: damping stays
            as it is.
        epochs: Most passes over the training fold. None: 40 where nothing else, a time budget or convergence, would end
            training; else no limit.
        time_budget: Most seconds of training, synthesis and spectrograms of the network's input not counted;
            None for no limit. Looked at after every step, so that an epoch longer than that is cut short; one
            validation comes after it.
        clock: What seconds are read from. `time.process_time` makes budgets fair on a machine that is shared.
        patience: Stop after this many epochs without a better validation loss; None for never.
        n_sounds: Train on the first so many sounds of the training fold alone, for learning curves; None for
            all.
        batch_size: Sounds a batch, B.
        learning_rate: Initial learning rate.
        decay: How it falls. `"cosine"`: along a cosine to 0 over the epochs or the time budget, whichever is nearer its
            end. `"plateau"`: to a third whenever more than eight epochs have brought no validation loss lower by a
            thousandth; once it would fall below a hundredth of the initial one, training has converged and ends.
        weight_decay: Weight decay of AdamW.
        optimizer: Makes an optimizer from the parameters of the network, in place of AdamW. Its learning rate
            is `learning_rate`, whatever it was made with, and falls in the same way.
        encoder_options: Options of `Encoder`.
        spectrograms: Spectrograms of the same sounds by the same front end, so that several runs share them.
            None: made here.
        seed: Seed of initial weights and of the order of sounds.
        device: Where to train.
        out: Directory for `last.pt`, `best.pt` and `log.csv`, written at the end of every epoch. None:
            nothing is written.
        resume: Go on from `out/last.pt` if it is there and was trained with the same settings on the same cache,
            wherever that lies now.
        overwrite: Begin anew where `out` holds another run, whose checkpoints and logs are removed before the first
            epoch.
        tensorboard: Also log every epoch for TensorBoard, into `out/tensorboard`.
        progress: Show a progress bar.

    Returns:
        The trained encoder and the course of its training.

    Raises:
        ValueError: If an option is outside its range, the device cannot be used, synthesizer and cache have different
            parameter spaces, the training or validation fold is empty, a resumed run had other settings or another
            cache, the initial damping of a schedule is given twice, or `spectrograms` were made by another front end
            or without some of the sounds.
        ImportError: If `tensorboard`, or auraloss for `"multiscale"`, is asked for and not installed.
        FileExistsError: If `out` holds a run and neither `resume` nor `overwrite` is set.
        FloatingPointError: If the loss is NaN or infinite before a first epoch ends well.
    """
    if tensorboard and out is None:
        raise ValueError("A log for TensorBoard needs a directory; got out=None.")
    if tensorboard:
        # Before anything is overwritten.
        summary_writer()
    if decay not in DECAYS:
        raise ValueError(f"The decay of the learning rate must be one of {', '.join(DECAYS)}; got {decay!r}.")
    if epochs is None and time_budget is None and decay != "plateau":
        epochs = _DEFAULT_EPOCHS
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed must be a whole number between −2⁶³ and 2⁶³; got {seed}.")
    device = usable_device(device)
    limits = {"epochs": epochs, "time_budget": time_budget, "patience": patience, "n_sounds": n_sounds}
    for name, limit in limits.items():
        if limit is not None and not limit > 0:
            raise ValueError(f"{name} must be positive or None; got {limit}.")
    for name, value in (("batch_size", batch_size), ("learning_rate", learning_rate)):
        if not value > 0:
            raise ValueError(f"{name} must be positive; got {value}.")
    rows = {fold: cache.rows(fold) for fold in ("train", "validation")}
    for fold, selected in rows.items():
        if not len(selected):
            raise ValueError(
                f"The {fold} fold of {cache.path} has no sound with a metric; training needs a training "
                "and a validation fold. Likely cause: the cache is too small or unfinished."
            )
    identity = _identity(cache, rows)
    rows["train"] = rows["train"][:n_sounds]
    check_same_space(cache, synth)
    criterion, loss_name = _make_loss(cache, synth, loss, dict(loss_options or {}), features)
    criterion.to(device)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(cache.space, _sample_rate(synth), **(encoder_options or {})).to(device)
    if optimizer is None:
        updates: torch.optim.Optimizer = torch.optim.AdamW(
            encoder.parameters(), lr=learning_rate, weight_decay=weight_decay
        )
    else:
        updates = optimizer(encoder.parameters())
    schedule = _make_schedule(damping_schedule, loss_options or {}, criterion, encoder, updates)
    settings = _Settings(
        loss=loss_name,
        loss_options={name: _plain(value) for name, value in (loss_options or {}).items()},
        damping_schedule=None if damping_schedule is None else dict(damping_schedule),
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        seed=seed,
        space=cache.space.to_dict(),
        encoder=encoder.config(),
        optimizer=type(updates).__name__,
        n_sounds=n_sounds,
        decay=decay,
        cache=identity,
    )
    used = torch.cat(list(rows.values()))
    if spectrograms is None:
        spectrograms = Spectrograms(encoder.front_end, synth, cache.theta, used, device, progress=progress)
    spectrograms.check_serve(encoder.front_end, used)
    run = _Run(
        cache, spectrograms, encoder, updates, criterion, schedule, settings, rows, device, clock, progress
    )
    if out is not None:
        run.open(Path(out), resume=resume, overwrite=overwrite)
    with (
        TensorBoardLog(Path(out) / checkpoint.TENSORBOARD, run.state.epoch)
        if tensorboard and out
        else nullcontext() as log
    ):
        run.log = log
        stopped = run.go(epochs, time_budget, patience)
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
        out=run.out,
    )


class _Run:
    """A training run in progress."""

    def __init__(
        self,
        cache: MetricCache,
        spectrograms: Spectrograms,
        encoder: Encoder,
        optimizer: torch.optim.Optimizer,
        criterion: nn.Module,
        schedule: LevenbergMarquardt | None,
        settings: _Settings,
        rows: Mapping[str, Tensor],
        device: torch.device,
        clock: Callable[[], float],
        progress: bool,
    ) -> None:
        self.clock = clock
        self.encoder, self.optimizer = encoder, optimizer
        self.criterion, self.schedule, self.settings = criterion, schedule, settings
        # Damping changes from epoch to epoch; what epochs are compared by must not.
        self.validation_criterion = criterion.undamped() if isinstance(criterion, PNPLoss) else criterion
        self.rows, self.device, self.progress = rows, device, progress
        self.u = cache.u.float().to(device)
        self.spectrograms = spectrograms
        standardized = rows["train"][:_MOST_STANDARDIZED]
        encoder.standardize(self.spectrograms(standardized))
        self.rates = self.spectrograms.derived(encoder.rates)
        self.rate = settings.learning_rate
        self.plateau = (
            torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, factor=1 / 3, patience=8, threshold=1e-3, eps=0.0
            )
            if settings.decay == "plateau"
            else None
        )
        self.state = _State()
        self.best_weights: dict[str, Tensor] = {}
        self.out: Path | None = None
        self.log: TensorBoardLog | None = None

    # -- on disk ---------------------------------------------------------------------------------------------

    def open(self, out: Path, *, resume: bool, overwrite: bool) -> None:
        """Take a directory for the run, and go on from the run that is in it if that is wanted."""
        out.mkdir(parents=True, exist_ok=True)
        self.out = out
        last = out / checkpoint.LAST
        if resume:
            if last.exists():
                self._restore(checkpoint.load(last), last)
        elif overwrite:
            # At once: whatever becomes of this run, the best weights of another one must not pass for its own.
            checkpoint.clear(out)
        elif checkpoint.holds_run(out):
            raise FileExistsError(
                f"{out} holds a training run; resume it, overwrite it, or choose another directory."
            )

    def _restore(self, saved: dict[str, Any], path: Path) -> None:
        missing = [name for name in _RESUMED if name not in saved]
        if missing:
            raise ValueError(
                f"{path} is not the last checkpoint of a training run: it lacks {', '.join(missing)}. Likely cause: "
                "another file was put in its place."
            )
        self._check_same(saved["settings"], path)
        self.encoder.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.best_weights = {name: tensor.to(self.device) for name, tensor in saved["best_weights"].items()}
        if self.schedule is not None:
            self.schedule.load_state_dict(saved["schedule"])
        if self.plateau is not None:
            self.plateau.load_state_dict(saved["plateau"])
            self.rate = saved["rate"]
        self.state = _State(**saved["state"])

    def _check_same(self, stored: Any, path: Path) -> None:
        """Refuse to go on from a run that was another one."""
        try:
            # Settings that are newer than the checkpoint had their default values.
            theirs = _Settings(**stored)
        except TypeError as error:
            raise ValueError(
                f"{path} was trained with settings that this version of the package does not know; resume it with the "
                "version that it was begun with."
            ) from error
        ours = self.settings
        spaces = [ParameterSpace.from_dict(settings.space) for settings in (theirs, ours)]
        if spaces[0] != spaces[1]:
            raise ValueError(
                f"{path} was trained on another parameter space, {_listed(spaces[0])}; the cache has "
                f"{_listed(spaces[1])}. Resume it with the cache that it was trained on."
            )
        # Checkpoints from before a run knew its cache are not compared.
        if theirs.cache is not None and ours.cache is not None:
            _check_same_cache(theirs.cache, ours.cache, path)
        there, here = ({**asdict(settings), "cache": None} for settings in (theirs, ours))
        details = "; ".join(_differing(there, here))
        if details:
            raise ValueError(
                f"{path} was trained with other settings ({details}); resume it with the same ones."
            )

    def _save(self, improved: bool) -> None:
        if self.out is None:
            return
        common = {
            "settings": asdict(self.settings),
            "encoder": self.encoder.config(),
            "state": asdict(self.state),
        }
        if improved:
            checkpoint.save(self.out / checkpoint.BEST, common | {"model": self.best_weights})
        checkpoint.save_log(self.out / checkpoint.LOG, self.state.history)
        checkpoint.save(
            self.out / checkpoint.LAST,
            common
            | {
                "model": self.encoder.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "best_weights": self.best_weights,
                "schedule": None if self.schedule is None else self.schedule.state_dict(),
                "plateau": None if self.plateau is None else self.plateau.state_dict(),
                "rate": self.rate,
            },
        )

    # -- training --------------------------------------------------------------------------------------------

    def go(self, epochs: int | None, time_budget: float | None, patience: int | None) -> str:
        """Train to the end; return what ended it."""
        state = self.state
        bar = tqdm(
            total=epochs,
            initial=state.epoch,
            unit="epoch",
            desc=f"train ({self.settings.loss})",
            disable=not self.progress,
        )
        with bar:
            while True:
                if epochs is not None and state.epoch >= epochs:
                    return "epochs"
                if time_budget is not None and state.seconds >= time_budget:
                    return "time"
                if patience is not None and state.epoch - state.best_epoch >= patience:
                    return "patience"
                if self.rate < _LEAST_RATE * self.settings.learning_rate:
                    return "converged"
                start, before = self.clock(), state.seconds
                train_loss = self._train_epoch(start - before, epochs, time_budget)
                validation_loss, error = self._validate()
                state.epoch += 1
                improved = self._note(train_loss, validation_loss, error, before + self.clock() - start)
                self._save(improved)
                if self.log is not None:
                    self.log.write(state.history[-1])
                bar.update()
                bar.set_postfix(
                    train=f"{train_loss:.4g}", validation=f"{validation_loss:.4g}", error=f"{error:.3f}"
                )
                # With a schedule that reverts, a failed epoch is not the end.
                if not math.isfinite(validation_loss) and not self._can_recover():
                    return self._diverged()

    def _can_recover(self) -> bool:
        """Whether the schedule has just put good weights back."""
        return self.schedule is not None and self.schedule.revert and bool(self.best_weights)

    def _diverged(self) -> str:
        if not self.best_weights:
            raise FloatingPointError(
                f"Training diverged: the validation loss is not finite after epoch {self.state.epoch}. "
                f"Likely causes: the learning rate {self.settings.learning_rate:g} is too high, or the "
                "metric needs normalizing or damping."
            )
        _LOGGER.warning("training diverged in epoch %d; the best weights before are kept", self.state.epoch)
        return "diverged"

    def _train_epoch(self, origin: float, epochs: int | None, time_budget: float | None) -> float:
        self.encoder.train()
        rows = self.rows["train"]
        # The order depends on seed and epoch alone: a resumed run needs no state of a generator.
        order = self.settings.seed * 1_000_003 + self.state.epoch
        if not -(2**63) <= order < 2**64:
            # PyTorch takes no more than 64 bits. Seeds that fit stay what they are.
            order %= 2**64
        generator = torch.Generator().manual_seed(order)
        batches = torch.split(rows[torch.randperm(len(rows), generator=generator)], self.settings.batch_size)
        total, seen = torch.zeros((), device=self.device), 0
        for number, index in enumerate(batches):
            fractions = [0.0]
            if epochs is not None:
                fractions.append((self.state.epoch + number / len(batches)) / epochs)
            if time_budget is not None:
                fractions.append((self.clock() - origin) / time_budget)
            self._set_learning_rate(min(max(fractions), 1.0))
            self.optimizer.zero_grad()
            loss = self.criterion(self._predict(index), self.u[index], index.to(self.device))
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(index)
            seen += len(index)
            if time_budget is not None and self.clock() - origin >= time_budget:
                break
        return float(total) / seen

    def _predict(self, index: Tensor) -> Tensor:
        rates = None if self.rates is None else self.rates(index)
        return self.encoder.body(self.spectrograms(index), rates)

    def _set_learning_rate(self, fraction: float) -> None:
        rate = self.rate if self.plateau else self.rate * 0.5 * (1 + math.cos(math.pi * fraction))
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    @torch.no_grad()
    def _validate(self) -> tuple[float, float]:
        self.encoder.eval()
        rows = self.rows["validation"]
        total = error = 0.0
        for index in torch.split(rows, self.settings.batch_size):
            u_hat, u = self._predict(index), self.u[index]
            total += float(self.validation_criterion(u_hat, u, index.to(self.device))) * len(index)
            error += float((u_hat - u).abs().mean()) * len(index)
        return total / len(rows), error / len(rows)

    def _note(self, train_loss: float, validation_loss: float, error: float, seconds: float) -> bool:
        """Write an epoch into the history, keep its weights if they are the best, and step the schedule."""
        state = self.state
        state.seconds = seconds
        state.history.append(
            {
                "epoch": state.epoch,
                "seconds": seconds,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "damping": self.criterion.damping if isinstance(self.criterion, PNPLoss) else 0.0,
                "train_loss": train_loss,
                "validation_loss": validation_loss,
                "validation_error": error,
            }
        )
        improved = validation_loss < state.best_validation_loss
        if improved:
            state.best_epoch, state.best_validation_loss = state.epoch, validation_loss
            self.best_weights = copy.deepcopy(self.encoder.state_dict())
        if self.plateau is not None:
            self.plateau.step(validation_loss)
            self.rate = self.optimizer.param_groups[0]["lr"]
        if self.schedule is not None:
            self.schedule.step(validation_loss)
        return improved


class Spectrograms:
    """Input of an encoder for rows of a cache: kept if it fits into memory, made on demand if not.

    Args:
        front_end: Front end of the encoder.
        synth: Synthesizer.
        theta: Physical parameters of all rows, shape (n, P).
        rows: Rows that will be asked for, shape (m,).
        device: Where batches are wanted.
        most_bytes: Memory for keeping; 0 to make every batch on demand.
        progress: Show a progress bar over making what is kept.
    """

    def __init__(
        self,
        front_end: LogFrequencySpectrogram,
        synth: nn.Module,
        theta: Tensor,
        rows: Tensor,
        device: torch.device,
        *,
        most_bytes: int = _MOST_BYTES,
        progress: bool = False,
    ) -> None:
        self.front_end, self.synth, self.device = front_end, synth, device
        self.theta = theta.float()
        self._place = torch.full((len(theta),), -1)
        self._kept: Tensor | None = None
        first = self._make(rows[:1])
        if first.nbytes * len(rows) > most_bytes:
            _LOGGER.info("spectrograms of %d sounds do not fit into memory: made for each batch", len(rows))
            return
        chunks = tqdm(
            torch.split(rows, _CHUNK), desc="sounds", unit="batch", disable=not progress, leave=False
        )
        self._kept = torch.cat([self._make(chunk) for chunk in chunks])
        self._place[rows] = torch.arange(len(rows))

    def __call__(self, rows: Tensor) -> Tensor:
        """Spectrograms of some rows, shape (B, W, K, frames)."""
        if self._kept is None:
            return torch.cat([self._make(chunk) for chunk in torch.split(rows, _CHUNK)])
        return self._kept[self._place[rows].to(self._kept.device)]

    @torch.no_grad()
    def derived(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor] | None:
        """What a function makes of each spectrogram, computed once, as a function of rows; None if none is kept."""
        if self._kept is None:
            return None
        made = torch.cat([function(part) for part in torch.split(self._kept, _CHUNK)])
        return lambda rows: made[self._place[rows].to(made.device)]

    def check_serve(self, front_end: LogFrequencySpectrogram, rows: Tensor) -> None:
        """Check that these are what a front end would make of some rows.

        Args:
            front_end: Front end of the encoder that wants them.
            rows: Rows that will be asked for, shape (m,).

        Raises:
            ValueError: If they were made by another front end, or without one of the rows.
        """
        ours, theirs = self.front_end.config(), front_end.config()
        if ours != theirs:
            raise ValueError(
                f"Spectrograms were made with {ours}; the encoder takes those made with {theirs}."
            )
        missing = rows[self._place[rows] < 0] if self._kept is not None else rows[:0]
        if len(missing):
            raise ValueError(f"Spectrograms were made without row {int(missing[0])}, which is asked for.")

    @torch.no_grad()
    def _make(self, rows: Tensor) -> Tensor:
        sounds: Tensor = self.synth(self.theta[rows])
        spectrograms: Tensor = self.front_end(sounds.to(self.device))
        return spectrograms


def check_same_space(cache: MetricCache, synth: nn.Module) -> None:
    """Check that a cache and a synthesizer mean the same parameters.

    Args:
        cache: Metric cache.
        synth: Synthesizer.

    Raises:
        ValueError: If their parameter spaces differ; says where.
    """
    ours: Any = synth.space
    if ours != cache.space:
        raise ValueError(
            "Synthesizer and cache have different parameter spaces: "
            f"{type(synth).__name__} has {_listed(ours)}; {cache.path} has {_listed(cache.space)}."
        )


def _identity(cache: MetricCache, rows: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a run remembers of its cache: where the numbers come from, and which sounds it was trained on.

    The fingerprint is that of the whole design. All its shards have it, and a cache that is being computed has it from
    the beginning, so that the sounds are told apart by their parameters.
    """
    digest = hashlib.sha256()
    for selected in rows.values():
        digest.update(f"{len(selected)}:".encode() + cache.u[selected].numpy().tobytes())
    counts = {fold: len(selected) for fold, selected in rows.items()}
    return {"path": str(cache.path), "fingerprint": cache.fingerprint, "sounds": digest.hexdigest(), **counts}


def _check_same_cache(theirs: Mapping[str, Any], ours: Mapping[str, Any], path: Path) -> None:
    if theirs["fingerprint"] != ours["fingerprint"]:
        raise ValueError(
            f"{path} was trained on another cache, {theirs['path']} with fingerprint {theirs['fingerprint'][:12]}; "
            f"{ours['path']} has fingerprint {ours['fingerprint'][:12]}. Resume it with the cache that it was trained "
            "on, or train on this one in another directory."
        )
    if theirs["sounds"] != ours["sounds"]:
        raise ValueError(
            f"{path} was trained on other sounds of the same design, {theirs['train']} for training and "
            f"{theirs['validation']} for validation in {theirs['path']}; {ours['path']} has {ours['train']} and "
            f"{ours['validation']}. Likely cause: one of them is a shard, or was not finished yet."
        )


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Settings that differ, one phrase each."""
    for name in {**theirs, **ours}:
        there, here = theirs.get(name), ours.get(name)
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            yield from _differing(there, here, f"{prefix}{name}.")
        elif there != here:
            yield f"{prefix}{name}: {there!r} there, {here!r} now"


def _listed(space: ParameterSpace) -> str:
    return ", ".join(map(str, space))


def _sample_rate(synth: nn.Module) -> float:
    rate: Any = synth.sample_rate
    return float(rate)


def _plain(value: Any) -> Any:
    """A setting as a checkpoint can hold it."""
    return value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)


def _make_loss(
    cache: MetricCache,
    synth: nn.Module,
    loss: str | nn.Module,
    options: dict[str, Any],
    features: nn.Module | None,
) -> tuple[nn.Module, str]:
    if isinstance(loss, nn.Module):
        if options:
            raise ValueError("loss_options go with the name of a loss; a module has its options already.")
        return loss, type(loss).__name__
    if loss == "pnp":
        return PNPLoss.from_cache(cache, **({"normalize": True} | options)), loss
    if loss == "p":
        return ParameterLoss(**options), loss
    if loss == "surrogate":
        return SurrogateLoss.from_cache(cache, **({"normalize": True} | options)), loss
    if loss == "spectral":
        if features is None:
            raise ValueError("The spectral loss needs the features to compare sounds by; got features=None.")
        return SpectralLoss(synth, features, **({"targets": _stored_features(cache)} | options)), loss
    if loss == "multiscale":
        if features is not None:
            raise ValueError("The multiscale loss has its own features; use 'spectral' for others.")
        from pnp.features.multiscale import MultiscaleSTFT

        return SpectralLoss(synth, MultiscaleSTFT(), **({"power": 1} | options)), loss
    raise ValueError(f"Loss must be one of {', '.join(LOSSES)}, or a module; got {loss!r}.")


def _stored_features(cache: MetricCache) -> Tensor | None:
    """Features of all rows, NaN where a sound failed; None if the cache does not keep them."""
    rows = cache.rows()
    try:
        stored = cache.features(rows).float()
    except CacheError:
        return None
    targets = torch.full((len(cache), stored.shape[-1]), torch.nan)
    targets[rows] = stored
    return targets


def _make_schedule(
    options: Mapping[str, Any] | None,
    loss_options: Mapping[str, Any],
    criterion: nn.Module,
    encoder: Encoder,
    optimizer: torch.optim.Optimizer,
) -> LevenbergMarquardt | None:
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
