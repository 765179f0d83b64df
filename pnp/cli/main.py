"""The `pnp` command: what can be asked for, and how it ends.

Exit codes: 0, done; 1, done, but sounds failed or a check found something wrong; 2, called wrongly, or a file
is not what it should be; 130, interrupted.

Nothing heavy is imported before a verb runs, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pnp._version import __version__

EXIT_OK, EXIT_FAILURES, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

# What bad input raises; anything else is a bug and shows its traceback.
_EXPECTED = (ValueError, TypeError, IndexError, OSError, RuntimeError, ArithmeticError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments after the program's name; those of the process by default.

    Returns:
        Exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = build_parser().parse_args(arguments)
    level = logging.WARNING if options.quiet else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    from pnp.cli import verbs

    act: Callable[[argparse.Namespace], int] = getattr(verbs, options.verb)
    try:
        code = act(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        sys.stderr.write(f"pnp {options.verb}: interrupted{_way_on(options)}\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone; the interpreter must not try to write the rest on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except _EXPECTED as error:
        if options.traceback:
            raise
        sys.stderr.write(f"pnp {options.verb}: error: {_sentence(error)}\n")
        return EXIT_USAGE


def _way_on(options: argparse.Namespace) -> str:
    """How to go on with what was interrupted; nothing where it begins anew."""
    if options.verb in ("precompute", "demo", "figures"):
        return "; the same command goes on from here"
    if options.verb != "train":
        return ""
    if options.resume:
        return "; the same command goes on after the last epoch that was finished"
    flag = "--resume in place of --overwrite" if options.overwrite else "--resume"
    return f"; the same command with {flag} goes on after the last epoch that was finished"


def build_parser() -> argparse.ArgumentParser:
    """The parser of `pnp`, one subparser a verb."""
    parser = _Parser(
        prog="pnp",
        description="Perceptual metrics on synthesizer parameters.",
        epilog="exit codes: 0 done; 1 done, but sounds failed or a check found something wrong; "
        "2 called wrongly, or a file is not what it should be; 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"pnp {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for add in (_demo, _precompute, _merge, _verify, _inspect, _train, _evaluate, _match, _bench, _figures):
        add(verbs)
    return parser


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with those defaults that say something."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.default is None or action.default is False or action.default == []
        return action.help if silent else super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    """Parser that shows defaults, says what is wrong in one sentence, and suggests what was meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **options)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            verbs = list(action.choices)
            close = difflib.get_close_matches(str(value), verbs, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            self.error(f"unknown verb {value!r}, expected one of {', '.join(verbs)}{hint}")
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


_Verbs = Any  # argparse's own type for subparsers is private


def _verb(verbs: _Verbs, name: str, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=summary, description=summary)
    parser.add_argument("--quiet", action="store_true", help="no progress bars, no messages but warnings")
    parser.add_argument("--traceback", action="store_true", help="show where an error was raised")
    return parser


def _demo(verbs: _Verbs) -> None:
    parser = _verb(
        verbs,
        "demo",
        "the whole story in about two minutes: a cache of chirps, its metric, two networks, a table",
    )
    parser.add_argument("--out", default="pnp-demo", metavar="DIR", help="where everything is put")
    parser.add_argument("--size", type=_positive, default=200, metavar="N", help="number of sounds")
    parser.add_argument("--epochs", type=_positive, default=40, metavar="N", help="passes over them")
    parser.add_argument("--seed", type=_seed, default=0, help="seed of sounds, weights and their order")
    _add_jobs(parser)


def _precompute(verbs: _Verbs) -> None:
    parser = _verb(
        verbs,
        "precompute",
        "offline stage: features, Jacobian and metric of every sound of a design, into a cache that resumes",
    )
    parser.add_argument("--synth", required=True, metavar="NAME", help="synthesizer: chirp, drum, ...")
    parser.add_argument(
        "--synth-option",
        action="append",
        type=_key_value,
        default=[],
        metavar="KEY=VALUE",
        help="option of the synthesizer, such as n_samples=8192; may be given several times",
    )
    parser.add_argument(
        "--size",
        required=True,
        type=_sizes,
        metavar="N[,N...]",
        help="number of sounds; for --method grid also the points along each parameter",
    )
    parser.add_argument("--out", metavar="FILE", help="cache to write (cache/NAME.h5 if not given)")
    parser.add_argument(
        "--method", default="sobol", choices=("sobol", "uniform", "lhs", "grid"), help="design of sounds"
    )
    parser.add_argument("--seed", type=_seed, default=0, help="seed of the design and of the folds")
    _add_jobs(parser)
    parser.add_argument("--backend", default="loky", choices=("loky", "dask"), help="where the processes run")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; cuda with --jobs 1")
    parser.add_argument(
        "--shard", type=_shard, default="0/1", metavar="I/N", help="part of the design, from 0/N to (N-1)/N"
    )
    parser.add_argument("--block", type=_positive, default=16, metavar="N", help="sounds in a unit of work")
    parser.add_argument(
        "--store",
        default="jacobian",
        choices=("metric", "features", "jacobian"),
        help="what is kept: the metric alone, features with it, or Jacobians with both",
    )
    parser.add_argument(
        "--dtype",
        default="float32",
        choices=("float16", "float32", "float64"),
        help="type in which features and Jacobians are kept; metrics are float64",
    )
    parser.add_argument(
        "--compression", default="none", choices=("none", "gzip"), help="of the file, once it is finished"
    )
    parser.add_argument(
        "--precision", choices=("float32", "float64"), help="of the computation (float32 if not given)"
    )
    scattering = parser.add_argument_group(
        "scattering transform",
        "by default, what suits the synthesizer; `pnp inspect` shows it",
    )
    scattering.add_argument("--J", type=_positive, help="largest scale is 2**J samples")
    scattering.add_argument(
        "--Q", type=_sizes, metavar="Q1[,Q2]", help="wavelets per octave, first, second order"
    )
    scattering.add_argument("--J-fr", type=_positive, help="largest scale is 2**J_FR first-order wavelets")
    scattering.add_argument("--Q-fr", type=_positive, help="wavelets per octave along log-frequency")
    scattering.add_argument(
        "--T", type=_support, help="averaging over time: samples, 'global', or 0 for none"
    )
    scattering.add_argument(
        "--F", type=_support, help="averaging over wavelets: number, 'global', or 0 for none"
    )
    scattering.add_argument("--pad-mode", choices=("reflect", "zero"), help="how a sound goes on at its ends")


def _merge(verbs: _Verbs) -> None:
    parser = _verb(verbs, "merge", "shards of one design into one cache, without copying unless asked to")
    parser.add_argument("shards", nargs="+", metavar="SHARD", help="caches made with --shard, in any order")
    parser.add_argument("--out", required=True, metavar="FILE", help="cache to make")
    parser.add_argument("--copy", action="store_true", help="copy rows, so that the shards can be deleted")


def _verify(verbs: _Verbs) -> None:
    parser = _verb(verbs, "verify", "check every byte and every invariant of a cache")
    parser.add_argument("caches", nargs="+", metavar="CACHE", help="caches to check")
    parser.add_argument(
        "--recompute",
        type=_count,
        default=0,
        metavar="N",
        help="also derive this many sounds anew and compare",
    )
    parser.add_argument("--seed", type=_seed, default=0, help="which ones")


def _inspect(verbs: _Verbs) -> None:
    parser = _verb(
        verbs, "inspect", "what the metric of a cache says, as text, JSON, figures or a page with sound"
    )
    parser.add_argument("cache", metavar="CACHE", help="cache to look at")
    parser.add_argument(
        "--index", type=int, metavar="I", help="one sound, by its row, instead of all of them"
    )
    parser.add_argument(
        "--distance",
        type=float,
        help="distance in the representation for which steps are given (1, and on the page one that can be "
        "heard, if not given)",
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of text")
    parser.add_argument("--png", metavar="DIR", help="also draw the figures into this directory")
    parser.add_argument("--html", metavar="FILE", help="also write a page with figures and sound")
    parser.add_argument(
        "--sounds", type=_count, default=3, metavar="N", help="settings to be listened to on the page"
    )


def _train(verbs: _Verbs) -> None:
    parser = _verb(verbs, "train", "a sound-matching encoder on the sounds of a cache")
    parser.add_argument("cache", metavar="CACHE", help="cache to train on")
    parser.add_argument(
        "--loss",
        default="pnp",
        choices=("pnp", "p", "surrogate", "spectral", "multiscale"),
        help="what is minimized",
    )
    parser.add_argument(
        "--damping",
        type=float,
        metavar="LAMBDA",
        help="damping of the PNP loss (0 if not given); with --damping-schedule, where it begins (set by the metrics "
        "if not given)",
    )
    parser.add_argument(
        "--reach",
        type=float,
        metavar="R",
        help="errors, in units of the cube, for which the metric of the PNP loss, or an expansion of the surrogate, is "
        "to stand for the distance: holds down what is said of smaller ones",
    )
    parser.add_argument(
        "--damping-schedule", action="store_true", help="adapt the damping as Levenberg and Marquardt do"
    )
    parser.add_argument("--out", metavar="DIR", help="checkpoints and log (runs/CACHE-LOSS if not given)")
    parser.add_argument(
        "--tensorboard", action="store_true", help="also log for TensorBoard into DIR/tensorboard"
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="go on where the run in DIR ends")
    existing.add_argument("--overwrite", action="store_true", help="begin anew though DIR holds a run")
    parser.add_argument(
        "--epochs",
        type=_positive,
        metavar="N",
        help="most passes over the sounds (40 if neither a time budget nor convergence is the end)",
    )
    parser.add_argument("--time-budget", type=float, metavar="SECONDS", help="most seconds of training")
    parser.add_argument("--patience", type=_positive, metavar="N", help="epochs to wait for a better one")
    parser.add_argument("--batch-size", type=_positive, default=16, metavar="N", help="sounds a batch")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="initial learning rate of AdamW")
    parser.add_argument(
        "--decay",
        default="cosine",
        choices=("cosine", "plateau"),
        help="how the learning rate falls: to zero over the epochs or the time budget, or a step whenever nothing is "
        "gained, which ends when training has converged",
    )
    parser.add_argument("--weight-decay", type=float, default=1e-2, help="weight decay of AdamW")
    parser.add_argument("--seed", type=_seed, default=0, help="seed of weights and of the order of sounds")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")


def _evaluate(verbs: _Verbs) -> None:
    parser = _verb(verbs, "evaluate", "how well a trained encoder matches held-out sounds")
    parser.add_argument("run", metavar="RUN", help="directory that `pnp train` wrote, or a checkpoint in it")
    parser.add_argument("cache", metavar="CACHE", help="cache that it was trained on")
    parser.add_argument(
        "--fold", default="test", choices=("train", "validation", "test"), help="which sounds"
    )
    parser.add_argument(
        "--no-distance", action="store_true", help="parameter errors alone, without resynthesis"
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of text")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")


def _match(verbs: _Verbs) -> None:
    parser = _verb(verbs, "match", "a recording in, synthesizer parameters and a resynthesis out")
    parser.add_argument("sound", metavar="SOUND", help="file of any format that libsndfile reads")
    parser.add_argument("--cache", required=True, metavar="CACHE", help="cache of the synthesizer")
    parser.add_argument(
        "--out", metavar="DIR", help="sounds, figure and JSON go here (NAME-match if not given)"
    )
    parser.add_argument(
        "--starts", type=_positive, default=8, metavar="N", help="nearest sounds to start from"
    )
    parser.add_argument(
        "--max-evaluations", type=_positive, default=60, metavar="N", help="most sounds made from one start"
    )
    parser.add_argument("--encoder", metavar="RUN", help="start from a trained encoder's prediction too")
    parser.add_argument(
        "--keep-level", action="store_true", help="compare samples as they are, without estimating the gain"
    )
    parser.add_argument("--keep-onset", action="store_true", help="do not move the beginning of the sound")
    parser.add_argument("--allow-clipped", action="store_true", help="accept a clipped recording")
    parser.add_argument("--json", action="store_true", help="JSON instead of text")


def _bench(verbs: _Verbs) -> None:
    parser = _verb(verbs, "bench", "speed and accuracy of the scattering transform, beside Kymatio's")
    parser.add_argument(
        "--configuration",
        action="append",
        choices=("A", "B", "C"),
        help="A: drum; B: chirp; C: chirp, local averages; may be given several times (all if not given)",
    )
    parser.add_argument(
        "--section",
        action="append",
        choices=("table", "throughput", "memory", "cost"),
        help="what is measured; may be given several times (all if not given)",
    )
    parser.add_argument(
        "--rounds", type=_positive, default=5, metavar="N", help="times that each is run in turn"
    )
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="PyTorch threads (its own choice if not given)"
    )
    parser.add_argument(
        "--peer",
        metavar="PYTHON",
        default=os.environ.get("PNP_PEER_PYTHON"),
        help="interpreter of an environment with Kymatio's development version, made by: python -m venv DIR && "
        'DIR/bin/pip install torch scrapl-loss "scipy<1.17" (the variable PNP_PEER_PYTHON, if not given)',
    )
    parser.add_argument("--json", metavar="FILE", help="also write all numbers to this file")
    parser.add_argument(
        "--results",
        action="append",
        metavar="FILE",
        help="measure nothing, and report what --json wrote; several times to join runs",
    )
    parser.add_argument(
        "--docs", metavar="DIR", help="also write benchmarks.md and its figure into this directory"
    )


def _figures(verbs: _Verbs) -> None:
    parser = _verb(
        verbs,
        "figures",
        "loss landscapes of chirps and ripples: multiscale spectrograms against JTFS, under time shifts",
    )
    parser.add_argument("--out", default="pnp-figures", metavar="DIR", help="where everything is put")
    parser.add_argument(
        "--only",
        action="append",
        choices=("scalograms", "chirp", "ripple"),
        help="part to make; may be given several times (all if not given)",
    )
    parser.add_argument("--grid", type=_positive, default=20, metavar="N", help="points along each parameter")
    parser.add_argument(
        "--samples", type=_positive, default=32768, metavar="N", help="length of the sounds, at 8192 Hz"
    )
    parser.add_argument(
        "--steps", type=_positive, default=40, metavar="N", help="evaluations in a gradient descent"
    )
    parser.add_argument("--seed", type=_seed, default=0, help="seed of the random shifts")
    parser.add_argument(
        "--docs", metavar="DIR", help="also write landscapes.md and its pictures into this directory"
    )
    _add_jobs(parser)


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jobs", type=_positive, default=os.cpu_count() or 1, metavar="N", help="worker processes"
    )


# -- values --------------------------------------------------------------------------------------------------


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _count(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _seed(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or not -(2**63) <= int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number of at most 63 bits, got {text!r}")
    return int(text)


def _sizes(text: str) -> int | tuple[int, ...]:
    sizes = tuple(_positive(part) for part in text.split(","))
    return sizes[0] if len(sizes) == 1 else sizes


def _shard(text: str) -> tuple[int, int]:
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and int(part) < int(parts)):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 0 to N - 1, such as 0/4, got {text!r}")
    return int(part), int(parts)


def _support(text: str) -> str | int:
    if text == "global":
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number or 'global', got {text!r}")
    return int(text)


def _key_value(text: str) -> tuple[str, Any]:
    import json

    key, equals, value = text.partition("=")
    if not (key.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
