"""A header with any field gone wrong ends in a sentence that names file and field, or changes nothing that is used."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from caches import make

from pnp.errors import CacheCorrupt, CacheError
from pnp.store import CacheHeader, MetricCache, check_integrity, merge
from pnp.store.header import read_header
from pnp.store.provenance import canonical_json, fingerprint

WRONG: dict[str, Any] = {
    "zero": 0,
    "minus one": -1,
    "one": 1,
    "half": 0.5,
    "huge": 10**30,
    "true": True,
    "null": None,
    "text": "x",
    "list": [],
    "list of one": [1],
    "mapping": {},
    "mapping of one": {"x": 1},
}
FIELDS = (
    *("block", "device", "dtype", "features", "method", "n_features", "precision", "seed", "size", "space"),
    *("space.parameters", "space.parameters.0", "space.parameters.0.high", "space.parameters.0.low"),
    *("space.parameters.0.name", "space.parameters.0.scale", "split", "store", "synthesizer", "u_sha256"),
)


def rewrite(path: Path, config_text: str) -> None:
    """Put another configuration into a file, with the fingerprint that belongs to it where there is one."""
    with h5py.File(path, "r+") as file:
        file.attrs["config"] = np.bytes_(config_text.encode())
        with suppress(ValueError, RecursionError, TypeError):
            file.attrs["fingerprint"] = np.bytes_(fingerprint(dict(json.loads(config_text))).encode())


def config_of(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return json.loads(file.attrs["config"])


def change(config: dict[str, Any], field: str, value: Any, *, remove: bool = False) -> None:
    *way, last = [int(step) if step.isdigit() else step for step in field.split(".")]
    inner: Any = config
    for step in way:
        inner = inner[step]
    if remove:
        del inner[last]
    else:
        inner[last] = value


def is_one_sentence(message: str, path: Path) -> bool:
    return str(path) in message and "\n" not in message and len(message) < 700


def complaint(action: Callable[[Path], object], path: Path) -> str:
    """Answer of an action to a file, if any; any other error passes."""
    try:
        action(path)
    except CacheError as error:
        return str(error)
    return str(path)


def use(path: Path) -> None:
    """Uses of a cache by other stages."""
    with MetricCache(path) as cache:
        cache.metrics()
        cache.features([0, 5])
        _ = cache.failures, cache.mean_squared_distance, repr(cache)
    str(check_integrity(path))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [*WRONG, "missing"])
def test_any_field_of_the_configuration_may_be_wrong(path: Path, field: str, value: str) -> None:
    config = config_of(path)
    change(config, field, WRONG.get(value), remove=value == "missing")
    rewrite(path, canonical_json(config))
    for action in (use, make):
        message = complaint(action, path)
        assert is_one_sentence(message, path), message
    with pytest.raises((CacheError, FileNotFoundError)):
        merge([path, path], path.with_name("merged.h5"))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("block", 0, r"toy\.h5: field 'config\.block' of its header must be a whole number from 1, got 0;"),
        ("dtype", "int8", r"field 'config\.dtype' .* must be one of float16, float32, float64, got 'int8'"),
        ("store", ["M"], r"field 'config\.store' .* got \['M'\]"),
        ("n_features", 10**30, r"field 'config\.n_features' .* got 1000000"),
        ("size", 71, r"field 'config\.size' .* must be the number of rows, 70, got 71"),
        ("space", {"parameters": []}, r"field 'config\.space' .* must be a parameter space"),
    ],
)
def test_the_sentence_names_the_field(path: Path, field: str, value: Any, message: str) -> None:
    config = config_of(path)
    change(config, field, value)
    rewrite(path, canonical_json(config))
    with pytest.raises(CacheCorrupt, match=message):
        MetricCache(path)


@pytest.mark.parametrize("name", ["synthesizer", "features", "seed", "size"])
def test_a_field_that_is_not_there_is_named(path: Path, name: str) -> None:
    config = config_of(path)
    del config[name]
    rewrite(path, canonical_json(config))
    with pytest.raises(CacheCorrupt, match=rf"lacks the field 'config\.{name}', "):
        MetricCache(path)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[1]", "{", "NaN", '{"block": NaN}', '{"block": 1e999}', "[" * 100_000, '{"a":' * 50_000],
)
def test_a_configuration_that_is_no_configuration(path: Path, text: str) -> None:
    rewrite(path, text or " ")
    with pytest.raises(CacheError) as caught:
        MetricCache(path)
    assert is_one_sentence(str(caught.value), path)


@pytest.mark.parametrize("infinite", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_a_number_that_is_not_finite(path: Path, infinite: str) -> None:
    text = canonical_json(config_of(path)).replace('"high":400.0', f'"high":{infinite}')
    rewrite(path, text)
    with pytest.raises(CacheCorrupt, match=r"field 'config") as caught:
        MetricCache(path)
    assert is_one_sentence(str(caught.value), path)


ATTRIBUTES = (
    *("block", "config", "date", "fingerprint", "first_row", "schema", "schema_version", "shard", "versions"),
    *("parameter_highs", "parameter_names", "seed", "synthesizer"),
)
VALUES: dict[str, Any] = {
    "zero": 0,
    "minus one": -1,
    "huge": np.uint64(2**64 - 1),
    "infinite": np.inf,
    "empty text": np.bytes_(b" "),
    "no text": np.bytes_(b"\xff\xfe"),
    "one of two": (1,),
    "two": (1, 1),
    "backwards": (3, 2),
    "floats": (0.5, 1.5),
    "nothing": h5py.Empty("f8"),
    "reference": None,
}


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("value", [*VALUES, "missing"])
def test_any_attribute_may_be_wrong(path: Path, name: str, value: str) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs[name]
        if value == "reference":
            file.attrs[name] = file["id"].ref
        elif value != "missing":
            file.attrs[name] = VALUES[value]
    for action in (use, make):
        message = complaint(action, path)
        assert is_one_sentence(message, path), message


def test_a_shard_of_one_number_is_named(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["shard"] = (1,)
    with pytest.raises(CacheCorrupt, match=r"field 'shard' of its header must be 2 whole numbers, got \[1\]"):
        MetricCache(path)


def test_rows_that_take_no_bytes_take_no_memory(path: Path, tmp_path: Path) -> None:
    """A file of a few kilobytes that claims a hundred million rows."""
    rows, config = 10**8, config_of(path)
    config["size"] = rows
    vast = tmp_path / "vast.h5"
    with MetricCache(path) as cache:
        old = cache.header
    with h5py.File(path) as source, h5py.File(vast, "w") as target:
        target.attrs.update(source.attrs)
        text = canonical_json(config)
        target.attrs["config"] = np.bytes_(text.encode())
        target.attrs["fingerprint"] = np.bytes_(fingerprint(config).encode())
        target.create_dataset("id", (rows,), "i8", chunks=(1 << 20,))
        header = CacheHeader(
            old.space, rows, old.n_features, old.block, old.store, old.dtype, config, {}, "", 0, (0, 1)
        )
        for column in header.datasets:
            if column.name != "id":
                shape = (header.length(column), *column.shape)
                target.create_dataset(column.name, shape, column.dtype, chunks=(1, *column.shape))
    with pytest.raises(CacheCorrupt, match=r"'id' claims more rows than the file has bytes for"):
        MetricCache(vast)


def test_a_right_header_is_read_whole(path: Path) -> None:
    with h5py.File(path) as file:
        header = read_header(file, str(path))
        assert header.attributes()["config"] == file.attrs["config"].decode()
