"""Records to nested dictionaries, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from pnp.bench.record import JsonRecord


@dataclass(frozen=True)
class Leaf(JsonRecord):
    size: int
    note: str | None = None


@dataclass(frozen=True)
class Tree(JsonRecord):
    leaf: Leaf
    none: Leaf | None
    leaves: tuple[Leaf, ...]
    named: Mapping[str, tuple[Leaf, ...]]
    any_name: int = field(metadata={"name": "any name"})


TREE = Tree(Leaf(1), None, (Leaf(2, "two"),), {"three": (Leaf(3),)}, 4)
PLAIN = {
    "leaf": {"size": 1},
    "none": None,
    "leaves": [{"size": 2, "note": "two"}],
    "named": {"three": [{"size": 3}]},
    "any name": 4,
}


def test_a_record_is_written_as_plain_values_in_the_order_of_its_fields() -> None:
    assert TREE.to_dict() == PLAIN
    assert list(TREE.to_dict()) == list(PLAIN)


def test_a_record_is_read_as_it_was() -> None:
    assert Tree.from_dict(PLAIN) == TREE
    assert Tree.from_dict(PLAIN | {"none": {"size": 0}}).none == Leaf(0)


def test_a_record_without_a_field_is_refused_by_its_name() -> None:
    with pytest.raises(KeyError, match="any name"):
        Tree.from_dict({key: value for key, value in PLAIN.items() if key != "any name"})
    with pytest.raises(TypeError, match="expected an object with 'size', got 7"):
        Tree.from_dict(PLAIN | {"leaf": 7})
