"""Calls of the command line: help, defaults, interruptions, and one sentence for what is called wrongly."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import SMALL, refused

import pnp
from pnp.cli.main import VERBS, build_parser, main
from pnp.cli.outcome import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE


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
    # What the library has to be given, such as features, the command line finds by name.
    has_default = {name for name, p in signature.items() if p.default is not p.empty}
    shared = [a for a in verbs()[verb]._actions if a.dest in has_default and not a.required]
    assert shared
    for action in shared:
        # What the library leaves to the caller: all cores, a directory, and a schedule by a switch.
        if action.dest in ("jobs", "out", "damping_schedule"):
            continue
        default = signature[action.dest].default
        given = (
            action.type(action.default) if isinstance(action.default, str) and action.type else action.default
        )
        assert given == default, action.dest


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "a verb is missing, expected one of demo, precompute, .*`pnp demo`"),
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


def test_the_traceback_is_shown_on_request() -> None:
    with pytest.raises(FileNotFoundError):
        main(["inspect", "nowhere.h5", "--traceback"])


def test_a_reader_that_goes_away_is_no_error(cache: Path) -> None:
    command = f"set -o pipefail; {sys.executable} -m pnp inspect {cache} --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_OK, "{", "")


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
