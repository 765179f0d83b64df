"""Peers that cannot be measured."""

import sys

import pytest
from tiny_benchmark import SETTINGS

from pnp.bench.peer import Peer


def test_a_peer_without_kymatio(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "scrapl.py").write_text("raise ImportError('nothing here')")
    with (
        Peer(sys.executable) as peer,
        pytest.raises(RuntimeError, match=r"nothing here.*make its environment"),
    ):
        peer.request("build", settings=dict(SETTINGS, shape=1024), threads=1)
