"""`pnp evaluate`: networks and devices that it cannot use are named."""

from pathlib import Path

import pytest
from commands import refused

from pnp.cli.main import main
from pnp.cli.outcome import EXIT_OK


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_device_that_is_not_there_is_named(verb: str, cache: Path, tmp_path, capsys) -> None:
    run = tmp_path / "run"
    train = ["train", str(cache), "--out", str(run), "--quiet", "--epochs", "1"]
    assert main(train) == EXIT_OK
    capsys.readouterr()
    argv = {"train": [*train, "--overwrite"], "evaluate": ["evaluate", str(run), str(cache), "--quiet"]}
    assert "; got 'cuda:99'" in refused([*argv[verb], "--device", "cuda:99"], capsys)
    assert (run / "best.pt").exists()


def test_an_encoder_that_predicts_no_numbers_is_named(cache: Path, tmp_path, capsys) -> None:
    import torch

    run = tmp_path / "run"
    assert main(["train", str(cache), "--out", str(run), "--quiet", "--epochs", "1"]) == EXIT_OK
    saved = torch.load(run / "best.pt", weights_only=True)
    saved["model"]["dense.2.bias"][:] = torch.nan
    torch.save(saved, run / "best.pt")
    capsys.readouterr()
    message = refused(["evaluate", str(run), str(cache), "--quiet", "--json", "--no-distance"], capsys)
    assert "predicts NaN or infinite parameters" in message
