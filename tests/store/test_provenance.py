"""The configuration tells apart what gives different numbers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from caches import BLOCK, SIZE
from torch import nn
from toy import ToyFeatures, ToySynth

from pnp.errors import CacheConfigMismatch
from pnp.offline.precompute import precompute
from pnp.store.provenance import canonical_json, describe, differences, fingerprint


def test_modules_without_config_are_told_apart_by_their_state(path: Path) -> None:
    other = ToyFeatures()
    other.get_buffer("cosines").mul_(1.5)
    with pytest.raises(CacheConfigMismatch, match=r"features\.state_sha256"):
        precompute(ToySynth(), other, path, size=SIZE, block=BLOCK, progress=False)


def test_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [1.5, "x"]}) == fingerprint({"b": [1.5, "x"], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'


def test_differences_name_nested_fields() -> None:
    found = differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5})
    assert found == [
        "a.c: the file has 2, asked 4",
        "d: the file has 3, asked null",
        "e: the file has null, asked 5",
    ]


def test_weights_are_part_of_a_description() -> None:
    class Learned(nn.Linear):
        def config(self) -> dict[str, Any]:
            return {"size": (2, 2)}

    first, second = Learned(2, 2), Learned(2, 2)
    assert describe(first)["config"] == describe(second)["config"] == {"size": [2, 2]}
    assert describe(first)["state_sha256"] != describe(second)["state_sha256"]


def test_parts_without_config_are_told_apart_by_their_state() -> None:
    class Wrapper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def config(self) -> dict[str, Any]:
            return {}

    louder = ToyFeatures()
    louder.get_buffer("cosines").mul_(2.0)
    assert describe(Wrapper(ToyFeatures())) == describe(Wrapper(ToyFeatures()))
    assert describe(Wrapper(ToyFeatures())) != describe(Wrapper(louder))
    assert "state_sha256" not in describe(Wrapper(ToySynth()))


def test_config_that_json_cannot_hold_is_refused() -> None:
    class Odd(nn.Identity):
        def config(self) -> dict[str, Any]:
            return {"tensor": torch.zeros(1)}

    with pytest.raises(TypeError, match=r"Odd\.config\(\) must return what JSON can hold"):
        describe(Odd())


def test_options_that_are_nested_too_deep_are_named() -> None:
    nested: list[Any] = []
    for _ in range(100_000):  # deeper than any Python's encoder goes
        nested = [nested]

    class Deep(nn.Identity):
        def config(self) -> dict[str, Any]:
            return {"option": nested}

    with pytest.raises(TypeError, match="nested too deep"):
        describe(Deep())
