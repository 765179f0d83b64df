"""`pnp train`: a run, its options, and what is refused."""

import json
from pathlib import Path

import pytest
from commands import refused

from pnp.cli.main import main
from pnp.cli.outcome import EXIT_OK


def test_train_then_evaluate(cache: Path, tmp_path, capsys) -> None:
    run = str(tmp_path / "run")
    train = ["train", str(cache), "--out", run, "--quiet", "--epochs"]
    assert main([*train, "2"]) == EXIT_OK
    assert "2 epochs" in capsys.readouterr().out
    assert "holds a training run" in refused([*train, "2"], capsys)
    assert main([*train, "3", "--resume"]) == EXIT_OK
    assert "3 epochs" in capsys.readouterr().out
    assert main(["evaluate", run, str(cache), "--quiet"]) == EXIT_OK
    assert "centre of the cube" in capsys.readouterr().out
    assert main(["evaluate", run, str(cache), "--quiet", "--json", "--no-distance"]) == EXIT_OK
    evaluation = json.loads(capsys.readouterr().out)
    assert evaluation["feature_distance"] is None
    assert len(evaluation["parameter_error"]) == 3


def test_a_foreign_file_in_the_place_of_a_checkpoint_is_named(cache: Path, tmp_path, capsys) -> None:
    import torch

    torch.save({"weights": torch.zeros(2)}, tmp_path / "last.pt")
    message = refused(["train", str(cache), "--out", str(tmp_path), "--quiet", "--resume"], capsys)
    assert "last.pt is not the last checkpoint of a training run" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reach", "0"], "argument --reach: expected a number from 1e-12 to 1e+12, got '0'"),
        (["--loss", "p", "--reach", "1"], "--reach goes with --loss pnp or surrogate; got --loss p"),
        (["--loss", "surrogate", "--damping", "0.1"], "--damping goes with --loss pnp; got --loss surrogate"),
    ],
)
def test_options_of_the_pnp_loss_are_not_passed_over(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert message in refused(["train", str(cache), "--out", str(tmp_path / "run"), *options], capsys)
    assert not (tmp_path / "run").exists()


def test_a_schedule_of_damping_begins_where_it_is_told_to(cache: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    argv = ["train", str(cache), "--out", str(run), "--quiet", "--epochs", "1", "--damping-schedule"]
    assert "the initial damping must be a finite number above 0, got 0.0" in refused(
        [*argv, "--damping", "0"], capsys
    )
    assert main([*argv, "--damping", "123"]) == EXIT_OK
    header, line = (run / "log.csv").read_text().splitlines()
    assert dict(zip(header.split(","), line.split(","), strict=True))["damping"] == "123.0"


@pytest.mark.parametrize(
    ("option", "text"),
    [("--reach", "1e-200"), ("--learning-rate", "nan"), ("--time-budget", "-1"), ("--damping", "inf")],
)
def test_a_number_out_of_range_is_answered_with_the_name_of_its_option(option, text, capsys) -> None:
    message = refused(["train", "nowhere.h5", option, text], capsys)
    assert f"argument {option}: expected a" in message
    assert f"got '{text}'" in message
