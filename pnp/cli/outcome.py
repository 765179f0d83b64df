"""Outcomes of a command: exit codes, text for the terminal, and answers to errors."""

from __future__ import annotations

import argparse
import codecs
import dis
import errno
import json
import logging
import sys
import traceback
from types import TracebackType
from typing import Any

from pnp._text import printable
from pnp._version import __version__
from pnp.errors import OwnCodeError, PnpError

EXIT_OK, EXIT_FAILURES, EXIT_USAGE, EXIT_BUG, EXIT_INTERRUPTED = 0, 1, 2, 70, 130

# What the operating system says in a word or two.
_ANSWERS = {
    errno.EACCES: "no permission for {path}; choose a place that you may write to, or change its permissions",
    errno.EPERM: "no permission for {path}; choose a place that you may write to, or change its permissions",
    errno.EROFS: "{path} lies on a file system that cannot be written to; choose another place",
    errno.ENOENT: "there is no file or folder {path}, or no folder to put it into",
    errno.ENOTDIR: "{path} leads through a file, expected folders up to its last part",
    errno.EISDIR: "{path} is a folder, expected a file",
    errno.EEXIST: "{path} exists already, as a file where a folder is expected",
    errno.ENOSPC: "no space left on the disk of {path}",
    errno.ENAMETOOLONG: "the name {path} is longer than the file system takes",
}

# Signs of the reports where an encoding lacks them, such as that of a pipe on Windows. Others are written as numbers.
_PLAIN = str.maketrans(
    {
        "λ": "lambda",
        "θ": "theta",
        "Φ": "Phi",
        "û": "u^",
        "σ": "sigma",
        "Δ": "d",
        "‖": "|",
        "−": "-",
        "–": "-",
        "…": "...",
    }
    | {
        "²": "^2",
        "³": "^3",
        "₀": "0",
        "×": "x",
        "·": "*",
        "±": "+-",
        "°": " deg",
        "→": "->",
        "←": "<-",
        "≥": ">=",
    }
)
_HANDLER = "pnp.plain"

_RAISE = dis.opmap["RAISE_VARARGS"]
_KEPT = "\n\t"


def write_any_text() -> None:
    """Let standard output take every character, also in an encoding that lacks some."""
    codecs.register_error(_HANDLER, _plain)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors=_HANDLER)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode(), error.end


def say(text: str) -> None:
    """Write a result to standard output."""
    sys.stdout.write(printable(text, keep=_KEPT) + "\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """Write a message to standard error."""
    sys.stderr.write(printable(text, keep=_KEPT) + "\n")


def as_json(value: Any) -> str:
    """Return a result as JSON.

    Args:
        value: Numbers, text, lists and dictionaries.

    Returns:
        Indented JSON.

    Raises:
        ValueError: If it holds NaN or infinite numbers, which JSON has no words for.
    """
    try:
        # Where standard output lacks a character, JSON keeps it as a number.
        unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
        return json.dumps(value, indent=2, ensure_ascii=not unicode, allow_nan=False)
    except ValueError as error:
        raise ValueError(
            "The result has NaN or infinite numbers, which JSON cannot hold; leave --json out to see them."
        ) from error


def rerun(options: argparse.Namespace) -> str:
    """Return how to continue a verb that keeps finished work, after an interruption."""
    del options
    return "; run the same command again to continue"


def show_messages(level: int) -> None:
    """Send the package's messages of a level and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=level, handlers=[handler])


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), keep=_KEPT)


def answer(command: str, error: Exception) -> int:
    """Answer an error on standard error.

    Bad input gets one sentence. Anything else is a bug and gets a traceback with a request to report it.

    Args:
        command: Program and verb, for the message.
        error: Exception that ended the verb.

    Returns:
        Exit code.
    """
    sentence = sentence_of(error)
    if sentence is not None:
        if isinstance(error, OwnCodeError) and error.__cause__ is not None:
            tell(_own_traceback(error.__cause__))
        tell(f"{command}: error: {sentence}")
        return EXIT_USAGE
    tell("".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip())
    tell(
        f"{command}: this is a bug in pnp {__version__}, or in code it was given; please report the lines above"
    )
    return EXIT_BUG


def sentence_of(error: Exception) -> str | None:
    """Return the sentence that answers bad input; None for a bug.

    The package's own errors and those of the operating system are answers. So is a built-in error that a `raise`
    statement of the package raised: somebody wrote that sentence for this input. The same type from anywhere else, such
    as an index out of range in the middle of a computation, is a bug.

    Args:
        error: Exception that ended the verb.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _is_allocation(error):
        return "not enough memory; ask for shorter or fewer sounds at once"
    if isinstance(error, OSError) and error.errno is not None and not _is_deliberate(error):
        return _of_the_system(error)
    if isinstance(error, (PnpError, OSError)) or _is_deliberate(error):
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _own_traceback(error: BaseException) -> str:
    """Return the traceback of a user's own code, from where this package calls it."""
    place = error.__traceback__
    while place is not None and _is_of_the_way(place):
        place = place.tb_next
    return "".join(traceback.format_exception(type(error), error, place)).rstrip()


def _is_of_the_way(place: TracebackType) -> bool:
    module = str(place.tb_frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in ("pnp", "importlib", "_frozen_importlib", "_frozen_importlib_external")


def _of_the_system(error: OSError) -> str:
    """Return the answer of the operating system as a sentence that names the path, and what to do."""
    path = f"{error.filename}" if error.filename is not None else ""
    known = _ANSWERS.get(error.errno or 0)
    if known is not None and path:
        return known.format(path=path)
    said = (error.strerror or type(error).__name__).lower()
    return f"{path}: {said}" if path else f"the operating system refused: {said}"


def _is_allocation(error: Exception) -> bool:
    # PyTorch's allocator on the CPU has no exception of its own.
    return isinstance(error, RuntimeError) and "you tried to allocate" in str(error)


def _is_deliberate(error: Exception) -> bool:
    """Tell whether a `raise` statement of this package raised an error."""
    place = _innermost(error.__traceback__)
    if place is None or isinstance(error, (AssertionError, NotImplementedError)):
        return False
    module = str(place.tb_frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] == "pnp" and place.tb_frame.f_code.co_code[place.tb_lasti] == _RAISE


def _innermost(place: TracebackType | None) -> TracebackType | None:
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place
