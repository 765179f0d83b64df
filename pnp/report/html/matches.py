"""One self-contained page to listen to the matches of a folder of recordings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch

from pnp._files import write_atomically
from pnp._text import counted, percent
from pnp.matching.folder import FolderMatch, MatchedFile
from pnp.report.format import physical
from pnp.report.html.audio import data_uris
from pnp.report.html.parts import Cell, PageTable, Player, cell
from pnp.report.html.rendering import rendered
from pnp.report.results import MATCH_COLUMNS, match_summary

__all__ = ["write_matches"]

# Sounds of a recording by the names of their files, in the order of listening, with the distance that goes with each.
_SOUNDS = (
    ("target", "the recording", None),
    ("nearest", "nearest sound of the cache", "before"),
    ("encoder", "the encoder's prediction", "encoder"),
    ("match", "the match", "after"),
)


@dataclass(frozen=True)
class Heard:
    """Recording and its matches, to be listened to."""

    name: str
    warnings: Sequence[str]
    players: Sequence[Player]
    values: str


def write_matches(found: FolderMatch, path: str | os.PathLike[str], *, cache: str) -> Path:
    """Write a page with a table and all sounds of a folder: recording, nearest sound, encoder's guess and match.

    Args:
        found: Outcome of the folder.
        path: File to write.
        cache: Name of the cache, to be shown.

    Returns:
        The file.

    Raises:
        OSError: If the file cannot be written.
    """
    matched = found.matched
    rows = [
        [cell(file.name), *(cell(value, text) for value, text in match_summary(file)), cell(_doubts(file))]
        for file in matched
    ]
    words = frozenset({0, len(MATCH_COLUMNS) + 1})
    table = PageTable(
        "matches",
        ["recording", *MATCH_COLUMNS, "doubts"],
        rows,
        words,
        sortable=True,
        searchable=True,
        note="Distances are relative to the norm of the recording's features.",
    )
    left_out = [*(file for file in found.files if file.match is None), *found.others]
    text = rendered(
        "matches.html",
        title=f"Matches of {counted(len(matched), 'recording')}",
        facts={
            "cache": cache,
            "not matched": f"{len(found.files) - len(matched):,}",
            "other files": f"{len(found.others):,}",
        },
        table=table,
        left_out=PageTable(
            "not matched",
            ["file", "reason"],
            [[Cell(f.name), Cell(f.refused)] for f in left_out],
            frozenset({0, 1}),
        )
        if left_out
        else None,
        recordings=[_heard(file) for file in matched],
    )
    return write_atomically(Path(path), text)


def _doubts(file: MatchedFile) -> str:
    assert file.match is not None
    return " ".join(file.match["warnings"])


def _heard(file: MatchedFile) -> Heard:
    assert file.match is not None
    assert file.folder is not None
    known = [(name, title, which) for name, title, which in _SOUNDS if (file.folder / f"{name}.wav").exists()]
    sounds, rate = [], 0
    for name, _, _ in known:
        samples, rate = soundfile.read(file.folder / f"{name}.wav", dtype="float32")
        sounds.append(torch.from_numpy(samples))
    players = []
    for (_, title, which), address in zip(known, data_uris(sounds, rate), strict=True):
        distance = None if which is None else file.relative(which)
        about = "" if distance is None else f"{percent(distance)} of the recording's features away"
        players.append(Player(title, about, f"{file.name}: {title}", address))
    values = ", ".join(
        f"{name} {value if isinstance(value, str) else physical(value, unit)}"
        for name, (value, unit) in file.values.items()
    )
    return Heard(file.name, file.match["warnings"], players, values)
