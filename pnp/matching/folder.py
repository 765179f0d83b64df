"""Match of a whole folder of recordings, which can be killed and run again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pnp._files import write_atomically
from pnp._progress import Bar
from pnp._text import counted
from pnp.errors import SynthesisError
from pnp.matching.recording import NotSoundError, load_recording
from pnp.matching.search import Search

__all__ = ["FolderMatch", "MatchedFile", "match_folder"]

SETTINGS, TABLE, MATCH = "settings.json", "table.csv", "match.json"


@dataclass(frozen=True)
class MatchedFile:
    """Outcome of one file of a folder.

    Attributes:
        name: Path below the folder.
        folder: Folder of its sounds, figure and JSON; None for a file that was not matched.
        match: Contents of `match.json`; None likewise.
        refused: Reason why it was not matched, in a sentence; empty for a match.
        is_sound: True for a sound file.
    """

    name: str
    folder: Path | None
    match: dict[str, Any] | None
    refused: str = ""
    is_sound: bool = True

    @property
    def values(self) -> dict[str, tuple[Any, str]]:
        """Value and unit of all that was found, by name: parameters, conditions that were searched, choices."""
        assert self.match is not None
        numbers = [*self.match["parameters"], *self.match["conditions"]]
        found = {p["name"]: (p["value"], p["unit"]) for p in numbers}
        return found | {choice["name"]: (choice["option"], "") for choice in self.match["choices"]}

    def relative(self, which: str) -> float | None:
        """Distance relative to the recording's features.

        Args:
            which: "before", "encoder" or "after".
        """
        distance = None if self.match is None else self.match[f"distance_{which}"]
        return None if self.match is None or distance is None else distance / self.match["target_norm"]


@dataclass(frozen=True)
class FolderMatch:
    """Outcome of a folder of recordings.

    Attributes:
        files: Sound files, in the order of their names: matched, or refused with a reason.
        others: Files that are no sound.
        table: Path of the table of comma-separated values.
    """

    files: tuple[MatchedFile, ...]
    others: tuple[MatchedFile, ...]
    table: Path

    @property
    def matched(self) -> tuple[MatchedFile, ...]:
        """Files that were matched."""
        return tuple(file for file in self.files if file.match is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON: matches as their `match.json` has them."""
        return {
            "matches": [file.match for file in self.matched],
            "refused": {file.name: file.refused for file in self.files if file.match is None},
            "others": [file.name for file in self.others],
            "table": str(self.table),
        }


def match_folder(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    search: Search,
    *,
    settings: dict[str, Any],
    allow_clipped: bool = False,
    progress: bool = False,
) -> FolderMatch:
    """Match every sound file below a folder; rerun it and it resumes.

    Each recording has a folder of its own below `out`, with what `MatchResult.save` writes. `match.json` is written
    last and whole, so that a killed run loses the recording in progress and no other. A recording that has changed
    since is matched again. The table is written after each recording.

    Args:
        folder: Folder with recordings, in folders of any depth.
        out: Folder of the results. Files below it are no recordings, so that it may lie within `folder`.
        search: Search, with its catalogue.
        settings: Everything that determines the results besides the recordings, JSON-able.
        allow_clipped: Accept clipped recordings.
        progress: Show a progress bar.

    Returns:
        Outcome of each file.

    Raises:
        NotADirectoryError: If there is no such folder.
        ValueError: If there is no sound file in it, or `out` holds matches with other settings.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder; expected a folder of recordings.")
    paths = sorted(_files(folder, out))
    if not paths:
        raise ValueError(f"{folder} holds no file; expected recordings.")
    out.mkdir(parents=True, exist_ok=True)
    _check_settings(out / SETTINGS, {**settings, "allow_clipped": allow_clipped})
    files: list[MatchedFile] = []
    bar = Bar(paths, desc="matching", unit="file", disable=not progress)
    for path in bar:
        name = path.relative_to(folder).as_posix()
        bar.set_postfix_str(name)
        files.append(_matched(path, name, out / name, search, allow_clipped))
        if files[-1].is_sound:
            _write_table(out / TABLE, files, search)
    sounds = tuple(file for file in files if file.is_sound)
    if not sounds:
        raise ValueError(
            f"{folder} holds no sound file that libsndfile reads among {counted(len(files), 'file')}; expected WAV, "
            "AIFF, FLAC, OGG or MP3."
        )
    return FolderMatch(sounds, tuple(file for file in files if not file.is_sound), out / TABLE)


def _files(folder: Path, out: Path) -> Iterator[Path]:
    """Yield the files below a folder, but for hidden ones and what an earlier run wrote."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and not path.resolve().is_relative_to(out.resolve()):
            yield path


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Keep the settings beside the results; refuse to go on with others."""
    ours = json.loads(json.dumps(settings))
    if not path.exists():
        write_atomically(path, json.dumps(ours, indent=2) + "\n")
        return
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is not what `pnp match` wrote; choose another folder with --out."
        ) from error
    # What an earlier version did not know was off.
    known = dict.fromkeys(ours, False) | theirs
    changed = [name for name in known if known[name] != ours.get(name)]
    if changed:
        name = changed[0]
        raise ValueError(
            f"{path.parent} holds matches with other settings: {name} was {known[name]!r}, got "
            f"{ours.get(name)!r}; run with the same ones, or choose another folder with --out."
        )


def _matched(path: Path, name: str, out: Path, search: Search, allow_clipped: bool) -> MatchedFile:
    """Match a file, or read what an earlier run found."""
    digest = _digest(path)
    try:
        earlier = json.loads((out / MATCH).read_text(encoding="utf-8"))
        if earlier.get("recording") == {"file": name, "sha256": digest}:
            return MatchedFile(name, out, earlier)
    except (OSError, ValueError):
        # Not there, or cut: matched again.
        pass
    try:
        recording = load_recording(path, allow_clipped=allow_clipped)
        result = search.match(replace(recording, name=name))
    except NotSoundError as error:
        return MatchedFile(name, None, None, str(error).replace(str(path), name), is_sound=False)
    except (ValueError, SynthesisError) as error:
        return MatchedFile(name, None, None, str(error).replace(str(path), name))
    found = {"recording": {"file": name, "sha256": digest}}
    result.save(out, found)
    return MatchedFile(name, out, {**found, **json.loads((out / MATCH).read_text(encoding="utf-8"))})


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return digest.hexdigest()


def _write_table(path: Path, files: list[MatchedFile], search: Search) -> None:
    """Write a line for each sound file: distances relative to its features, parameters, and reasons to doubt."""
    names = [name for name in search.catalogue.synth.space.column_names if name not in search.known]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["file", "nearest", "encoder", "match", "gain", "noise", *names, "evaluations", "seconds", "doubts"]
    )
    for file in files:
        if not file.is_sound:
            continue
        if file.match is None:
            writer.writerow([file.name, *[""] * (7 + len(names)), file.refused])
            continue
        found = file.match
        distances = [file.relative(which) for which in ("before", "encoder", "after")]
        values = [file.values[name][0] for name in names]
        last = [found["evaluations"], f"{found['seconds']:.2f}", " ".join(found["warnings"])]
        writer.writerow([file.name, *distances, found["gain"], found["noise"], *values, *last])
    write_atomically(path, text.getvalue())
