"""Result of a run of the offline stage."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pnp.store import MetricCache

__all__ = ["PrecomputeSummary", "group_reasons", "summarize"]

# Numbers, and the rest of one that was cut in its middle.
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d*)?")


@dataclass(frozen=True)
class PrecomputeSummary:
    """Result of a run of the offline stage.

    Args:
        path: The cache.
        n_total: Sounds in the cache.
        n_resumed: Sounds that earlier runs had done.
        n_done: Sounds done by now, failed ones included.
        n_failed: Sounds that failed.
        reasons: Number of failed sounds for each reason.
        seconds: Duration of this run.
    """

    path: Path
    n_total: int
    n_resumed: int
    n_done: int
    n_failed: int
    reasons: dict[str, int]
    seconds: float

    @property
    def rate(self) -> float:
        """Sounds per second in this run."""
        return (self.n_done - self.n_resumed) / self.seconds if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the summary for JSON, with the rate."""
        return asdict(self) | {"path": str(self.path), "rate": self.rate}

    def __str__(self) -> str:
        resumed = f", {self.n_resumed} of them earlier" if self.n_resumed else ""
        failed = "none failed" if not self.n_failed else f"{self.n_failed} failed"
        if self.n_failed:
            failed += " (" + "; ".join(f"{count} × {reason}" for reason, count in self.reasons.items()) + ")"
        return (
            f"{self.path}: {self.n_done} of {self.n_total} sounds{resumed}, {failed}, "
            f"{self.seconds:.1f} s, {self.rate:.3g} sounds/s"
        )


def summarize(path: Path, n_resumed: int, seconds: float) -> PrecomputeSummary:
    """Return the summary of a run that has ended.

    Args:
        path: The cache.
        n_resumed: Sounds that earlier runs had done.
        seconds: Duration of this run.

    Returns:
        The summary, with counts that are read from the file.
    """
    with MetricCache(path) as cache:
        failures = cache.failures
        return PrecomputeSummary(
            path=path,
            n_total=len(cache),
            n_resumed=n_resumed,
            n_done=int((cache.status > 0).sum()),
            n_failed=len(failures),
            reasons=group_reasons(failures.values()),
            seconds=seconds,
        )


def group_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """Count reasons, those that differ by numbers alone together.

    Args:
        reasons: Reason of each sound that failed.

    Returns:
        Number of sounds for each reason, the most frequent first; differing numbers are written as "…".

    Examples:
        >>> group_reasons(["first at sample 12", "first at sample 7", "silent"])
        {'first at sample …': 2, 'silent': 1}
    """
    groups = dict[str, Counter[str]]()
    for reason in reasons:
        groups.setdefault(_NUMBER.sub("…", reason), Counter())[reason] += 1
    counts = Counter(
        {next(iter(texts)) if len(texts) == 1 else form: texts.total() for form, texts in groups.items()}
    )
    return dict(counts.most_common())
