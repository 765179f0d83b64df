"""The `pnp` command: its parser, and how a call ends.

A verb is a module beside this one with `SUMMARY`, `add_arguments(parser)` and `run(options)`, which returns the exit
code. Where a verb can continue after an interruption, its `how_to_continue(options)` says how. Nothing heavy is
imported before a verb runs, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from pnp._text import did_you_mean, printable
from pnp._version import __version__
from pnp.cli import bench, demo, evaluate, figures, inspect, match, merge, precompute, train, verify
from pnp.cli.outcome import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, answer, show_messages, tell, write_any_text

VERBS: dict[str, Any] = {
    module.__name__.rpartition(".")[2]: module
    for module in (demo, precompute, merge, verify, inspect, train, evaluate, match, bench, figures)
}


# Options of most synthesizers, which users look for among those of a verb.
_OF_THE_SYNTHESIZER = ("n_samples", "sample_rate", "normalization", "ranges")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments after the program's name; those of the process by default.

    Returns:
        Exit code.
    """
    write_any_text()
    options = build_parser().parse_args(list(sys.argv[1:] if argv is None else argv))
    show_messages(logging.WARNING if options.quiet else logging.INFO)
    code = _run(options)
    if argv is None and threading.current_thread() is threading.main_thread():
        # The verb is done, and what is left is to end worker processes: an interruption now has nothing to stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def _run(options: argparse.Namespace) -> int:
    verb, command = VERBS[options.verb], f"pnp {options.verb}"
    try:
        code: int = verb.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        continuation = verb.how_to_continue(options) if hasattr(verb, "how_to_continue") else ""
        tell(f"{command}: interrupted{continuation}")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone; the interpreter must not try to write the rest on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception as error:
        if options.traceback:
            raise
        return answer(command, error)
    return code


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `pnp`, one subparser a verb."""
    parser = _Parser(
        prog="pnp",
        description="Perceptual metrics on synthesizer parameters.",
        epilog="exit codes: 0 done; 1 done, but sounds failed or a check found something wrong; "
        "2 called wrongly, or a file is not what it should be; 70 a bug, please report it; 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"pnp {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)
    for name, module in VERBS.items():
        subparser = verbs.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        subparser.add_argument(
            "--quiet", action="store_true", help="no progress bars, no messages but warnings"
        )
        subparser.add_argument("--traceback", action="store_true", help="show where an error was raised")
        module.add_arguments(subparser)
    return parser


def _meant(flag: str, known: Iterable[str]) -> str:
    """Return a suggestion for a flag that a verb does not know."""
    name = flag.lstrip("-").replace("-", "_")
    if "--synth-option" in known and name in _OF_THE_SYNTHESIZER:
        return f"; it is an option of the synthesizer: --synth-option {name}=…"
    return did_you_mean(flag, known)


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with those defaults that say something."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=28, **options)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.default is None or action.default is False or action.default == []
        return action.help if silent else super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    """Parser that shows defaults, says what is wrong in one sentence, and suggests what was meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse a command line; what is not known is answered by what was meant."""
        (verbs,) = (action for action in self._actions if isinstance(action, argparse._SubParsersAction))
        if args and args[0] in verbs.choices:
            # Before anything that is missing: it may be there, misspelt.
            verbs.choices[args[0]]._refuse_unknown(args[1:])
        options, unknown = self.parse_known_args(args, namespace)
        if options.verb is None:
            self.error(
                f"a verb is missing, expected one of {', '.join(verbs.choices)}; `pnp demo` shows everything"
            )
        if unknown:
            verbs.choices[options.verb]._refuse_unknown(unknown, also=unknown[0])
        return options

    def _refuse_unknown(self, words: Sequence[str], also: str = "") -> None:
        known = self._option_string_actions
        flags = [word.partition("=")[0] for word in words[: words.index("--") if "--" in words else None]]
        unknown = [flag for flag in flags if flag.startswith("--") and " " not in flag and flag not in known]
        if unknown or also:
            flag = (unknown or [also])[0].partition("=")[0]
            if flag in known:
                self.error(f"argument {flag!r} must follow the verb: {self.prog} {flag}")
            self.error(f"unknown argument {flag!r}{_meant(flag, known)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            verbs = list(action.choices)
            self.error(
                f"unknown verb {value!r}, expected one of {', '.join(verbs)}{did_you_mean(str(value), verbs)}"
            )
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, printable(f"{self.prog}: error: {message} (see {self.prog} --help)") + "\n")
