"""Words and tables of messages and reports: each form is written once, here."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence

import tabulate

# Categories of Unicode: control characters, invisible ones, halves of characters, line breaks beside the newline.
_UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return a suggestion to append to an error about an unknown word.

    Args:
        word: Word that was given.
        allowed: Words that would have been accepted.

    Returns:
        "; did you mean 'x'?", or nothing where no accepted word is close.

    Examples:
        >>> did_you_mean("chrip", ["chirp", "drum"])
        "; did you mean 'chirp'?"
    """
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def printable(text: str, keep: str = "") -> str:
    r"""Return text that only shows: characters that a terminal would obey are written as numbers.

    Names and messages may come from a file of somebody else's making. The numbers are written as JSON writes them, so
    that JSON stays JSON.

    Args:
        text: Any text.
        keep: Control characters to leave, such as newlines.

    Returns:
        Text without control characters, invisible ones that turn its direction, and halves of characters.

    Examples:
        >>> printable("Hz\x1b[31m")
        'Hz\\u001b[31m'
    """
    return "".join(
        f"\\u{ord(c):04x}" if c not in keep and unicodedata.category(c) in _UNSAFE else c for c in text
    )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one.

    Examples:
        >>> counted(1, "outlier"), counted(2000, "sound")
        ('1 outlier', '2,000 sounds')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(fraction: float, digits: int = 2, *, significant: int | None = None) -> str:
    """Return a fraction of one in percent.

    Args:
        fraction: Any number.
        digits: Decimals.
        significant: Significant digits, in place of decimals.

    Examples:
        >>> percent(0.1234), percent(1.0, 0), percent(0.00123, significant=2)
        ('12.34 %', '100 %', '0.12 %')
    """
    return f"{100 * fraction:.{digits}f} %" if significant is None else f"{100 * fraction:.{significant}g} %"


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]], align: str | None = None) -> str:
    """Return a table of aligned columns for a terminal.

    Args:
        headings: Headings of the columns.
        rows: Cells, as text.
        align: One letter a column, "l" or "r"; by default the first column is left-aligned and the rest right-aligned.

    Returns:
        Lines without trailing spaces and without a final line break.

    Examples:
        >>> print(text_table(["parameter", "error"], [["f_c", "1.2 %"], ["gamma", "10.3 %"]]))
        parameter     error
        f_c           1.2 %
        gamma        10.3 %
    """
    text = tabulate.tabulate(
        rows, headings, "plain", colalign=_alignment(headings, align), disable_numparse=True
    )
    return "\n".join(line.rstrip() for line in text.splitlines())


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]], align: str | None = None) -> str:
    """Return a table in Markdown.

    Args:
        headings: Headings of the columns.
        rows: Cells, as Markdown.
        align: One letter a column, "l" or "r"; by default the first column is left-aligned and the rest right-aligned.

    Returns:
        Lines without a final line break.

    Examples:
        >>> print(markdown_table(["loss", "distance"], [["PNP", "0.60"]]))
        | loss   |   distance |
        |:-------|-----------:|
        | PNP    |       0.60 |
    """
    return tabulate.tabulate(
        rows, headings, "pipe", colalign=_alignment(headings, align), disable_numparse=True
    )


def _alignment(headings: Sequence[str], align: str | None) -> list[str]:
    letters = align or "l" + "r" * (len(headings) - 1)
    return [{"l": "left", "r": "right"}[letter] for letter in letters]


def brief(names: Sequence[str], width: int = 20) -> list[str]:
    """Return names with dots in the middle where they are long; whole, where two would look the same.

    Examples:
        >>> brief(["cutoff", "oscillator_one_fine_tuning_in_cents"])
        ['cutoff', 'oscillator…_in_cents']
    """
    left, right = width // 2, width - width // 2 - 1
    short = [name if len(name) <= width else f"{name[:left]}…{name[-right:]}" for name in names]
    return [text if short.count(text) == 1 else name for text, name in zip(short, names, strict=True)]


def labels(names: Sequence[str], width: int = 20) -> list[str]:
    """Return names that fit beside a figure: like `brief`, with a number where two would look the same.

    Examples:
        >>> labels(["cutoff", "a" * 60, "a" * 30 + "b" + "a" * 29])
        ['cutoff', '2 aaaaaaaa…aaaaaaaaa', '3 aaaaaaaa…aaaaaaaaa']
    """
    left, right = width // 2 - 2, width - width // 2 - 1
    return [
        name if len(name) <= width else f"{place} {name[:left]}…{name[-right:]}"
        for place, name in enumerate(brief(names, width), start=1)
    ]
