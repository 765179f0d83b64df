"""One parameter: its kinds, what is refused, and the values that programs receive."""

import pytest

from pnp.parameters import Parameter


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("f c", 0.0, 1.0), "identifier"),
        (("", 0.0, 1.0), "identifier"),
        (("f", 1.0, 1.0), "low must be less than high"),
        (("f", 2.0, 1.0), "low must be less than high"),
        (("f", float("nan"), 1.0), "low must be finite"),
        (("f", 0.0, float("inf")), "high must be a finite number, got inf"),
        (("f", 0.0, 1.0, "log"), "log scale needs low > 0"),
        (("f", -1.0, 1.0, "log"), "log scale needs low > 0"),
    ],
)
def test_an_invalid_parameter_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        Parameter(*arguments)


def test_an_unknown_scale_names_the_allowed_ones():
    with pytest.raises(ValueError, match="'linear', 'log' or 'power', got 'mel'"):
        Parameter("f", 1.0, 2.0, "mel")


def test_bounds_are_stored_as_floats():
    assert Parameter("f", 1, 2) == Parameter("f", 1.0, 2.0)
    assert isinstance(Parameter("f", 1, 2).low, float)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choices": ("saw",)}, "at least two different options"),
        ({"choices": ("saw", "saw")}, "at least two different options"),
        ({"choices": ("a", "b"), "low": 0.0, "high": 5.0}, "options and no range"),
        ({"choices": ("a", "b"), "scale": "log"}, "no scale"),
        ({"kind": "choice", "low": 0, "high": 1}, "needs its options"),
        ({"kind": "integer", "low": 0.5, "high": 3}, "whole ends, got low = 0.5"),
        ({"kind": "integr", "low": 0, "high": 3}, "did you mean 'integer'"),
        ({"low": 0, "high": 1, "offset": 0.1}, "offset goes with scale='log'"),
        (
            {"low": 0, "high": 1, "scale": "log", "offset": -0.1},
            "offset must be a finite number of at least 0",
        ),
        ({"low": 0, "high": 1, "exponent": 2}, "exponent goes with scale='power'"),
        (
            {"low": 0, "high": 1, "scale": "power", "exponent": 0},
            "exponent must be a finite number from 0.1 to 10",
        ),
        ({}, "low must be finite, got nan; give low and high, or choices"),
    ],
)
def test_what_no_kind_of_parameter_is(options, message):
    with pytest.raises(ValueError, match=message):
        Parameter("p", **options)


@pytest.mark.parametrize("choices", ["saw", (1, 2), ("saw", "")])
def test_options_are_names_in_a_tuple(choices):
    # In tests the annotations are checked first, by another error.
    with pytest.raises((ValueError, TypeError)):
        Parameter("wave", choices=choices)


def test_programs_receive_floats_whole_numbers_and_names():
    assert Parameter("f", 0, 2).value(1.25) == 1.25
    voices = Parameter("voices", 1, 8, kind="integer")
    assert [voices.value(x) for x in (0.2, 2.6, 99.0)] == [1, 3, 8]
    assert isinstance(voices.value(2.6), int)
    wave = Parameter("wave", choices=("saw", "square"))
    assert [wave.value(x) for x in (-1.0, 0.4, 0.6, 7.0)] == ["saw", "saw", "square", "square"]


def test_numbers_stand_for_values_and_others_are_refused():
    wave = Parameter("wave", choices=("saw", "square"))
    assert wave.number("square") == 1.0
    assert wave.number(0) == 0.0
    with pytest.raises(ValueError, match="options saw, square, got 'sqare'; did you mean 'square'"):
        wave.number("sqare")
    with pytest.raises(ValueError, match=r"'voices' needs a whole number, got 3\.5"):
        Parameter("voices", 1, 8, kind="integer").number(3.5)
    with pytest.raises(ValueError, match="'f' needs a number, got '1,5'"):
        Parameter("f", 0, 2).number("1,5")


@pytest.mark.parametrize(
    "parameter",
    [
        Parameter("f", 0.1, 2.0, "log", "Hz"),
        Parameter("attack", 0.0, 2.0, "log", "s", offset=0.01),
        Parameter("depth", 0.0, 1.0, "power", exponent=3.0),
        Parameter("voices", 1, 8, kind="integer"),
        Parameter("wave", choices=("saw", "square")),
    ],
)
def test_dictionaries_are_read_back(parameter):
    assert Parameter.from_dict(parameter.to_dict()) == parameter
