"""Datasets and attributes of a cache file: names, types, shapes, units."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any

import h5py
import numpy as np

from pnp.errors import CacheConfigMismatch
from pnp.parameters import Parameter, ParameterSpace
from pnp.store.moments import has_moments
from pnp.store.provenance import canonical_json, differences, fingerprint

SCHEMA_NAME = "pnp-metric-cache"
# 2: S and J may be float16, and a finished file may be compressed. 3: moments of the features, and what a space with
# choices or conditions needs.
SCHEMA_VERSION = 3
_WITH_MOMENTS = 3
FOLDS = ("train", "validation", "test")

# Long enough for an exception's name and first clause. A fixed length, because HDF5 keeps variable-length
# text on a heap whose bookkeeping changes with every write; see pnp/store/writer.py.
REASON_BYTES = 128

# How "S" and "J" may be kept; everything else is float64 always.
DTYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}

STORE_LEVELS: dict[str, tuple[str, ...]] = {"metric": (), "features": ("S",), "jacobian": ("S", "J")}

# What h5py raises when HDF5 finds its metadata damaged, depending on where it does.
DAMAGE = (KeyError, OSError, RuntimeError, ValueError, TypeError, AttributeError)

# Datasets whose numbers follow from the design.
_KNOWN = ("id", "fold", "theta", "u", "choices", "conditions")

_CHUNK_BYTES = 65536
_DIGEST_BYTES = hashlib.sha256().digest_size


class Status(IntEnum):
    """State of one row; everything from `EXCEPTION` on is a failure."""

    PENDING = 0
    OK = 1
    EXCEPTION = 2
    NOT_FINITE = 3
    SILENT = 4
    ZERO_JACOBIAN = 5
    CLIPPED = 6


@dataclass(frozen=True)
class Column:
    """One dataset: a row for each sound, or for each block.

    Args:
        name: Name of the dataset.
        dtype: NumPy type string, little-endian.
        shape: Shape of one row.
        unit: Physical unit, or "1".
        description: Meaning, in a phrase.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    unit: str
    description: str

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class CacheHeader:
    """Size and provenance of a cache, known before its first sound.

    Args:
        space: Parameter space, P parameters.
        n_rows: Rows in this file.
        n_features: Coefficients C of the feature map.
        block: Rows in a block, the unit of work, of checksums and of resuming.
        store: Those of "S" and "J" that are kept.
        dtype: Type in which "S" and "J" are kept: "float16", "float32" or "float64".
        config: Everything that determines the numbers; JSON-able.
        first_row: Row of the whole design at which this file begins; a multiple of `block`.
        shard: Pair (i, n): the file is part i of n of the whole design.
        schema_version: Version of the schema by which the file was begun.
        derivatives: Kind and steps of the derivatives; JSON-able, empty in files of earlier versions.
        versions: Library versions at creation.
        date: Date of creation, ISO 8601, UTC.
    """

    space: ParameterSpace
    n_rows: int
    n_features: int
    block: int
    store: tuple[str, ...]
    dtype: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    date: str
    first_row: int = 0
    shard: tuple[int, int] = (0, 1)
    schema_version: int = SCHEMA_VERSION
    derivatives: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_blocks(self) -> int:
        """Number of blocks; the last may be shorter."""
        return -(-self.n_rows // self.block)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON of `config`."""
        return fingerprint(self.config)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Datasets with a row for each sound, in the order of the checksums."""
        p, c, space = len(self.space), self.n_features, self.space
        sample = DTYPES[self.dtype]
        described = [
            Column("id", "<i8", (), "1", "row of the whole design"),
            Column("fold", "|i1", (), "1", "0 train, 1 validation, 2 test"),
            Column("theta", "<f8", (p,), "see parameter_units", "physical parameters"),
            Column("u", "<f8", (p,), "1", "parameters scaled to [-1, 1]"),
            Column("choices", "<i8", (len(space.choices),), "1", "positions of the true options"),
            Column(
                "conditions", "<f8", (len(space.conditions),), "see condition_units", "physical conditions"
            ),
            Column("S", sample, (c,), "1", "features of the sound"),
            Column("J", sample, (c, p), "1", "Jacobian dS/du"),
            Column("M", "<f8", (p, p), "1", "metric J^T J"),
            Column("R", "<f8", (p, p), "1", "upper-triangular factor of the metric, M = R^T R"),
            Column("sigma", "<f8", (p,), "1", "singular values of J, descending"),
            Column("choice_distances", "<f8", (self.n_options,), "1", "||S' - S||^2 with each option"),
            Column("status", "|i1", (), "1", ", ".join(f"{s.value} {s.name.lower()}" for s in Status)),
            Column("reason", f"|S{REASON_BYTES}", (), "", "why the sound failed, UTF-8, empty if it did not"),
        ]
        absent = {"S", "J"} - set(self.store)
        if not space.choices:
            absent |= {"choices", "choice_distances"}
        if not space.conditions:
            absent.add("conditions")
        return tuple(column for column in described if column.name not in absent)

    @cached_property
    def known(self) -> tuple[Column, ...]:
        """Datasets that are known before the first sound: they follow from the design."""
        return tuple(column for column in self.columns if column.name in _KNOWN)

    @cached_property
    def n_options(self) -> int:
        """Number of options of all choices together."""
        return sum(len(choice.choices) for choice in self.space.choices)

    @cached_property
    def summaries(self) -> tuple[Column, ...]:
        """Datasets with a row for each block that keeps its moments."""
        if self.schema_version < _WITH_MOMENTS:
            return ()
        what = "number, scatter and mean of the features of the block's training sounds"
        return (Column("moments", "<f4", (2 + self.n_features,), "1", what),)

    @cached_property
    def digested(self) -> tuple[Column, ...]:
        """Datasets that hold numbers, in the order of the checksums."""
        return self.columns + self.summaries

    @cached_property
    def datasets(self) -> tuple[Column, ...]:
        """All datasets of the file."""
        return self.digested + self.bookkeeping

    @cached_property
    def bookkeeping(self) -> tuple[Column, ...]:
        """Datasets with a row for each block that say if the numbers are there and right."""
        return (
            Column(
                "checksum",
                "|u1",
                (len(self.digested), _DIGEST_BYTES),
                "",
                "SHA-256 of the block's rows of each dataset",
            ),
            Column(
                "seal", "|u1", (_DIGEST_BYTES,), "", "SHA-256 over the block's checksums; zeros: not done"
            ),
        )

    def rows(self, block: int) -> slice:
        """Rows of this file that belong to a block."""
        return slice(block * self.block, min((block + 1) * self.block, self.n_rows))

    @property
    def first_block(self) -> int:
        """Number that the first block of this file has in the design."""
        return self.first_row // self.block

    @cached_property
    def _with_moments(self) -> np.ndarray:
        numbers = np.arange(self.first_block, self.first_block + self.n_blocks)
        return np.flatnonzero(has_moments(numbers, -(-int(self.config["size"]) // self.block)))

    def length(self, column: Column) -> int:
        """Rows of a dataset."""
        if column.name == "moments":
            return len(self._with_moments)
        return self.n_blocks if column.name in ("checksum", "seal") else self.n_rows

    def part(self, column: Column, block: int) -> slice:
        """Rows of a dataset that belong to a block."""
        if column.name == "moments":
            start, stop = np.searchsorted(self._with_moments, (block, block + 1))
            return slice(int(start), int(stop))
        return slice(block, block + 1) if column.name in ("checksum", "seal") else self.rows(block)

    def starts(self, column: Column) -> np.ndarray:
        """First row of each block in a dataset, and the end of the last: `part` for all blocks."""
        edges = np.arange(self.n_blocks + 1)
        if column.name == "moments":
            return np.searchsorted(self._with_moments, edges)
        return edges if column.name in ("checksum", "seal") else np.minimum(edges * self.block, self.n_rows)

    def chunk_rows(self, column: Column) -> int:
        """Rows of a chunk: whole blocks, as many as make it worth a read."""
        step = self.block if column in self.columns else 1
        steps = max(1, _CHUNK_BYTES // max(1, column.row_bytes * step))
        return self.n_blocks if column in self.bookkeeping else min(self.length(column), steps * step)

    def seal(self, block: int, checksums: np.ndarray) -> np.ndarray:
        """Digest that marks a block as done: of fingerprint, place in the design and checksums."""
        digest = hashlib.sha256(f"{self.fingerprint}:{self.first_block + block}:".encode())
        digest.update(np.ascontiguousarray(checksums).tobytes())
        return np.frombuffer(digest.digest(), np.uint8)

    def attributes(self) -> dict[str, Any]:
        """Attributes of the file's root group."""
        attributes: dict[str, Any] = {
            "schema": SCHEMA_NAME,
            "schema_version": self.schema_version,
            "fingerprint": self.fingerprint,
            "config": canonical_json(self.config),
            "synthesizer": canonical_json(self.config["synthesizer"]),
            "features": canonical_json(self.config["features"]),
            **_described("parameter", self.space),
            "seed": int(self.config["seed"]),
            "block": self.block,
            "first_row": self.first_row,
            "shard": list(self.shard),
            "versions": canonical_json(self.versions),
            "date": self.date,
        }
        if self.derivatives:
            attributes["derivatives"] = canonical_json(self.derivatives)
        if self.space.choices:
            # In the order of the columns of "choice_distances".
            attributes["choice_names"] = [choice.name for choice in self.space.choices]
            attributes["choice_options"] = [
                f"{choice.name}: {option}" for choice in self.space.choices for option in choice.choices
            ]
        if self.space.conditions:
            attributes |= _described("condition", self.space.conditions)
        return attributes

    def check_same(self, stored: CacheHeader, path: str) -> None:
        """Refuse to continue a file that another configuration began.

        Raises:
            CacheConfigMismatch: If the configuration or the shard differs; the message names the fields.
        """
        found = differences(
            {**stored.config, "shard": list(stored.shard)}, {**self.config, "shard": list(self.shard)}
        )
        if len(found) > 1:
            # The hash of the design follows from what it was drawn with; alone, it tells two given designs apart.
            found = [field for field in found if not field.startswith("u_sha256")]
        if found:
            raise CacheConfigMismatch(
                f"{path} was made with another configuration ({'; '.join(found)}); "
                "choose another file, or delete this one to start over."
            )


def _described(prefix: str, parameters: Iterable[Parameter]) -> dict[str, list[Any]]:
    """Attributes that describe parameters, a list of values each."""
    fields = ("name", "unit", "scale", "low", "high")
    return {f"{prefix}_{field}s": [getattr(p, field) for p in parameters] for field in fields}


def digest_rows(rows: np.ndarray) -> np.ndarray:
    """SHA-256 of the bytes of some rows of a column."""
    return np.frombuffer(hashlib.sha256(np.ascontiguousarray(rows).tobytes()).digest(), np.uint8)


def done_blocks(header: CacheHeader, seals: np.ndarray, checksums: np.ndarray) -> set[int]:
    """Blocks whose seal is in place and matches their checksums.

    Args:
        header: Header of the cache.
        seals: Seals of all blocks, (blocks, 32).
        checksums: Checksums of all blocks, (blocks, datasets, 32).

    Returns:
        Numbers of the blocks in the file.
    """
    return {
        int(block)
        for block in np.flatnonzero(seals.any(axis=1))
        if np.array_equal(seals[block], header.seal(int(block), checksums[block]))
    }


def cache_bytes(header: CacheHeader) -> int:
    """Bytes that a file will take, to within a few kilobytes of attributes."""
    total = 0
    for column in header.datasets:
        chunk = max(1, header.chunk_rows(column))
        total += -(-header.length(column) // chunk) * chunk * column.row_bytes
    return total


def stored_columns(store: str | Sequence[str]) -> tuple[str, ...]:
    """Return which of "S" and "J" to keep, from a level ("metric", "features", "jacobian") or from their names.

    Raises:
        ValueError: If a name is neither.
    """
    if isinstance(store, str):
        if store not in STORE_LEVELS:
            raise ValueError(f"store must be one of {', '.join(map(repr, STORE_LEVELS))}, got {store!r}")
        return STORE_LEVELS[store]
    unknown = [name for name in store if name not in ("S", "J")]
    if unknown:
        raise ValueError(f"store must hold 'S', 'J', both or none, got {unknown[0]!r}")
    return tuple(name for name in ("S", "J") if name in store)


def write_attributes(target: h5py.Group | h5py.Dataset, attributes: Mapping[str, Any]) -> None:
    """Write attributes with text of fixed length, which lies inside HDF5's checksummed object headers."""
    for name, value in attributes.items():
        texts = [value] if isinstance(value, str) else value
        if isinstance(texts, list) and texts and isinstance(texts[0], str):
            encoded = [text.encode() for text in texts]
            kind = h5py.string_dtype("utf-8", max(1, *(len(text) for text in encoded)))
            data = np.array(encoded, dtype=kind)
            target.attrs.create(name, data[0] if isinstance(value, str) else data, dtype=kind)
        else:
            target.attrs.create(name, value)


def write_description(dataset: h5py.Dataset, column: Column, header: CacheHeader) -> None:
    """Write unit and meaning of a dataset into its attributes."""
    write_attributes(dataset, {"unit": column.unit, "description": column.description})
    if column.name == "checksum":
        write_attributes(dataset, {"columns": [c.name for c in header.digested]})
