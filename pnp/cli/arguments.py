"""Types and groups of arguments that verbs share."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pnp.errors import PnpError

# Sizes beyond these overflow or vanish when they are squared in single precision.
_SMALLEST, _LARGEST = 1e-12, 1e12


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not _is_whole(text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def count(text: str) -> int:
    """Parse a whole number of at least 0."""
    return 0 if text == "0" else positive(text)


def seed(text: str) -> int:
    """Parse a seed: a whole number that PyTorch's generators take."""
    if not _is_whole(text.removeprefix("-")) or not -(2**63) <= int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number of at most 63 bits, got {text!r}")
    return int(text)


def positive_number(text: str) -> float:
    """Parse a number above 0, within the range in which its square is a number too."""
    number = _number(text)
    if not _SMALLEST <= number <= _LARGEST:
        raise argparse.ArgumentTypeError(
            f"expected a number from {_SMALLEST:g} to {_LARGEST:g}, got {text!r}"
        )
    return number


def reach(text: str) -> float | str:
    """Parse a reach: a number above 0, or "none"."""
    return text if text == "none" else positive_number(text)


def nonnegative_number(text: str) -> float:
    """Parse a number that is 0 or above."""
    number = _number(text)
    return 0.0 if number == 0 else positive_number(text)


def sizes(text: str) -> int | tuple[int, ...]:
    """Parse one whole number, or several with commas."""
    parsed = tuple(positive(part) for part in text.split(","))
    return parsed[0] if len(parsed) == 1 else parsed


def shard(text: str) -> tuple[int, int]:
    """Parse part and number of parts, such as 0/4."""
    part, slash, parts = text.partition("/")
    if not (slash and _is_whole(part) and _is_whole(parts) and int(part) < int(parts)):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 0 to N - 1, such as 0/4, got {text!r}")
    return int(part), int(parts)


def support(text: str) -> str | int:
    """Parse a range of averaging: a whole number or "global"."""
    if text == "global":
        return text
    if not _is_whole(text):
        raise argparse.ArgumentTypeError(f"expected a whole number or 'global', got {text!r}")
    return int(text)


def step(text: str) -> tuple[str | None, float]:
    """Parse the step of a parameter, NAME=H, or that of all, H."""
    name, equals, size = text.rpartition("=")
    return name if equals else None, positive_number(size)


def steps(given: Sequence[tuple[str | None, float]] | None) -> float | dict[str, float] | None:
    """Return a step for all parameters, or steps by name."""
    named = {name: size for name, size in given or () if name is not None}
    common = [size for name, size in given or () if name is None]
    if common and (named or len(common) > 1):
        raise PnpError("--step is either one number for all parameters, or NAME=H for each of some")
    return common[0] if common else named or None


def key_value(text: str) -> tuple[str, Any]:
    """Parse KEY=VALUE, where the value is JSON or else plain text."""
    import json

    key, equals, value = text.partition("=")
    if not (key.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except RecursionError:
        raise argparse.ArgumentTypeError(f"the value of {key!r} is nested too deeply") from None
    except ValueError:
        return key, value


def output_file(text: str) -> str:
    """Take a path to write: a regular file, or nothing yet."""
    path = Path(text)
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe, a device or a socket"
        raise argparse.ArgumentTypeError(f"expected a file to write, but {text!r} is {kind}")
    return text


def output_folder(text: str) -> str:
    """Take a folder to write into: a folder, or nothing yet."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder to write into, but {text!r} is a file")
    return text


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the number of worker processes."""
    parser.add_argument(
        "--jobs", type=positive, default=os.cpu_count() or 1, metavar="N", help="worker processes"
    )


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the folder of a verb that writes several files."""
    parser.add_argument(
        "--out", type=output_folder, default=default, metavar="DIR", help="folder to write into"
    )


def add_seed(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add a seed with its purpose as help."""
    parser.add_argument("--seed", type=seed, default=0, help=purpose)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the choice of JSON over text."""
    parser.add_argument("--json", action="store_true", help="JSON instead of text")


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a finite number, got {text!r}")
    return number
