"""Resuming a run: what it shares with the run that it goes on from, and what it refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from pnp.parameters import ParameterSpace
from pnp.store.provenance import differences
from pnp.training import checkpoint
from pnp.training.augment import Augmentation
from pnp.training.options import TrainOptions

if TYPE_CHECKING:
    from pnp._protocols import CacheLike

__all__ = ["Settings", "cache_identity", "previous_run"]

# What resuming needs of a checkpoint, whatever the settings.
_RESUMED = ("settings", "state", "model", "optimizer", "best_weights")


@dataclass(frozen=True)
class Settings:
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
    choice_loss: str | None = None
    augment: dict[str, Any] | None = None

    @classmethod
    def of(
        cls,
        options: TrainOptions,
        loss: str,
        encoder: dict[str, Any],
        optimizer: str,
        cache: dict[str, Any],
        choice_loss: str | None = None,
    ) -> Settings:
        """Gather the settings of a run.

        Args:
            options: Options of the run.
            loss: Name of its loss.
            encoder: Configuration of its network.
            optimizer: Name of its optimizer.
            cache: Identity of its cache, as `cache_identity` returns it.
            choice_loss: Name of its loss of choices, if there is one.

        Returns:
            Settings that a checkpoint can hold.
        """
        augmentation = Augmentation.of(options.augment)
        return cls(
            loss=loss,
            loss_options={name: _plain(value) for name, value in (options.loss_options or {}).items()},
            damping_schedule=None if options.damping_schedule is None else dict(options.damping_schedule),
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
            seed=options.seed,
            space=encoder["space"],
            encoder=encoder,
            optimizer=optimizer,
            n_sounds=options.n_sounds,
            decay=options.decay,
            cache=cache,
            choice_loss=choice_loss,
            augment=None if augmentation is None else augmentation.config(),
        )


def cache_identity(cache: CacheLike, rows: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what a run remembers of its cache: where the numbers come from, and which sounds it was trained on.

    The fingerprint is that of the whole design. All its shards have it, and a cache that is being computed has it from
    the beginning, so that the sounds are told apart by their parameters.

    Args:
        cache: The cache.
        rows: Rows of each fold that is used.

    Returns:
        Path, fingerprint, digest of the sounds, and their number in each fold.
    """
    digest = hashlib.sha256()
    for selected in rows.values():
        digest.update(f"{len(selected)}:".encode() + cache.u[selected].numpy().tobytes())
        if len(cache.space.columns) > len(cache.space):
            digest.update(cache.theta[selected].numpy().tobytes())
    counts = {fold: len(selected) for fold, selected in rows.items()}
    return {"path": str(cache.path), "fingerprint": cache.fingerprint, "sounds": digest.hexdigest(), **counts}


def previous_run(out: Path, settings: Settings, *, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """Take a directory for a run, and find the run in it that this one goes on from.

    Args:
        out: Directory; made if it is missing.
        settings: Settings of the run.
        resume: Continue a run that is there.
        overwrite: Remove a run that is there.

    Returns:
        Last checkpoint of the run that is resumed; None where a run begins.

    Raises:
        FileExistsError: If the directory holds a run and neither is wanted.
        ValueError: If the run that is there cannot be resumed with these settings; says why.
    """
    out.mkdir(parents=True, exist_ok=True)
    last = out / checkpoint.LAST
    if resume:
        return _checked(checkpoint.load(last), settings, last) if last.exists() else None
    if overwrite:
        # At once: whatever becomes of this run, the best weights of another one must not pass for its own.
        checkpoint.clear(out)
    elif checkpoint.holds_run(out):
        raise FileExistsError(
            f"{out} holds a training run; resume it, overwrite it, or choose another directory."
        )
    return None


def _checked(saved: dict[str, Any], ours: Settings, path: Path) -> dict[str, Any]:
    """Return a checkpoint of a run with the same settings; refuse any other."""
    missing = [name for name in _RESUMED if name not in saved]
    if missing:
        raise ValueError(
            f"{path} is not the last checkpoint of a training run: it lacks {', '.join(missing)}. Likely cause: "
            "another file was put in its place."
        )
    try:
        # Settings that are newer than the checkpoint had their default values.
        theirs = Settings(**saved["settings"])
    except TypeError as error:
        raise ValueError(
            f"{path} was trained with settings that this version of the package does not know; resume it with the "
            "version that it was begun with."
        ) from error
    spaces = [ParameterSpace.from_dict(settings.space) for settings in (theirs, ours)]
    if spaces[0] != spaces[1]:
        raise ValueError(
            f"{path} was trained on another parameter space, {spaces[0]}; the cache has {spaces[1]}. Resume it with "
            "the cache that it was trained on."
        )
    # Checkpoints from before a run knew its cache are not compared.
    if theirs.cache is not None and ours.cache is not None:
        _check_same_cache(theirs.cache, ours.cache, path)
    there, here = ({**asdict(settings), "cache": None} for settings in (theirs, ours))
    details = "; ".join(differences(there, here))
    if details:
        raise ValueError(f"{path} was trained with other settings ({details}); resume it with the same ones.")
    return saved


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


def _plain(value: Any) -> Any:
    """Return a setting as a checkpoint can hold it."""
    return value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)
