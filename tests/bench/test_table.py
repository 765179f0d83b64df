"""Speed table of one configuration. Never a time."""

import pytest
from tiny_benchmark import TINY, stand_in

from pnp.bench import run_benchmark


def test_every_row_has_times_ratios_and_errors(results) -> None:
    rows = results.configurations["tiny"].rows
    assert list(rows) == ["forward", "forward and backward", "S and J"]
    for row in rows.values():
        for spread in (row.ours, row.peer, row.ratio):
            assert 0 < spread.low <= spread.median <= spread.high
            assert spread.rounds == 2
        assert row.errors
    fast = results.configurations["tiny"].fast
    assert list(fast) == list(rows)
    for name, row in fast.items():
        # Beside the same calls of the peer.
        assert row.peer == rows[name].peer
        assert row.ours != rows[name].ours
        assert 0 < row.ratio.low <= row.ratio.median <= row.ratio.high
    assert rows["S and J"].peer_seconds_at_once > 0


def test_the_same_transform_on_both_sides_has_no_error(results) -> None:
    rows = results.configurations["tiny"].rows
    assert max(rows["forward"].errors.values()) < 1e-6
    errors = rows["forward and backward"].errors
    assert errors["noise"] < 1e-6
    assert errors["samples"] == pytest.approx(errors["samples_peer"])
    # In float64, against central differences.
    assert rows["S and J"].errors["float64"] < 1e-6


def test_a_wrong_transform_shows_its_error(tmp_path, monkeypatch) -> None:
    peer = stand_in(tmp_path, monkeypatch, gain=2.0)
    results = run_benchmark(
        [TINY], rounds=1, peer=peer, sections=["table"], ceiling_size=32, ceiling_seconds=0.01
    )
    rows = results.configurations["tiny"].rows
    for row, key in (("forward", "noise"), ("forward and backward", "noise"), ("S and J", "float64")):
        assert rows[row].errors[key] == pytest.approx(0.5, rel=1e-3)
