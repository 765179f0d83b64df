"""Mistakes on the command line that the operating system or the parser meets: one sentence each."""

import errno
from pathlib import Path

import pytest
from commands import refused

from pnp.cli.outcome import sentence_of

FAST = ["--synth", "chirp", "--synth-option", "n_samples=256", "--size", "2", "--quiet"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["precompute", *FAST, "--n-samples", "4096"], "--synth-option n_samples=…"),
        (["precompute", *FAST, "--sample-rate=8000"], "--synth-option sample_rate=…"),
        (["precompute", *FAST, "--job", "2"], "unknown argument '--job'; did you mean '--jobs'?"),
        (
            ["train", "c.h5", "--learningrate", "1"],
            "unknown argument '--learningrate'; did you mean '--learning-rate'?",
        ),
        (["verify", "c.h5", "--xyzzy"], "unknown argument '--xyzzy' (see pnp verify --help)"),
        (["precompute", "--sise", "3"], "unknown argument '--sise'; did you mean '--size'?"),
        (["precompute", "--synth", "chirp", "--sise=3"], "unknown argument '--sise'; did you mean '--size'?"),
        (["match", "--cashe", "c.h5"], "unknown argument '--cashe'; did you mean '--cache'?"),
    ],
)
def test_an_unknown_flag_is_answered_by_what_was_meant(argv, message, capsys):
    said = refused(argv, capsys)
    assert message in said
    assert said.startswith(f"pnp {argv[0]}: error: ")


def test_an_option_before_the_verb_is_told_where_it_belongs(capsys):
    said = refused(["--quiet", "verify", "c.h5"], capsys)
    assert said.startswith(
        "pnp verify: error: argument '--quiet' must follow the verb: pnp verify --quiet (see"
    )


def test_a_synthesizer_without_a_file_or_module_is_named(capsys):
    said = refused(["precompute", "--synth", ":make", "--size", "2"], capsys)
    assert "synthesizer ':make' lacks the file or module before the colon" in said


@pytest.mark.parametrize("verb", ["precompute", "match", "demo"])
def test_a_folder_that_cannot_be_made_is_named_in_a_sentence(verb, tmp_path, capsys, monkeypatch):
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    (tmp_path / "file").touch()
    arguments = {
        "precompute": ["precompute", *FAST, "--out", str(tmp_path / "file" / "sub" / "x.h5")],
        "demo": ["demo", "--size", "2", "--epochs", "1", "--quiet", "--out", str(tmp_path / "file" / "sub")],
        "match": ["match", str(tmp_path / "none.wav"), "--cache", str(tmp_path / "file" / "c.h5")],
    }[verb]
    said = refused(arguments, capsys)
    assert "Errno" not in said
    assert str(tmp_path) in said
    monkeypatch.setattr(Path, "mkdir", refuse)
    if verb != "match":
        arguments[-1] = str(tmp_path / "new" / "sub" / "x.h5")
        said = refused(arguments, capsys)
        assert "lies on a file system that cannot be written to; choose another place" in said
        assert "Errno" not in said


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENOSPC, errno.EIO]
)
def test_an_error_of_the_operating_system_names_the_path_and_no_number(number):
    error = OSError(number, "what it says", "some/where")
    sentence = sentence_of(error)
    assert "some/where" in sentence
    assert "Errno" not in sentence
    assert "Errno" not in sentence_of(OSError(number, "what it says"))
    # A sentence that somebody wrote is passed on.
    assert sentence_of(FileNotFoundError("there is no run here")) == "there is no run here"


def test_swapped_arguments_of_evaluate_are_named(tmp_path, capsys):
    (tmp_path / "toy.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (tmp_path / "run").mkdir()
    said = refused(["evaluate", str(tmp_path / "toy.h5"), str(tmp_path / "run")], capsys)
    assert "toy.h5 is a cache, expected a run of `pnp train`; swap the two if both were given" in said
