"""`pnp verify`: every cache is checked, and what is damaged is told."""

import re
import shutil
from pathlib import Path

import pytest

import pnp
from pnp.cli.main import main
from pnp.cli.outcome import EXIT_FAILURES, EXIT_USAGE


def test_verify_finds_a_flipped_byte(cache: Path, tmp_path, capsys) -> None:
    with pnp.MetricCache(cache) as opened:
        row = opened.features(7).numpy().tobytes()
    content = bytearray(cache.read_bytes())
    content[content.index(row) + 5] ^= 1
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(content)
    assert main(["verify", str(damaged)]) == EXIT_FAILURES
    assert ": 1 problem\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "order", [("bad", "good"), ("good", "bad"), ("missing", "good"), ("damaged", "good")]
)
def test_every_cache_is_verified_whatever_the_others_are(order, cache: Path, tmp_path, capsys) -> None:
    (tmp_path / "bad.h5").write_bytes(b"no cache")
    content = bytearray(cache.read_bytes())
    with pnp.MetricCache(cache) as opened:
        row = opened.features(7).numpy().tobytes()
    content[content.index(row) + 5] ^= 1
    (tmp_path / "damaged.h5").write_bytes(content)
    shutil.copy(cache, tmp_path / "good.h5")
    code = main(["verify", *(str(tmp_path / f"{name}.h5") for name in order)])
    out, error = capsys.readouterr()
    assert code == (EXIT_FAILURES if "damaged" in order else EXIT_USAGE)
    assert re.search(r"good\.h5.*intact", out)
    for name in set(order) - {"good"}:
        assert f"{name}.h5" in (out if name == "damaged" else error)
