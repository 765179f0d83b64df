"""`pnp inspect`: text, JSON and figures."""

import json
from pathlib import Path

from commands import refused

import pnp
from pnp.cli.main import main
from pnp.cli.outcome import EXIT_OK


def test_inspect_as_text_and_json_agree(cache: Path, capsys) -> None:
    assert main(["inspect", str(cache)]) == EXIT_OK
    text = capsys.readouterr().out
    assert main(["inspect", str(cache), "--json"]) == EXIT_OK
    report = json.loads(capsys.readouterr().out)
    assert report["sounds"] == {"total": 24, "ok": 24, "failed": 0, "pending": 0}
    for vector in report["metric"]["mean"]["eigenvectors"]:
        assert vector["words"] in text
    for parameter in report["parameters"]:
        assert parameter["name"] in text


def test_inspect_of_one_sound(cache: Path, capsys) -> None:
    assert main(["inspect", str(cache), "--index", "3", "--json"]) == EXIT_OK
    report = json.loads(capsys.readouterr().out)
    with pnp.MetricCache(cache) as opened:
        assert report["metric"]["matrix"] == opened.metric(3).matrix.tolist()
        assert [p["value"] for p in report["parameters"]] == opened.theta[3].tolist()


def test_inspect_draws(cache: Path, tmp_path, capsys) -> None:
    assert main(["inspect", str(cache), "--png", str(tmp_path / "figures")]) == EXIT_OK
    listed = capsys.readouterr().err.split()
    assert {str(path) for path in (tmp_path / "figures").iterdir()} == set(listed)
    assert str(tmp_path / "figures" / "ellipses-f_c-gamma.png") in listed


def test_a_sound_out_of_range_is_named(cache: Path, capsys) -> None:
    assert "sound 99 is out of range" in refused(["inspect", str(cache), "--index", "99"], capsys)


def test_a_file_that_is_no_cache_is_named(tmp_path, capsys) -> None:
    (tmp_path / "song.h5").write_bytes(b"RIFF")
    assert "song.h5" in refused(["inspect", str(tmp_path / "song.h5")], capsys)
