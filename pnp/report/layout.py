"""Text and tables that fit a number of columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from pnp._text import printable, text_table
from pnp.report.tables import Table

_INDENT, _GAP = 2, 2
# Columns of words are wrapped, to no fewer columns than this.
_LEAST_WORDS, _LEAST_NAME = 18, 14


def wrapped(text: str, width: int, first: str = "", other: str | None = None) -> list[str]:
    """Return a text in lines of at most `width` columns; those after the first are indented.

    Args:
        text: Text.
        width: Columns.
        first: Beginning of the first line.
        other: Beginning of the other lines; four columns more than the first by default.
    """
    indent = " " * (len(first) + 4) if other is None else other
    return textwrap.wrap(
        printable(text), width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    ) or [first.rstrip()]


def fitted(table: Table, width: int) -> Iterator[str]:
    """Return a table in lines of at most `width` columns.

    Names and phrases are wrapped; a table of more columns than fit is cut into several, one below the other.

    Args:
        table: Table.
        width: Columns.

    Yields:
        Lines.
    """
    room = width - _INDENT
    cells = [[printable(cell) for cell in row] for row in [table.headings, *table.rows]]
    align = table.align
    # A heading has two more columns than its text.
    needed = [
        max(
            len(cells[0][column]) + _GAP * bool(cells[0][column]), *(len(row[column]) for row in cells[1:]), 1
        )
        for column in range(len(align))
    ]
    # Long headings above short numbers are wrapped, too.
    widest = [max((len(row[column]) for row in cells[1:]), default=1) for column in range(len(align))]
    limits = [min(width, max(cell, _LEAST_WORDS)) for width, cell in zip(needed, widest, strict=True)]
    last = len(align) - 1
    for column, least in ((last, _LEAST_WORDS), (0, _LEAST_NAME)):
        if align[column] == "l":
            spare = room - sum(limits) - _GAP * last
            limits[column] = max(min(least, needed[column]), min(needed[column], limits[column] + spare))
    for block in _blocks(limits, room):
        head, *rows = (
            ["\n".join(_cut(row[c], limits[c] - (_GAP if row is cells[0] else 0))) for c in block]
            for row in cells
        )
        text = text_table(head, rows, "".join(align[c] for c in block))
        yield from (" " * _INDENT + line for line in text.splitlines())


def _blocks(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Return groups of columns that fit, each beginning with the first one."""
    block = [0]
    used = widths[0]
    for column in range(1, len(widths)):
        if len(block) > 1 and used + _GAP + widths[column] > room:
            yield block
            block, used = [0], widths[0]
        block.append(column)
        used += _GAP + widths[column]
    yield block


def _cut(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 1), break_on_hyphens=False)
