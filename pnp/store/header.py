"""Reading of a header, every field checked before anything is computed from it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn

import h5py
import numpy as np

from pnp.errors import CacheCorrupt
from pnp.parameters import ParameterSpace
from pnp.store.schema import DAMAGE, DTYPES, SCHEMA_VERSION, CacheHeader

# Far beyond any cache, and far within the integers that arrays are measured in.
_MOST = 2**40

# The best that deflate can do.
_MOST_COMPRESSION = 1040

_TOO_FEW_BYTES = (
    "{path}: dataset {name!r} claims more rows than the file has bytes for; it was edited or damaged."
)

# What parsing raises beside the errors of reading: nesting without end, numbers without end.
_MALFORMED = (*DAMAGE, RecursionError, OverflowError, ArithmeticError, MemoryError)


def read_header(file: h5py.File, path: str) -> CacheHeader:
    """Read the header of an open cache of this schema.

    Args:
        file: The open file.
        path: Its name, for messages.

    Returns:
        Header whose fields agree with each other and with the datasets.

    Raises:
        CacheCorrupt: If a field or a dataset is missing or has an impossible value, or they contradict each other;
            the message names the field.
    """
    fields = _Fields(file, path)
    config = fields.mapping("config")
    versions, date = fields.mapping("versions"), fields.text("date")
    try:
        header = CacheHeader(
            space=_space(fields, config),
            n_rows=fields.rows(),
            n_features=fields.configured(config, "n_features", "a whole number from 1", _is_count),
            block=fields.configured(config, "block", "a whole number from 1", _is_count),
            store=tuple(fields.configured(config, "store", "a list of 'S', 'J', both or none", _is_store)),
            dtype=fields.configured(config, "dtype", f"one of {', '.join(DTYPES)}", _is_dtype),
            config=config,
            versions=versions,
            date=date,
            first_row=fields.integers("first_row", 1)[0],
            shard=(fields.integers("shard", 2)[0], fields.integers("shard", 2)[1]),
            schema_version=fields.integers("schema_version", 1)[0],
            # Files of earlier versions do not say.
            derivatives=fields.mapping("derivatives") if "derivatives" in file.attrs else {},
        )
        fingerprint = header.fingerprint
    except _MALFORMED as error:
        if isinstance(error, CacheCorrupt):
            raise
        raise CacheCorrupt(f"{path}: its header cannot be read ({_brief(error)}); it is damaged.") from error
    for name in ("synthesizer", "features"):
        fields.configured(config, name, "a mapping", _is_mapping)
    fields.configured(config, "size", "a whole number from 1", _is_count)
    fields.configured(config, "seed", "a whole number from 0 to 2⁶³ - 1", _is_seed)
    for name, expected, accepts in _OPTIONAL:
        if name in config:
            fields.configured(config, name, expected, accepts)
    if fingerprint != fields.text("fingerprint"):
        raise CacheCorrupt(
            f"{path}: its configuration does not match its fingerprint; it was edited or damaged."
        )
    _check_place(fields, header)
    _check_datasets(file, path, header)
    return header


class _Fields:
    """Fields of an open file, read one by one, each with a sentence for what it may not be."""

    def __init__(self, file: h5py.File, path: str) -> None:
        self._file = file
        self._path = path

    def refuse(self, name: str, expected: str, got: Any) -> NoReturn:
        raise CacheCorrupt(
            f"{self._path}: field {name!r} of its header must be {expected}, got {_brief(got)}; "
            "it was edited or damaged."
        )

    def _unreadable(self, name: str, error: Exception) -> CacheCorrupt:
        return CacheCorrupt(f"{self._path}: field {name!r} of its header cannot be read ({_brief(error)}).")

    def text(self, name: str) -> str:
        try:
            value = self._file.attrs[name]
            return value.decode() if isinstance(value, bytes) else str(value)
        except DAMAGE as error:
            raise CacheCorrupt(
                f"{self._path}: field {name!r} of its header cannot be read ({_brief(error)})."
            ) from error

    def mapping(self, name: str) -> dict[str, Any]:
        text = self.text(name)
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except _MALFORMED as error:
            self.refuse(name, f"JSON ({_brief(error)})", text)
        if not isinstance(value, dict):
            self.refuse(name, "a mapping", value)
        return value

    def integers(self, name: str, count: int) -> list[int]:
        """Whole numbers of an attribute, as many as there must be."""
        try:
            value = np.asarray(self._file.attrs[name])
        except DAMAGE as error:
            raise CacheCorrupt(
                f"{self._path}: field {name!r} of its header cannot be read ({_brief(error)})."
            ) from error
        if value.dtype.kind not in "iu" or value.size != count:
            self.refuse(name, "a whole number" if count == 1 else f"{count} whole numbers", value.tolist())
        return [int(number) for number in value.ravel()]

    def configured(
        self, config: dict[str, Any], name: str, expected: str, accepts: Callable[[Any], bool]
    ) -> Any:
        if name not in config:
            raise CacheCorrupt(
                f"{self._path}: its header lacks the field 'config.{name}', {expected}; it was edited or damaged."
            )
        if not accepts(config[name]):
            self.refuse(f"config.{name}", expected, config[name])
        return config[name]

    def rows(self) -> int:
        try:
            ids = self._file["id"]
            shape: tuple[int, ...] = tuple(ids.shape or ())
            bytes_there = _most_bytes(ids)
        except DAMAGE as error:
            raise CacheCorrupt(f"{self._path}: dataset 'id' cannot be opened ({_brief(error)}).") from error
        if len(shape) != 1 or not 1 <= shape[0] <= _MOST:
            raise CacheCorrupt(
                f"{self._path}: dataset 'id' must have a row for each sound, got shape {shape}."
            )
        # Before memory is taken for what is not there.
        if bytes_there < 8 * shape[0]:
            raise CacheCorrupt(_TOO_FEW_BYTES.format(path=self._path, name="id"))
        return int(shape[0])


def _space(fields: _Fields, config: dict[str, Any]) -> ParameterSpace:
    described = fields.configured(config, "space", "a mapping", _is_mapping)
    try:
        return ParameterSpace.from_dict(described)
    except _MALFORMED as error:
        fields.refuse("config.space", f"a parameter space ({_brief(error)})", described)


def _check_place(fields: _Fields, header: CacheHeader) -> None:
    """Check where the file lies in the design."""
    if fields.integers("block", 1)[0] != header.block:
        fields.refuse("block", f"{header.block} as in the configuration", fields.integers("block", 1)[0])
    if not 1 <= header.schema_version <= SCHEMA_VERSION:
        fields.refuse("schema_version", f"from 1 to {SCHEMA_VERSION}", header.schema_version)
    part, parts = header.shard
    if not 0 <= part < parts:
        fields.refuse("shard", "part i of n with 0 <= i < n", list(header.shard))
    size = int(header.config["size"])
    if header.first_row % header.block or not 0 <= header.first_row <= size - header.n_rows:
        expected = f"the first row of a block, with {header.n_rows} rows before row {size} of the design"
        fields.refuse("first_row", expected, header.first_row)
    if parts == 1 and header.n_rows != size:
        fields.refuse("config.size", f"the number of rows, {header.n_rows}", size)


def _check_datasets(file: h5py.File, path: str, header: CacheHeader) -> None:
    for column in header.datasets:
        shape, dtype = (header.length(column), *column.shape), np.dtype(column.dtype)
        try:
            found = file[column.name]
            got = f"{found.dtype} {found.shape}"
            fits = found.shape == shape and found.dtype == dtype
            bytes_there = _most_bytes(found)
        except DAMAGE as error:
            raise CacheCorrupt(
                f"{path}: dataset {column.name!r} cannot be opened ({_brief(error)})."
            ) from error
        if not fits:
            raise CacheCorrupt(f"{path}: dataset {column.name!r} must be {dtype} {shape}, got {got}.")
        if bytes_there < shape[0] * column.row_bytes:
            raise CacheCorrupt(_TOO_FEW_BYTES.format(path=path, name=column.name))


def _most_bytes(dataset: h5py.Dataset) -> float:
    """Bytes that a dataset can have: those in the file, unpacked; any number for a virtual one."""
    return math.inf if dataset.is_virtual else _MOST_COMPRESSION * dataset.id.get_storage_size()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _brief(value: Any) -> str:
    text = " ".join((str(value) if isinstance(value, Exception) else repr(value)).split())
    return text if len(text) <= 120 else f"{text[:119]}…"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_whole(value) and 1 <= value <= _MOST


def _is_seed(value: Any) -> bool:
    return _is_whole(value) and 0 <= value < 2**63


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_store(value: Any) -> bool:
    return isinstance(value, list) and value in ([], ["S"], ["J"], ["S", "J"])


def _is_dtype(value: Any) -> bool:
    return isinstance(value, str) and value in DTYPES


# Fields that the store itself does without, but other stages read.
_OPTIONAL: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("precision", "'float32' or 'float64'", lambda value: value in ("float32", "float64")),
    ("device", "text", _is_text),
    ("method", "text", _is_text),
    ("u_sha256", "text", _is_text),
    ("derivatives", "a mapping", _is_mapping),
)
