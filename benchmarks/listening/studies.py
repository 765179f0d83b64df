"""Studies: sounds, and how different listeners found each pair of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

__all__ = ["Study", "StudyError", "read_studies"]

_SUFFIXES = (".aif", ".aiff", ".flac", ".wav")


class StudyError(Exception):
    """Study that cannot be used, with the reason in one sentence."""


@dataclass(frozen=True)
class Study:
    """Sounds and mean dissimilarity ratings of one published experiment.

    Args:
        name: Name of its folder. Studies of one publication share what comes before the underscore.
        sounds: Sounds in alphabetical order, shape (n, N), shorter ones followed by zeros.
        ratings: Symmetric matrix of dissimilarities, shape (n, n), divided by the largest.
        sample_rate: In Hz.
        recordings: The same sounds, whole and at their own levels.
    """

    name: str
    sounds: Tensor
    ratings: np.ndarray
    sample_rate: int
    recordings: tuple[np.ndarray, ...]

    @property
    def publication(self) -> str:
        """Publication that the study is part of."""
        return self.name.partition("_")[0]

    @property
    def lengths(self) -> tuple[int, int]:
        """Lengths of the recordings in samples, the shortest and the longest."""
        lengths = [len(x) for x in self.recordings]
        return min(lengths), max(lengths)

    def digest(self) -> str:
        """Short hash of sounds and ratings, by which a kept result is known to be of the same data."""
        content = self.sounds.numpy().tobytes() + self.ratings.tobytes()
        return hashlib.sha256(content).hexdigest()[:16]


def read_studies(folder: Path, n_samples: int, level: float) -> list[Study]:
    """Read `ratings/STUDY.txt` and `sounds/STUDY/`, for every study of a folder.

    Args:
        folder: Folder of the data.
        n_samples: Sounds are cut to this length, and shorter ones padded with zeros.
        level: Root mean square that each sound is brought to before padding.

    Returns:
        Studies in alphabetical order.

    Raises:
        StudyError: If a study is incomplete, or its sounds and ratings do not belong together.
    """
    for part in ("ratings", "sounds"):
        if not (folder / part).is_dir():
            raise StudyError(
                f"{folder} has no folder `{part}`; expected ratings/STUDY.txt and sounds/STUDY/*.aiff."
            )
    names = sorted(path.stem for path in (folder / "ratings").glob("*.txt"))
    if not names:
        raise StudyError(f"{folder / 'ratings'} has no ratings; expected a file STUDY.txt for each study.")
    unrated = {path.name for path in (folder / "sounds").iterdir() if path.is_dir()} - set(names)
    if unrated:
        raise StudyError(
            f"{folder / 'sounds'} has sounds of {', '.join(sorted(unrated))}, but there are no ratings of them; "
            "add ratings/STUDY.txt or remove the folder."
        )
    studies = [_read_study(folder, name, n_samples, level) for name in names]
    first = studies[0]
    for study in studies:
        if study.sample_rate != first.sample_rate:
            raise StudyError(
                f"Study {study.name} is at {study.sample_rate} Hz and {first.name} at {first.sample_rate} Hz; "
                "expected one rate for all studies. Resample one of them."
            )
    return studies


def _read_study(folder: Path, name: str, n_samples: int, level: float) -> Study:
    paths = sorted(p for p in (folder / "sounds" / name).glob("*") if p.suffix.lower() in _SUFFIXES)
    if not paths:
        raise StudyError(
            f"Study {name} has ratings but no sounds; expected {', '.join(_SUFFIXES)} files in "
            f"{folder / 'sounds' / name}."
        )
    ratings = _ratings(folder / "ratings" / f"{name}.txt", len(paths))
    recordings = [_recording(path) for path in paths]
    rate = recordings[0][1]
    for path, (_, other) in zip(paths, recordings, strict=True):
        if other != rate:
            raise StudyError(
                f"{path} is at {other} Hz and {paths[0].name} of the same study at {rate} Hz; expected one rate. "
                "Resample one of them."
            )
    sounds = np.zeros((len(paths), n_samples))
    for row, path, (x, _) in zip(sounds, paths, recordings, strict=True):
        x = x[:n_samples]
        size = float(np.sqrt(np.mean(x**2)))
        if size == 0:
            raise StudyError(
                f"The first {n_samples:,} samples of {path} are silent; expected a sound to be compared."
            )
        row[: len(x)] = x * (level / size)
    return Study(name, torch.from_numpy(sounds).float(), ratings, rate, tuple(x for x, _ in recordings))


def _recording(path: Path) -> tuple[np.ndarray, int]:
    try:
        x, rate = soundfile.read(path, dtype="float64")
    except soundfile.LibsndfileError as error:
        raise StudyError(f"{path} cannot be read as a sound: {error}") from error
    if x.ndim != 1:
        raise StudyError(
            f"{path} has {x.shape[1]} channels; expected one. Mix it as listeners heard it, then save it again."
        )
    if not len(x) or not np.isfinite(x).all():
        raise StudyError(f"{path} has {len(x)} samples, not all of them finite; expected a sound.")
    return x, rate


def _ratings(path: Path, n_sounds: int) -> np.ndarray:
    """Symmetric matrix from a triangle or from a whole matrix."""
    try:
        matrix = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise StudyError(f"{path} is not a matrix of numbers: {error}") from error
    if matrix.shape != (n_sounds, n_sounds):
        rows, columns = matrix.shape
        raise StudyError(
            f"{path} is {rows} by {columns}, but study {path.stem} has {n_sounds} sounds; expected a row and a column "
            "for each sound in alphabetical order. A sound or a rating may be missing."
        )
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise StudyError(f"{path} has ratings that are negative or not finite; expected dissimilarities.")
    upper, lower = np.triu(matrix, 1), np.tril(matrix, -1).T
    if upper.any() and lower.any() and not np.allclose(upper, lower):
        raise StudyError(
            f"{path} is not symmetric; expected one triangle, or the mean of both orders of a pair."
        )
    half = upper if upper.any() else lower
    if not half.any():
        raise StudyError(f"{path} has no rating above 0; expected dissimilarities.")
    whole: np.ndarray = (half + half.T) / half.max()
    return whole
