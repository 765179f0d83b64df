"""Lines and bars of a run on standard error: for what comes first, and for the sounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from pnp._progress import Bar, ticking

__all__ = ["Preparation"]

_Item = TypeVar("_Item")


class Preparation:
    """Line that says what happens before the first sound, with the time that it has taken.

    Args:
        shown: Show it.
    """

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._bar = Bar(total=0, bar_format="{desc} [{elapsed}]", disable=not shown, leave=False)

    @classmethod
    @contextmanager
    def of(cls, shown: bool) -> Iterator[Preparation]:
        """Show a line as long as something is prepared.

        Args:
            shown: Show it.

        Yields:
            The line.
        """
        line = cls(shown)
        try:
            with ticking(line._bar):
                yield line
        finally:
            line._bar.close()

    def say(self, what: str) -> None:
        """Show what happens now.

        Args:
            what: A phrase.
        """
        self._bar.set_description_str(what)

    def steps(self, items: Sequence[_Item]) -> Iterable[_Item]:
        """Show the progress of one thing for each parameter, or for some tangents.

        Args:
            items: Something with a length.

        Returns:
            The same items.
        """
        return Bar(items, desc="parameters", unit="step", disable=not self._shown, leave=False)
