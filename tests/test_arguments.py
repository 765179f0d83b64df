"""Arguments that are none: one sentence each, whatever the option."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pnp
from pnp._arguments import check_keywords, file_path, finite_number, shown, truth, whole_number, whole_numbers

NO_NUMBERS = (
    "1",
    None,
    True,
    False,
    [1],
    (1,),
    1 + 0j,
    np.bool_(True),
    torch.tensor(1.0),
    np.array([1.0]),
    object(),
)


# An object at large names its address, which differs between processes that share the tests.
@pytest.mark.parametrize(
    "wrong", NO_NUMBERS, ids=lambda wrong: "object" if type(wrong) is object else repr(wrong)
)
def test_what_is_no_number_is_refused_by_its_type(wrong):
    for check in (finite_number, whole_number):
        with pytest.raises(TypeError, match=r"^reach must be a (finite|whole) number, got "):
            check("reach", wrong)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, np.float32("nan"), 10**400])
def test_numbers_that_are_not_finite_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^reach must be a finite number, got"):
        finite_number("reach", wrong)


@pytest.mark.parametrize(
    "kind", [int, float, np.float16, np.float32, np.float64, np.int8, np.uint16, np.int64]
)
def test_numbers_of_numpy_are_numbers(kind):
    number = finite_number("reach", kind(3), above=0, most=3)
    assert (number, type(number)) == (3.0, float)
    if kind is int or issubclass(kind, np.integer):
        count = whole_number("jobs", kind(3), least=1)
        assert (count, type(count)) == (3, int)
    else:
        with pytest.raises(TypeError, match=r"jobs must be a whole number of at least 1, got 3\.0"):
            whole_number("jobs", kind(3), least=1)


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "words"),
    [
        ({"above": 0}, 1e-300, 0, "above 0"),
        ({"least": 0}, 0, -1e-300, "of at least 0"),
        ({"above": 0, "below": 1}, 0.5, 1, "above 0 and below 1"),
        ({"above": 0, "most": 1}, 1, 1.5, "above 0 and at most 1"),
        ({"least": 0, "most": 2.0**100}, 2.0**100, 2e30, r"from 0 to 1\.26765e\+30"),
        ({"most": 5000}, -7, 5001, "at most 5,000"),
    ],
)
def test_a_range_is_told_in_words(limits, inside, outside, words):
    assert finite_number("x", inside, **limits) == inside
    with pytest.raises(
        ValueError, match=f"^x must be a finite number {words}, got {re.escape(str(outside))}"
    ):
        finite_number("x", outside, **limits)


def test_several_whole_numbers():
    assert whole_numbers("windows", [np.int32(8), 16], least=4) == (8, 16)
    for wrong, message in [
        ("8", "windows must be several whole numbers, got '8'"),
        (8, "windows must be several whole numbers, got 8"),
        ([8, "9"], "each of windows must be a whole number of at least 4, got '9'"),
        ([3], "each of windows must be a whole number of at least 4, got 3"),
        ([], "windows must be one whole number or more, got none"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            whole_numbers("windows", wrong, least=4)


def test_truth_values_are_no_words_and_no_numbers():
    assert truth("normalize", np.bool_(True)) is True
    for wrong in ("no", "False", 1, 0, None, [], torch.tensor(True)):
        with pytest.raises(TypeError, match="normalize must be True or False, got"):
            truth("normalize", wrong)


def test_paths():
    assert file_path("out", "a/b.h5") == file_path("out", Path("a/b.h5"))
    for wrong in (3, None, b"a.h5", ["a.h5"], "", "a\0b"):
        with pytest.raises((TypeError, ValueError), match=r"^out must be a path, got"):
            file_path("out", wrong)


def test_what_is_shown_is_short():
    for value in ("x" * 1000, list(range(1000)), 10**5000, object(), torch.zeros(1000), {"a": "b" * 1000}):
        assert len(shown(value)) < 60
        assert " at 0x" not in shown(value)


def test_unknown_keywords_are_named_with_what_was_meant():
    def function(self, reach, damping):
        del self, reach, damping

    check_keywords("loss", {"reach": 1}, function)
    with pytest.raises(TypeError, match=r"^loss has no option 'rech'; did you mean 'reach'\?$"):
        check_keywords("loss", {"rech": 1}, function)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pnp.PNPLos, r"module 'pnp' has no attribute 'PNPLos'; did you mean 'PNPLoss'\?"),
        (
            lambda: pnp.standardfeatures,
            r"no attribute 'standardfeatures'; did you mean 'standard_features'\?",
        ),
        (lambda: pnp.xyzzy, "no attribute 'xyzzy'$"),
    ],
)
def test_an_unknown_public_name_is_answered_by_what_was_meant(call, message):
    with pytest.raises(AttributeError, match=message):
        call()


SENTENCES = """
import sys
import pnp
from pnp.cli.outcome import sentence_of
from task import MemoryCache
from toy import ToyFeatures, ToySynth

cache = MemoryCache()
calls = [
    lambda: pnp.precompute(None, ToyFeatures(), "x.h5", size=1),
    lambda: pnp.precompute(ToySynth(), None, "x.h5", size=1),
    lambda: pnp.precompute(ToySynth(), ToyFeatures(), None, size=1),
    lambda: pnp.MetricCache(3),
    lambda: pnp.MetricCache(None),
    lambda: pnp.CacheDataset(3),
    lambda: pnp.PNPLoss.from_cache(cache, rech=1.0),
    lambda: pnp.SurrogateLoss.from_cache(cache, neighbors=3),
    lambda: pnp.ChoiceLoss.from_cache(3),
    lambda: pnp.standard_features(ToySynth(), J_fre=3),
    lambda: pnp.ParameterSpace(3),
    lambda: pnp.SpectralLoss(3, ToyFeatures()),
    lambda: pnp.MetricField(3, 4),
    lambda: pnp.DistanceSurrogate(1, 2, 3),
    lambda: pnp.train(3, ToySynth()),
    lambda: pnp.match(3, 4),
    lambda: pnp.match("sound.wav", 4),
]
for call in calls:
    try:
        call()
    except Exception as error:
        sentence = sentence_of(error)
        sys.stdout.write(f"{type(error).__name__}: {sentence}\\n" if sentence else f"RAW {error!r}\\n")
    else:
        sys.stdout.write("ACCEPTED\\n")
"""


def unchecked(*command: str) -> list[str]:
    """Run Python without the type checks of the tests, which would answer first; return the lines that it writes."""
    here = Path(__file__).parent
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(here.parent), str(here), *filter(None, sys.path)])
    }
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False, cwd=here
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_objects_of_another_kind_are_answered_by_a_sentence():
    lines = unchecked("-c", SENTENCES)
    assert len(lines) == SENTENCES.count("lambda:")
    assert [line for line in lines if line.startswith(("RAW", "ACCEPTED"))] == []
    assert "PNPLoss.from_cache has no option 'rech'; did you mean 'reach'?" in "\n".join(lines)


@pytest.mark.slow
def test_every_numeric_option_takes_numbers_and_nothing_else():
    assert unchecked("argument_sweep.py") == []
