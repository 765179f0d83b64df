"""Checks that a cache is what was written: bytes by checksum, datasets against each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from pnp._text import counted
from pnp.store.header import read_header
from pnp.store.lock import lock_path
from pnp.store.moments import moments_of
from pnp.store.opening import open_cache
from pnp.store.schema import DAMAGE, FOLDS, CacheHeader, Status, digest_rows

# A chain of a few dozen float64 operations, and the same after J was rounded to what it is kept in.
EXACT = 1e-12
_NO_SEAL = "there is no seal"
_ROUNDED = {"float64": 1e-10, "float32": 1e-5, "float16": 3e-3}


@dataclass(frozen=True)
class IntegrityReport:
    """Result of checking a cache.

    Args:
        path: The cache.
        n_rows: Rows of the file.
        n_pending: Rows whose block has never been sealed.
        n_failed: Rows whose sound failed.
        problems: One sentence for each thing that is wrong.
        n_recomputed: Rows that were computed again and compared.
        derivatives: Kind and steps of the derivatives, in words; empty where the file does not say.
    """

    path: Path
    n_rows: int
    n_pending: int
    n_failed: int
    problems: tuple[str, ...]
    n_recomputed: int = 0
    derivatives: str = ""

    @property
    def ok(self) -> bool:
        """True if nothing is wrong; rows still to be computed are no fault."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return asdict(self) | {"path": str(self.path), "problems": list(self.problems), "ok": self.ok}

    def __str__(self) -> str:
        done = self.n_rows - self.n_pending
        recomputed = f", {self.n_recomputed} recomputed" if self.n_recomputed else ""
        sound = "intact" if not self.n_pending else "intact so far" if done else "nothing to check yet"
        verdict = sound if self.ok else counted(len(self.problems), "problem")
        lines = [f"{self.path}: {done} of {self.n_rows} rows, {self.n_failed} failed{recomputed}: {verdict}"]
        if self.derivatives:
            lines.append(f"  derivatives: {self.derivatives}")
        return "\n".join(lines + [f"  {problem}" for problem in self.problems])


def check_integrity(path: str | os.PathLike[str]) -> IntegrityReport:
    """Check every block's checksums and the relations between the datasets.

    Args:
        path: The cache.

    Returns:
        Report with all problems, not only the first.

    Raises:
        FileNotFoundError: If there is no such file.
        CacheError: If it is not a metric cache, or its header cannot be read.
    """
    problems: list[str] = []
    n_pending = n_failed = 0
    unsealed: list[int] = []
    with open_cache(path) as file:
        header = read_header(file, str(path))
        problems += _attribute_problems(header, file)
        merged = file["seal"].is_virtual
        for block in range(header.n_blocks):
            rows = header.rows(block)
            where = f"rows {rows.start} to {rows.stop - 1}"
            try:
                sealed = file["seal"][block].any()
                if not sealed and not merged and not file["checksum"][block].any():
                    n_pending += rows.stop - rows.start
                    continue
                columns = {
                    column.name: file[column.name][header.part(column, block)] for column in header.digested
                }
                damage = list(_checksum_problems(header, file, block, columns))
            except DAMAGE as error:
                sealed, damage = True, [f"cannot be read ({error})"]
            if not sealed and not merged:
                # A writer that was killed leaves one such block, whose checksums may be there already.
                n_pending += rows.stop - rows.start
                unsealed += [block] if damage == [_NO_SEAL] else []
                continue
            if damage:
                # What does not even have its checksum need not be looked at any further.
                problems += [f"{where}: {problem}" for problem in damage]
                continue
            n_failed += int((columns["status"] != Status.OK).sum())
            problems += [f"{where}: {problem}" for problem in _relation_problems(header, columns)]
    problems += _lost_seals(Path(path), header, unsealed, n_pending)
    return IntegrityReport(Path(path), header.n_rows, n_pending, n_failed, tuple(problems))


def _lost_seals(path: Path, header: CacheHeader, unsealed: list[int], n_pending: int) -> Iterator[str]:
    """Tell a file whose seals were lost from one whose last block a writer was killed in, or is just writing."""
    rows = [header.rows(block) for block in unsealed]
    all_there = bool(unsealed) and sum(one.stop - one.start for one in rows) == n_pending
    if len(unsealed) > 1 or (all_there and not lock_path(path).exists()):
        yield (
            f"{counted(len(unsealed), 'block')}, from rows {rows[0].start} to {rows[0].stop - 1}: all their "
            "numbers match their checksums, and they have no seal; seals were lost. Run the command that made the file "
            "again, which computes them once more."
        )


def _attribute_problems(header: CacheHeader, file: h5py.File) -> Iterator[str]:
    for name, expected in header.attributes().items():
        found = file.attrs.get(name)
        listed = np.asarray(found).tolist()
        decoded = [
            item.decode(errors="replace") if isinstance(item, bytes) else item
            for item in np.ravel(listed).tolist()
        ]
        if found is None or decoded != np.ravel(np.asarray(expected, dtype=object)).tolist():
            yield f"attribute {name!r} contradicts the configuration"


def _checksum_problems(
    header: CacheHeader, file: h5py.File, block: int, columns: dict[str, np.ndarray]
) -> Iterator[str]:
    checksums, seal = file["checksum"][block], file["seal"][block]
    if not np.array_equal(seal, header.seal(block, checksums)):
        yield "the seal does not match the checksums" if seal.any() else _NO_SEAL
    for column, checksum in zip(header.digested, checksums, strict=True):
        if not np.array_equal(digest_rows(columns[column.name]), checksum):
            yield f"dataset {column.name!r} does not match its checksum"


def _relation_problems(header: CacheHeader, columns: dict[str, np.ndarray]) -> Iterator[str]:
    u, theta = torch.from_numpy(columns["u"]), torch.from_numpy(columns["theta"])
    expected_theta = header.space.from_unit(u)
    if not bool((u.abs() <= 1).all()):
        yield "u leaves [-1, 1]"
    elif not torch.allclose(theta, expected_theta, rtol=EXACT, atol=0):
        yield "theta is not the physical value of u"
    yield from _discrete_problems(header, columns)
    if not np.isin(columns["fold"], range(len(FOLDS))).all():
        yield "fold is none of 0, 1, 2"
    if not np.isin(columns["status"], [status for status in Status if status != Status.PENDING]).all():
        yield "status is none that a computed row can have"
    ok = columns["status"] == Status.OK
    if ((columns["reason"] != b"") == ok).any():
        yield "a row that failed lacks a reason, or one that did not has one"
    if len(columns.get("moments", ())):
        yield from _moment_problems(header, columns)
    numbers = [name for name in ("S", "J", "M", "R", "sigma", "choice_distances") if name in columns]
    if any(not np.isfinite(columns[name][ok]).all() for name in numbers):
        yield "a row that is ok has a number that is not finite"
    elif ok.any():
        yield from _metric_problems(header, {name: torch.from_numpy(columns[name][ok]) for name in numbers})


def _discrete_problems(header: CacheHeader, columns: dict[str, np.ndarray]) -> Iterator[str]:
    """Problems of choices and conditions, each told by the range of its parameter."""
    ok, column = columns["status"] == Status.OK, 0
    for place, choice in enumerate(header.space.choices):
        options, true = len(choice.choices), columns["choices"][:, place]
        distances = columns["choice_distances"][ok, column : column + options]
        column += options
        if not np.isin(true, range(options)).all():
            yield f"choice {choice.name!r} is none of its {options} options"
        elif (distances < 0).any() or distances[np.arange(len(distances)), true[ok]].any():
            yield f"distances of choice {choice.name!r} are not zero at the true option and positive elsewhere"
    for place, condition in enumerate(header.space.conditions):
        values = columns["conditions"][:, place]
        slack = EXACT * max(abs(condition.low), abs(condition.high))
        if not ((values >= condition.low - slack) & (values <= condition.high + slack)).all():
            yield f"condition {condition.name!r} leaves its range"


def _moment_problems(header: CacheHeader, columns: dict[str, np.ndarray]) -> Iterator[str]:
    found, counted_in = columns["moments"][0], (columns["status"] == Status.OK) & (columns["fold"] == 0)
    if not np.isfinite(found).all() or found[0] != counted_in.sum() or found[1] < 0:
        yield "moments are not those of the block's training sounds"
    elif "S" in columns and counted_in.any():
        features = columns["S"].astype(np.float64)
        scale = np.linalg.norm(features[counted_in], axis=1).max()
        if (
            np.linalg.norm(moments_of(features, counted_in)[2:] - found[2:])
            > 2 * _ROUNDED[header.dtype] * scale
        ):
            yield "moments are not those of S"


def _metric_problems(header: CacheHeader, columns: dict[str, torch.Tensor]) -> Iterator[str]:
    M, R, sigma = columns["M"], columns["R"], columns["sigma"]
    scale = torch.linalg.matrix_norm(R)
    if bool(R.tril(-1).any()) or bool((R.diagonal(dim1=-2, dim2=-1) < 0).any()):
        yield "R is not upper triangular with a non-negative diagonal"
    if bool((torch.linalg.matrix_norm(R.mT @ R - M) > EXACT * scale.square()).any()):
        yield "M is not R^T R"
    if bool((sigma.diff(dim=-1) > 0).any()) or bool((sigma < 0).any()):
        yield "sigma is not descending"
    if bool(((torch.linalg.svdvals(R) - sigma).abs().amax(-1) > EXACT * scale).any()):
        yield "sigma are not the singular values of R"
    if "J" in columns:
        J = columns["J"].double()
        if bool((torch.linalg.matrix_norm(J.mT @ J - M) > _ROUNDED[header.dtype] * scale.square()).any()):
            yield "M is not J^T J"
