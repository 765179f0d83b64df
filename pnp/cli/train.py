"""`pnp train`: a sound-matching encoder on the sounds of a cache."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pnp._text import did_you_mean, percent
from pnp.cli.arguments import add_seed, nonnegative_number, output_folder, positive, positive_number, reach
from pnp.cli.outcome import EXIT_OK, say
from pnp.cli.own import add_features, add_synthesizer, features_for, synthesizer_for

if TYPE_CHECKING:
    from pnp.training.augment import Augmentation

SUMMARY = "train a sound-matching network on the sounds of a cache"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("cache", metavar="CACHE", help="cache to train on")
    parser.add_argument(
        "--loss",
        default="pnp",
        choices=("pnp", "p", "surrogate", "spectral", "multiscale"),
        help="loss to minimize: in the metric of the cache (pnp), parameter error (p), interpolated "
        "distances (surrogate), or distances of sounds made at every step (spectral, multiscale)",
    )
    parser.add_argument(
        "--damping",
        type=nonnegative_number,
        metavar="LAMBDA",
        help="damping of the PNP loss (0 if not given); with --damping-schedule, where it begins (set by the metrics "
        "if not given)",
    )
    parser.add_argument(
        "--reach",
        type=reach,
        metavar="R",
        help="largest parameter error that the metric of the PNP loss, or an expansion of the surrogate, must describe "
        "(the cube's side is 2); caps large eigenvalues; 10 for the PNP loss and 1 for the surrogate if not given, "
        "'none' for the plain metric",
    )
    parser.add_argument(
        "--damping-schedule", action="store_true", help="adapt the damping as Levenberg and Marquardt do"
    )
    parser.add_argument(
        "--out", type=output_folder, metavar="DIR", help="checkpoints and log (runs/CACHE-LOSS if not given)"
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="also log for TensorBoard into DIR/tensorboard"
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="continue the run in DIR")
    existing.add_argument("--overwrite", action="store_true", help="overwrite the run in DIR")
    parser.add_argument(
        "--epochs",
        type=positive,
        metavar="N",
        help="largest number of passes over the sounds (if not given, 40, or no limit with --time-budget or "
        "--decay plateau)",
    )
    parser.add_argument(
        "--time-budget",
        type=positive_number,
        metavar="SECONDS",
        help="stop after that many seconds of training",
    )
    parser.add_argument(
        "--patience", type=positive, metavar="N", help="stop after N epochs without improvement"
    )
    parser.add_argument("--batch-size", type=positive, default=16, metavar="N", help="sounds in a batch")
    parser.add_argument(
        "--learning-rate", type=positive_number, default=3e-3, help="initial learning rate of AdamW"
    )
    parser.add_argument(
        "--decay",
        default="cosine",
        choices=("cosine", "plateau"),
        help="how the learning rate falls: to zero over the epochs or the time budget (cosine), or by a step whenever "
        "the validation loss stalls, until training has converged (plateau)",
    )
    parser.add_argument("--weight-decay", type=nonnegative_number, default=1e-2, help="weight decay of AdamW")
    add_synthesizer(parser)
    add_features(parser)
    parser.add_argument(
        "--augment",
        nargs="?",
        const="all",
        type=_kinds,
        metavar="KINDS",
        help="alter the sounds of training as recordings may be: in all ways, or in some, separated by commas, of "
        "shift, room, equalizer, noise, level, clipping, resampling",
    )
    add_seed(parser, "seed of weights and of the order of sounds")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")


def run(options: argparse.Namespace) -> int:
    """Train an encoder."""
    from pnp.store import MetricCache
    from pnp.training.train import train

    out = Path(options.out or Path("runs") / f"{Path(options.cache).stem}-{options.loss}")
    loss_options = _loss_options(options)
    with MetricCache(options.cache) as cache:
        synth = synthesizer_for(cache, options)
        result = train(
            cache,
            synth,
            loss=options.loss,
            loss_options=loss_options or None,
            features=features_for(cache, synth, options) if options.loss == "spectral" else None,
            damping_schedule={} if options.damping_schedule else None,
            epochs=options.epochs,
            time_budget=options.time_budget,
            patience=options.patience,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            decay=options.decay,
            weight_decay=options.weight_decay,
            augment=options.augment,
            seed=options.seed,
            device=options.device,
            out=out,
            resume=options.resume,
            overwrite=options.overwrite,
            tensorboard=options.tensorboard,
            progress=not options.quiet,
        )
    best = result.history[result.best_epoch - 1]
    say(
        f"{out}: {len(result.history)} epochs, {result.seconds:.1f} s, ended by {result.stopped}; best epoch "
        f"{result.best_epoch} with validation loss {result.best_validation_loss:.4g} and error "
        f"{best['validation_error']:.4f} (mean |û − u|, the cube's side being 2)" + _accuracy(best)
    )
    return EXIT_OK


def _accuracy(epoch: dict[str, float]) -> str:
    share = epoch.get("validation_accuracy")
    return "" if share is None else f", {percent(share, significant=3)} of choices right"


def how_to_continue(options: argparse.Namespace) -> str:
    """Return how to continue after an interruption."""
    if options.resume:
        return "; run the same command again to continue after the last finished epoch"
    flag = "--resume in place of --overwrite" if options.overwrite else "--resume"
    return f"; run the same command with {flag} to continue after the last finished epoch"


def _kinds(text: str) -> Augmentation:
    """Parse kinds of augmentation with commas, or "all"."""
    from pnp.training.augment import KINDS, Augmentation

    kinds = KINDS if text == "all" else tuple(text.split(","))
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"expected kinds among {', '.join(KINDS)}, got {unknown[0]!r}{did_you_mean(unknown[0], KINDS)}"
        )
    return Augmentation().only(kinds)


def _loss_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the loss that were given, where that loss has them."""
    given = {}
    # A damping of 0 is none, but no schedule can begin there.
    if options.damping or (options.damping is not None and options.damping_schedule):
        given["damping"] = options.damping
    if options.reach is not None:
        given["reach"] = None if options.reach == "none" else options.reach
    for name, losses in (("damping", ("pnp",)), ("reach", ("pnp", "surrogate"))):
        if name in given and options.loss not in losses:
            raise ValueError(f"--{name} goes with --loss {' or '.join(losses)}; got --loss {options.loss}.")
    return given
