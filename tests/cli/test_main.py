"""The command line: what it does, how it ends, and what it says when called wrongly."""

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import refused

import pnp
from pnp.cli.main import VERBS, build_parser, main
from pnp.cli.outcome import EXIT_FAILURES, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE

SMALL = ["--synth", "chirp", "--synth-option", "n_samples=2048", "--J", "7", "--jobs", "1", "--quiet"]


def pnp_precompute(out: Path, *more: str) -> int:
    return main(["precompute", *SMALL, "--size", "24", "--block", "4", "--out", str(out), *more])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "chirp.h5"
    assert pnp_precompute(path) == EXIT_OK
    return path


# -- verbs ---------------------------------------------------------------------------------------------------


def test_precompute_writes_what_the_library_writes(cache: Path, tmp_path: Path) -> None:
    from pnp.features.standard import standard_features

    synth = pnp.synths.make("chirp", n_samples=2048)
    features = standard_features(synth, J=7)
    pnp.precompute(synth, features, tmp_path / "same.h5", size=24, block=4, progress=False)
    with pnp.MetricCache(cache) as ours, pnp.MetricCache(tmp_path / "same.h5") as theirs:
        assert ours.config == theirs.config
        assert (ours.metrics().factor == theirs.metrics().factor).all()


def test_precompute_says_what_it_did_and_resumes(cache: Path, tmp_path, capsys) -> None:
    path = tmp_path / "chirp.h5"
    shutil.copy(cache, path)
    assert pnp_precompute(path) == EXIT_OK
    assert "24 of 24 sounds, 24 of them earlier, none failed" in capsys.readouterr().out


def test_precompute_takes_a_step_for_all_parameters_or_by_name(tmp_path) -> None:
    assert pnp_precompute(tmp_path / "all.h5", "--step", "0.3") == EXIT_OK
    assert pnp_precompute(tmp_path / "one.h5", "--step", "gamma=0.1") == EXIT_OK
    with pnp.MetricCache(tmp_path / "all.h5") as one, pnp.MetricCache(tmp_path / "one.h5") as other:
        assert one.config["derivatives"] == {
            "kind": "difference",
            "steps": dict.fromkeys(("f_c", "f_m", "gamma"), 0.3),
        }
        assert other.config["derivatives"] == {"kind": "auto", "steps": {"gamma": 0.1}}


def test_precompute_refuses_a_step_twice(tmp_path, capsys) -> None:
    argv = ["precompute", *SMALL, "--size", "8", "--out", str(tmp_path / "a.h5"), "--step"]
    assert "either one number" in refused([*argv, "0.1", "--step", "gamma=0.2"], capsys)
    assert "expected a finite number, got 'x'" in refused([*argv, "gamma=x"], capsys)


def test_precompute_of_another_configuration_is_refused(cache: Path, tmp_path, capsys) -> None:
    path = tmp_path / "chirp.h5"
    shutil.copy(cache, path)
    assert "seed" in refused(
        ["precompute", *SMALL, "--size", "24", "--block", "4", "--seed", "1", "--out", str(path)], capsys
    )


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


def test_verify_finds_a_flipped_byte(cache: Path, tmp_path, capsys) -> None:
    with pnp.MetricCache(cache) as opened:
        row = opened.features(7).numpy().tobytes()
    content = bytearray(cache.read_bytes())
    content[content.index(row) + 5] ^= 1
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(content)
    assert main(["verify", str(damaged)]) == EXIT_FAILURES
    assert ": 1 problem\n" in capsys.readouterr().out


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


# -- how it is called ----------------------------------------------------------------------------------------


def test_version(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == EXIT_OK
    assert capsys.readouterr().out == f"pnp {pnp.__version__}\n"


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "pnp", "--version"], capture_output=True, text=True)
    assert done.stdout == f"pnp {pnp.__version__}\n"


def verbs() -> dict:
    (action,) = (action for action in build_parser()._actions if action.dest == "verb")
    return action.choices


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_help_for_every_option(verb: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == EXIT_OK
    assert all(action.help for action in verbs()[verb]._actions)


@pytest.mark.parametrize("verb", ["precompute", "train", "evaluate", "merge", "verify"])
def test_defaults_are_those_of_the_library(verb: str) -> None:
    from pnp.offline.verify import verify
    from pnp.store import merge
    from pnp.training.evaluate import evaluate
    from pnp.training.train import train

    functions = {
        "precompute": pnp.precompute,
        "train": train,
        "evaluate": evaluate,
        "merge": merge,
        "verify": verify,
    }
    signature = inspect.signature(functions[verb]).parameters
    shared = [a for a in verbs()[verb]._actions if a.dest in signature and not a.required]
    assert shared
    for action in shared:
        # What the library leaves to the caller: all cores, a directory, and a schedule by a switch.
        if action.dest in ("jobs", "out", "damping_schedule"):
            continue
        default = signature[action.dest].default
        given = (
            action.type(action.default) if isinstance(action.default, str) and action.type else action.default
        )
        assert given == ("jacobian" if action.dest == "store" else default), action.dest


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "VERB"),
        (["inspct"], "unknown verb 'inspct', expected one of demo, .*; did you mean 'inspect'?"),
        (["precompute", "--size", "4"], "--synth"),
        (["precompute", "--synth", "chirp"], "one of the arguments --size --presets is required"),
        (
            ["precompute", "--synth", "chirp", "--size", "4", "--presets", "a.csv"],
            "not allowed with argument",
        ),
        (["precompute", "--synth", "chirp", "--presets", "none.csv"], "no file of presets at none.csv"),
        (["precompute", "--synth", "chirp", "--size", "0"], "whole number of at least 1, got '0'"),
        (["precompute", "--synth", "chrip", "--size", "4"], "unknown synthesizer 'chrip', .*'chirp'"),
        (["precompute", "--synth", "chirp", "--size", "4", "--shard", "4/4"], "I/N .*, got '4/4'"),
        (["precompute", "--synth", "chirp", "--size", "4", "--T", "long"], "number or 'global', got 'long'"),
        (["precompute", "--synth", "chirp", "--size", "4", "--synth-option", "x"], "KEY=VALUE, got 'x'"),
        (["precompute", "--synth", "chirp", "--size", "4", "--synth-option", "x=1"], "unknown option 'x'"),
        (["inspect", "nowhere.h5"], "no cache at .*nowhere.h5"),
        (["verify", "nowhere.h5"], "nowhere.h5"),
        (["train", "nowhere.h5"], "nowhere.h5"),
        (["evaluate", "nowhere", "nowhere.h5"], "nowhere"),
        (["merge", "nowhere.h5", "--out", "whole.h5"], "nowhere.h5"),
        (
            ["train", "nowhere.h5", "--seed", "9" * 20],
            "--seed: expected .* at most 63 bits, got '99999999999",
        ),
        (["figures", "--seed", "1.5"], "--seed: expected a whole number .*, got '1.5'"),
    ],
)
def test_a_wrong_call_gets_one_sentence(argv, message, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert re.search(message, refused(argv, capsys))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["precompute", "--synth", "chirp", "--size", "4"], "; run the same command again to continue"),
        (
            ["train", "cache.h5"],
            "; run the same command with --resume to continue after the last finished epoch",
        ),
        (
            ["train", "cache.h5", "--overwrite"],
            "; run the same command with --resume in place of --overwrite to continue after the last finished epoch",
        ),
        (
            ["train", "cache.h5", "--resume"],
            "; run the same command again to continue after the last finished epoch",
        ),
        (["evaluate", "run", "cache.h5"], ""),
    ],
)
def test_what_is_interrupted_says_how_to_go_on(argv, message, capsys, monkeypatch) -> None:
    def interrupted(options) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(VERBS[argv[0]], "run", interrupted)
    assert main(argv) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == f"pnp {argv[0]}: interrupted{message}\n"


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


def test_a_foreign_file_in_the_place_of_a_checkpoint_is_named(cache: Path, tmp_path, capsys) -> None:
    import torch

    torch.save({"weights": torch.zeros(2)}, tmp_path / "last.pt")
    message = refused(["train", str(cache), "--out", str(tmp_path), "--quiet", "--resume"], capsys)
    assert "last.pt is not the last checkpoint of a training run" in message


def test_a_sound_out_of_range_is_named(cache: Path, capsys) -> None:
    assert "sound 99 is out of range" in refused(["inspect", str(cache), "--index", "99"], capsys)


def test_a_file_that_is_no_cache_is_named(tmp_path, capsys) -> None:
    (tmp_path / "song.h5").write_bytes(b"RIFF")
    assert "song.h5" in refused(["inspect", str(tmp_path / "song.h5")], capsys)


def test_the_traceback_is_shown_on_request() -> None:
    with pytest.raises(FileNotFoundError):
        main(["inspect", "nowhere.h5", "--traceback"])


def test_a_reader_that_goes_away_is_no_error(cache: Path) -> None:
    command = f"set -o pipefail; {sys.executable} -m pnp inspect {cache} --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_OK, "{", "")


@pytest.mark.slow
def test_an_interrupted_run_says_so_and_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "chirp.h5"
    command = [sys.executable, "-m", "pnp", "precompute", *SMALL, "--size", "4096", "--out", str(out)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not out.exists():
        assert running.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    os.killpg(running.pid, signal.SIGINT)
    _, error = running.communicate()
    assert running.returncode == EXIT_INTERRUPTED
    assert "interrupted" in error
    assert "Traceback" not in error
    assert main(["verify", str(out)]) == EXIT_OK


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
    assert "finite and positive; got 0.0" in refused([*argv, "--damping", "0"], capsys)
    assert main([*argv, "--damping", "123"]) == EXIT_OK
    header, line = (run / "log.csv").read_text().splitlines()
    assert dict(zip(header.split(","), line.split(","), strict=True))["damping"] == "123.0"


# -- bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "argv", "extra"),
    [
        ("auraloss", ["train", "CACHE", "--loss", "multiscale", "--out", "run"], "train"),
        ("torch.utils.tensorboard", ["train", "CACHE", "--tensorboard", "--out", "run"], "train"),
        ("distributed", ["precompute", *SMALL, "--size", "4", "--out", "c.h5", "--backend", "dask"], "dask"),
    ],
)
def test_a_missing_extra_is_named(module, argv, extra, cache: Path, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    message = refused([str(cache) if part == "CACHE" else part for part in argv], capsys)
    assert f"pip install pnp-metric[{extra}]" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "text"),
    [("--reach", "1e-200"), ("--learning-rate", "nan"), ("--time-budget", "-1"), ("--damping", "inf")],
)
def test_a_number_out_of_range_is_answered_with_the_name_of_its_option(option, text, capsys) -> None:
    message = refused(["train", "nowhere.h5", option, text], capsys)
    assert f"argument {option}: expected a" in message
    assert f"got '{text}'" in message


@pytest.mark.parametrize(
    "argv",
    [
        ["precompute", "--synth", "chirp", "--size", "4", "--out"],
        ["merge", "a.h5", "--out"],
        ["inspect", "a.h5", "--html"],
        ["bench", "--json"],
        ["train", "a.h5", "--out"],
        ["match", "a.wav", "--cache", "a.h5", "--out"],
        ["inspect", "a.h5", "--png"],
    ],
)
def test_a_pipe_is_no_place_for_results(argv, tmp_path, capsys) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert re.search(
        rf"argument {argv[-1]}: expected a .* but '.*pipe' is a", refused([*argv, str(pipe)], capsys)
    )


def test_a_folder_is_no_file_to_write(tmp_path, capsys) -> None:
    assert f"'{tmp_path}' is a folder" in refused(["merge", "a.h5", "--out", str(tmp_path)], capsys)


def test_more_sounds_than_memory_holds_are_a_sentence(tmp_path, capsys) -> None:
    argv = ["precompute", "--synth", "chirp", "--synth-option", "n_samples=1000000000000", "--size", "4"]
    assert "memory" in refused([*argv, "--J", "7", "--quiet", "--out", str(tmp_path / "c.h5")], capsys)


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


def test_no_escape_sequence_of_a_cache_reaches_the_terminal(tmp_path, capsys) -> None:
    from toy import ToyFeatures, ToySynth

    synth = ToySynth()
    synth.space = pnp.ParameterSpace(
        [pnp.Parameter("f", 100.0, 400.0, unit="\x1b]0;x\x07Hz"), synth.space["decay"]]
    )
    path = tmp_path / "t\x1b[2Joy.h5"
    pnp.precompute(synth, ToyFeatures(), path, size=4, progress=False)
    for argv in (
        ["inspect", str(path)],
        ["inspect", str(path), "--json"],
        ["verify", str(path)],
        ["train", str(path)],
    ):
        main([*argv, "--quiet"])
        out, error = capsys.readouterr()
        assert out + error
        assert not set(out + error) & {"\x1b", "\x07", "\x9b", "\r"}
        if "--json" in argv:
            assert json.loads(out)["parameters"][0]["unit"] == "\x1b]0;x\x07Hz"


def test_an_interruption_after_the_last_line_is_silent() -> None:
    code = (
        "import os, signal, sys; from pnp.cli.main import main; sys.argv = ['pnp', 'verify', 'nowhere.h5']\n"
        "code = main(); os.kill(os.getpid(), signal.SIGINT); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == EXIT_USAGE
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
