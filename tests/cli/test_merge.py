"""`pnp merge`: shards into one cache."""

from pathlib import Path

from commands import pnp_precompute, refused

import pnp
from pnp.cli.main import main
from pnp.cli.outcome import EXIT_OK


def test_shards_merge_into_the_whole_and_verify(cache: Path, tmp_path, capsys) -> None:
    shards = [tmp_path / f"{part}.h5" for part in range(2)]
    for part, shard in enumerate(shards):
        assert pnp_precompute(shard, "--shard", f"{part}/2") == EXIT_OK
    whole = tmp_path / "whole.h5"
    assert main(["merge", *map(str, shards), "--out", str(whole)]) == EXIT_OK
    assert "24 sounds from 2 shards" in capsys.readouterr().out
    assert main(["verify", str(whole), str(cache), "--recompute", "2"]) == EXIT_OK
    assert capsys.readouterr().out.count("intact") == 2
    with pnp.MetricCache(whole) as ours, pnp.MetricCache(cache) as theirs:
        assert (ours.metrics().factor == theirs.metrics().factor).all()


def test_a_folder_is_no_file_to_write(tmp_path, capsys) -> None:
    assert f"'{tmp_path}' is a folder" in refused(["merge", "a.h5", "--out", str(tmp_path)], capsys)
