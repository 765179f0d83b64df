"""Endings of a command: a sentence for bad input, a traceback for a bug, and no control characters from a file."""

import io
import json
import logging
import pickle

import pytest
import torch

import pnp
from pnp._text import printable
from pnp.cli import outcome
from pnp.cli.main import VERBS, main
from pnp.cli.outcome import EXIT_BUG, EXIT_USAGE, sentence_of


def raised(code: str, module: str = "pnp.somewhere") -> Exception:
    """An error as it comes out of a module that holds this code."""
    try:
        exec(compile(code, "somewhere.py", "exec"), {"__name__": module, "torch": torch, "pnp": pnp})
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


DELIBERATE = "raise {kind}('expected 3,\\n got 4')"


@pytest.mark.parametrize(
    "kind", ["ValueError", "TypeError", "IndexError", "KeyError", "RuntimeError", "ImportError"]
)
def test_what_the_package_raises_on_purpose_is_a_sentence(kind: str) -> None:
    code = DELIBERATE.format(kind=kind)
    assert "expected 3" in (sentence_of(raised(code)) or "")
    # The same from another library was written for somebody else.
    assert sentence_of(raised(code, "torch.somewhere")) is None
    assert sentence_of(raised(code, "pnpfoo")) is None


def test_a_sentence_has_one_line() -> None:
    assert sentence_of(raised(DELIBERATE.format(kind="ValueError"))) == "expected 3, got 4"


def test_an_error_that_is_translated_or_passed_on_is_a_sentence() -> None:
    translated = (
        "try:\n    int('x')\nexcept ValueError as error:\n    raise ValueError('no number') from error"
    )
    passed_on = "try:\n    raise ValueError('no number')\nfinally:\n    done = True"
    assert sentence_of(raised(translated)) == sentence_of(raised(passed_on)) == "no number"


@pytest.mark.parametrize(
    "code",
    [
        "[][0]",
        "{}['key']",
        "1 / 0",
        "None.attribute",
        "int('x')",
        "'x' + 1",
        "torch.zeros(2) @ torch.zeros(3)",
        "torch.zeros(3)[5]",
        "pnp.ParameterSpace([], wrong=True)",
        "assert False, 'never'",
        "try:\n    [][0]\nexcept IndexError:\n    raise",
    ],
)
def test_a_bug_is_no_sentence(code: str) -> None:
    assert sentence_of(raised(code)) is None


@pytest.mark.parametrize(
    "error",
    [
        OSError("disk full"),
        FileNotFoundError("gone"),
        pnp.CacheError("damaged"),
        pnp.SynthesisError("silent"),
    ],
)
def test_errors_of_the_package_and_of_the_system_are_sentences_wherever_they_come_from(
    error: Exception,
) -> None:
    assert sentence_of(error) == str(error)
    # A worker's error arrives without its frames.
    assert sentence_of(pickle.loads(pickle.dumps(error))) == str(error)


def test_too_little_memory_is_a_sentence() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    for error in (caught.value, MemoryError(), torch.OutOfMemoryError("CUDA")):
        assert "not enough memory" in (sentence_of(error) or "")


def test_a_planted_bug_shows_where_it_is_and_asks_to_be_reported(monkeypatch, capsys) -> None:
    monkeypatch.setattr(VERBS["merge"], "run", lambda options: [][len(options.shards)])
    assert main(["merge", "a.h5", "--out", "b.h5"]) == EXIT_BUG
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last):")
    assert "IndexError: list index out of range" in error
    assert error.splitlines()[-1].startswith(f"pnp merge: this is a bug in pnp {pnp.__version__}")
    assert "please report" in error


def test_numbers_that_json_cannot_hold_are_named() -> None:
    with pytest.raises(ValueError, match="NaN or infinite numbers, which JSON cannot hold") as caught:
        outcome.as_json({"distance": float("nan")})
    assert sentence_of(caught.value) is not None


@pytest.mark.parametrize("character", ["\x1b", "\x9b", "\r", "\x00", "\x7f", "\u202e", "\u2028", "\udc80"])
def test_no_control_character_reaches_the_terminal(character: str, capsys, monkeypatch) -> None:
    text = f"a{character}[31mb"
    shown = f"a\\u{ord(character):04x}[31mb"
    assert printable(text) == shown
    outcome.say(text)
    outcome.tell(text)
    assert capsys.readouterr() == (shown + "\n", shown + "\n")
    record = logging.LogRecord("pnp", logging.INFO, "", 0, text, None, None)
    assert outcome._Formatter().format(record) == shown

    def refuse(options) -> int:
        raise OSError(text)

    monkeypatch.setattr(VERBS["merge"], "run", refuse)
    assert main(["merge", "a.h5", "--out", "b.h5"]) == EXIT_USAGE
    assert capsys.readouterr().err == f"pnp merge: error: {printable(' '.join(text.split()))}\n"


def test_letters_of_any_script_are_shown() -> None:
    text = "θ̂ − θ, 音色, ½ Δuᵀ M Δu\n\t→"
    assert printable(text, keep="\n\t") == text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_any_text_is_written_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding))
    outcome.write_any_text()
    outcome.say("λ ± 1 − 2 … \u03a9 → 😀")
    shown = written.getvalue().decode(encoding)
    if encoding == "utf-8":
        assert shown == "λ ± 1 − 2 … Ω → 😀\n"
    else:
        assert shown.startswith("lambda ")
        assert shown.endswith(" \\u03a9 -> \\U0001f600\n")
    outcome.say(outcome.as_json({"λ 😀": "Ω"}))
    assert json.loads(written.getvalue().decode(encoding).partition("\n")[2]) == {"λ 😀": "Ω"}
