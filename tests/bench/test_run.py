"""Runs of the benchmark: what they measure, and that it is what they say. Never a time."""

import json
from pathlib import Path

import pytest
from tiny_benchmark import TINY, stand_in

from pnp.bench import as_markdown, run_benchmark


def test_every_row_has_times_ratios_and_errors(results) -> None:
    rows = results["configurations"]["tiny"]["rows"]
    assert list(rows) == ["forward", "forward and backward", "S and J"]
    for row in rows.values():
        for key in ("ours", "peer", "ratio"):
            assert 0 < row[key]["low"] <= row[key]["median"] <= row[key]["high"]
            assert row[key]["rounds"] == 2


def test_the_same_transform_on_both_sides_has_no_error(results) -> None:
    rows = results["configurations"]["tiny"]["rows"]
    assert max(rows["forward"]["errors"].values()) < 1e-6
    errors = rows["forward and backward"]["errors"]
    assert errors["noise"] < 1e-6
    assert errors["samples"] == pytest.approx(errors["samples_peer"])
    # In float64, against central differences.
    assert rows["S and J"]["errors"]["float64"] < 1e-6


def test_a_wrong_transform_shows_its_error(tmp_path, monkeypatch) -> None:
    peer = stand_in(tmp_path, monkeypatch, gain=2.0)
    results = run_benchmark(
        [TINY], rounds=1, peer=peer, sections=["table"], ceiling_size=32, ceiling_seconds=0.01
    )
    rows = results["configurations"]["tiny"]["rows"]
    for row, key in (("forward", "noise"), ("forward and backward", "noise"), ("S and J", "float64")):
        assert rows[row]["errors"][key] == pytest.approx(0.5, rel=1e-3)


def test_the_file_holds_what_is_returned(results) -> None:
    stored = json.loads(Path(results["file"]).read_text())
    assert stored == json.loads(json.dumps({k: v for k, v in results.items() if k != "file"}))


def test_without_a_peer_ours_are_reported_alone() -> None:
    results = run_benchmark([TINY], rounds=1, sections=["table"], ceiling_size=32, ceiling_seconds=0.01)
    assert results["peer"] is None
    assert results["configurations"]["tiny"]["rows"]["forward"]["ratio"] is None
    assert "Kymatio was not measured" in as_markdown(results)


@pytest.mark.parametrize(
    ("changes", "message"), [({"sections": ["tabel"]}, "'tabel'"), ({"rounds": 0}, "at least 1")]
)
def test_what_cannot_be_asked_for(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        run_benchmark([TINY], **changes)
