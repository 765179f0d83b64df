"""Runs of the benchmark: what they measure, and that it is what they say. Never a time."""

import json

import pytest
from tiny_benchmark import TINY

from pnp.bench import as_markdown, load_results, run_benchmark


def test_the_file_holds_what_is_returned(measured) -> None:
    results, file = measured
    assert json.loads(file.read_text()) == results.to_dict()
    assert load_results([file]).to_dict() == results.to_dict()


def test_without_a_peer_ours_are_reported_alone() -> None:
    results = run_benchmark([TINY], rounds=1, sections=["table"], ceiling_size=32, ceiling_seconds=0.01)
    assert results.peer is None
    assert results.configurations["tiny"].rows["forward"].ratio is None
    assert "Kymatio was not measured" in as_markdown(results)


@pytest.mark.parametrize(
    ("changes", "message"), [({"sections": ["tabel"]}, "'tabel'"), ({"rounds": 0}, "at least 1")]
)
def test_what_cannot_be_asked_for(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        run_benchmark([TINY], **changes)
