"""Synthesizers, features and networks of a user's own code on the command line."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest
import soundfile
import torch
from commands import refused

import pnp
from pnp.cli.main import EXIT_OK, EXIT_USAGE, main

VOICE = """
import math

import torch

import pnp
from detail import RATE

_cache = {}


class Tone(torch.nn.Module):
    def __init__(self, n_samples=512):
        super().__init__()
        self.space = pnp.ParameterSpace(
            [pnp.Parameter("f0", 200.0, 800.0, "log", "Hz"), pnp.Parameter("decay", 0.01, 0.1, "log", "s")]
        )
        self.sample_rate, self.n_samples = RATE, n_samples

    def forward(self, theta):
        _cache["engine"] = (row for row in ())  # cannot be pickled
        t = torch.arange(self.n_samples, dtype=theta.dtype) / RATE
        return torch.exp(-t / theta[..., 1:]) * torch.sin(2 * math.pi * theta[..., :1] * t)


def make(n_samples=512):
    return Tone(n_samples)


def broken():
    return 1 / 0


def number():
    return 3


class Energies(torch.nn.Module):
    def __init__(self, synth, count=12):
        super().__init__()
        self.count, self.n = count, synth.n_samples

    def forward(self, x):
        waves = torch.cos(torch.outer(torch.arange(self.n), torch.arange(1.0, self.count + 1)) * 0.2).to(x)
        return torch.log1p((x @ waves).square() * 1e2)


def centre():
    return lambda x: x.new_zeros(len(x), 2)


spare = Tone()
"""
SMALL = ["--size", "6", "--jobs", "1", "--quiet"]
OWN = ["--synth", "voice.py:make", "--features", "voice.py:Energies"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder of a user, with a file of code and what it imports."""
    (tmp_path / "voice.py").write_text(VOICE)
    (tmp_path / "detail.py").write_text("RATE = 8000.0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("voice", "detail")):
            del sys.modules[name]
    from pnp import _own_code

    _own_code._files.clear()
    importlib.invalidate_caches()


@pytest.mark.slow
def test_every_verb_finds_them_again_by_the_words_in_the_cache(folder, capsys):
    assert main(["precompute", *OWN, *SMALL, "--size", "20", "--out", "tone.h5"]) == EXIT_OK
    with pnp.MetricCache("tone.h5") as cache:
        assert cache.config["synthesizer"]["class"] == "voice.Tone"
        assert cache.config["synthesizer"]["registered_as"] == {"name": "voice.py:make"}
        assert cache.config["features"]["registered_as"] == {"name": "voice.py:Energies"}
        soundfile.write("target.wav", cache_sound(cache), 8000)
    assert main(["verify", "tone.h5", "--recompute", "2"]) == EXIT_OK
    assert main(["inspect", "tone.h5", "--html", "page.html", "--sounds", "1"]) == EXIT_OK
    page = Path("page.html").read_text()
    assert "data:audio/wav" in page
    assert "no sound can be played" not in page
    capsys.readouterr()
    assert main(["evaluate", "voice.py:centre", "tone.h5", "--fold", "train", "--quiet"]) == EXIT_OK
    assert "f0" in capsys.readouterr().out
    match = [
        "match",
        "target.wav",
        "--cache",
        "tone.h5",
        "--starts",
        "1",
        "--encoder",
        "voice.py:centre",
        "--quiet",
    ]
    assert main([*match, "--out", "matched"]) == EXIT_OK


def cache_sound(cache):
    from pnp.offline.rebuild import synthesizer_of

    return synthesizer_of(cache)(cache.theta[0].float()).numpy()


@pytest.mark.slow
def test_the_network_of_the_package_trains_on_them(folder):
    assert (
        main(
            ["precompute", *OWN, "--synth-option", "n_samples=4096", *SMALL, "--size", "20", "--out", "a.h5"]
        )
        == 0
    )
    assert (
        main(["train", "a.h5", "--epochs", "1", "--loss", "spectral", "--out", "run", "--quiet"]) == EXIT_OK
    )
    assert main(["evaluate", "run", "a.h5", "--quiet"]) == EXIT_OK


@pytest.mark.slow
def test_workers_load_the_file_and_need_not_copy_what_it_holds(folder, capsys):
    assert (
        main(["precompute", *OWN, "--size", "6", "--block", "2", "--jobs", "2", "--out", "a.h5"]) == EXIT_OK
    )
    assert (
        main(["precompute", *OWN, "--size", "6", "--block", "2", "--jobs", "1", "--out", "b.h5"]) == EXIT_OK
    )
    with pnp.MetricCache("a.h5") as a, pnp.MetricCache("b.h5") as b:
        assert a.ok.all()
        assert torch.equal(a.metrics().factor, b.metrics().factor)


def test_a_module_is_named_with_dots_and_options_are_recorded(folder):
    package = folder / "voices_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    shutil.copy(folder / "voice.py", package / "tones.py")
    own = ["--synth", "voices_of_mine.tones:Tone", "--synth-option", "n_samples=256"]
    features = ["--features", "voices_of_mine.tones:Energies", "--features-option", "count=5"]
    assert main(["precompute", *own, *features, *SMALL, "--out", "tone.h5"]) == EXIT_OK
    with pnp.MetricCache("tone.h5") as cache:
        assert cache.config["synthesizer"]["registered_as"] == {
            "name": "voices_of_mine.tones:Tone",
            "n_samples": 256,
        }
        assert cache.features(torch.tensor([0])).shape == (1, 5)
    assert main(["verify", "tone.h5", "--recompute", "1"]) == EXIT_OK


def test_the_cache_is_called_after_the_file(folder):
    assert main(["precompute", *OWN, *SMALL]) == EXIT_OK
    assert (folder / "cache" / "voice.h5").exists()


def test_the_folder_does_not_matter_to_the_cache_but_to_finding_the_file(folder, capsys, monkeypatch):
    assert main(["precompute", *OWN, *SMALL, "--out", "tone.h5"]) == EXIT_OK
    moved = folder / "elsewhere"
    moved.mkdir()
    shutil.move(folder / "voice.py", moved / "voice.py")
    capsys.readouterr()
    assert main(["verify", "tone.h5", "--recompute", "1"]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert "tone.h5 was made with --synth voice.py:make, but there is no file 'voice.py'" in said
    assert "name it anew: --synth path/to/file.py:NAME" in said
    anew = ["--synth", "elsewhere/voice.py:make", "--features", "elsewhere/voice.py:Energies"]
    assert main(["verify", "tone.h5", "--recompute", "1", *anew]) == EXIT_OK
    assert (
        main(["evaluate", "elsewhere/voice.py:centre", "tone.h5", "--fold", "train", "--quiet", *anew])
        == EXIT_OK
    )
    assert (
        main(["precompute", *OWN[:1], "elsewhere/voice.py:make", *anew[2:], *SMALL, "--out", "tone.h5"])
        == EXIT_USAGE
    )
    assert 'the file has "voice.py:make"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("synth", "problem"),
    [
        ("vioce.py:make", "there is no file 'vioce.py' (in {folder}); did you mean 'voice.py'?"),
        ("voice.py:mak", "has no 'mak', but Tone, make, broken, number, Energies, centre, spare; did you mean 'make'?"),
        ("voice.py", "'voice.py' lacks the name of what makes it: voice.py:NAME, with NAME one of Tone, make"),
        ("voice.py:number", "synthesizer 'voice.py:number' must be a torch.nn.Module, got int"),
        ("voice.py:Energies", "synthesizer 'voice.py:Energies' needs a value for 'synth'; give synth=VALUE"),
        ("no_such_package.voice:make", "there is no module 'no_such_package', neither installed nor in"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_words_is_said_in_a_sentence(folder, capsys, synth, problem):
    said = refused(["precompute", "--synth", synth, *SMALL], capsys)
    assert problem.format(folder=folder) in said


def test_options_are_those_of_the_function(folder, capsys):
    said = refused(["precompute", *OWN, "--synth-option", "n_sample=3", *SMALL], capsys)
    assert (
        "unknown option 'n_sample' of synthesizer 'voice.py:make', expected one of n_samples; did you mean"
        in said
    )
    said = refused(
        ["precompute", "--synth", "voice.py:spare", "--synth-option", "n_samples=3", *SMALL], capsys
    )
    assert "an object that is there already, and takes no option 'n_samples'" in said
    said = refused(["precompute", *OWN, "--J", "5", *SMALL], capsys)
    assert "--J is about the scattering transform; it does not go with --features" in said
    said = refused(["precompute", *OWN[:2], "--features", "voice.py:number", *SMALL], capsys)
    assert (
        "features 'voice.py:number' must be a torch.nn.Module that maps sounds (B, N) to features (B, C), got int"
        in said
    )


@pytest.mark.parametrize("kind", ["synth", "features"])
def test_an_error_of_their_own_is_shown_as_theirs(folder, capsys, kind):
    named = {"synth": "voice.py:make", "features": "voice.py:Energies", kind: "voice.py:broken"}
    run = ["precompute", *(word for name, value in named.items() for word in (f"--{name}", value)), *SMALL]
    assert main(run) == EXIT_USAGE
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert 'voice.py", line' in lines[1]
    assert "return 1 / 0" in lines[2]
    assert lines[-2] == "ZeroDivisionError: division by zero"
    assert lines[-1].endswith("error: voice.py:broken raised ZeroDivisionError: division by zero")
    assert not any("_own_code" in line for line in lines)


def test_a_file_that_cannot_be_read_as_python_is_shown_as_theirs(folder, capsys):
    (folder / "typo.py").write_text("def make(:\n")
    assert main(["precompute", "--synth", "typo.py:make", *SMALL]) == EXIT_USAGE
    error = capsys.readouterr().err
    assert 'typo.py", line 1' in error
    assert "typo.py:make raised SyntaxError" in error
    # What failed is not kept.
    (folder / "typo.py").write_text("from voice import make\n")
    assert pnp.synths.make("typo.py:make").n_samples == 512
