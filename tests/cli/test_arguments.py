"""Arguments: what is taken, and one sentence for what is not."""

import argparse

import pytest

from pnp.cli import arguments


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (arguments.positive, "12", 12),
        (arguments.count, "0", 0),
        (arguments.seed, "-3", -3),
        (arguments.sizes, "4,5", (4, 5)),
        (arguments.sizes, "4", 4),
        (arguments.shard, "3/4", (3, 4)),
        (arguments.support, "global", "global"),
        (arguments.support, "0", 0),
        (arguments.positive_number, "1e-3", 1e-3),
        (arguments.nonnegative_number, "-0", 0.0),
        (arguments.key_value, 'ranges={"f": [1, 2]}', ("ranges", {"f": [1, 2]})),
        (arguments.key_value, "path=a=b", ("path", "a=b")),
    ],
)
def test_values_are_parsed(parse, text: str, value) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((arguments.positive, text) for text in ("0", "-1", "1.5", "²", "", "1e3", "٣")),
        *((arguments.count, text) for text in ("-1", "nan")),
        *((arguments.seed, text) for text in ("1.0", "--1", "²", str(2**63))),
        *((arguments.sizes, text) for text in ("4,", "0,1")),
        *((arguments.shard, text) for text in ("4/4", "1", "/2", "²/3")),
        *((arguments.support, text) for text in ("local", "-1", "²")),
        *(
            (arguments.positive_number, text)
            for text in ("0", "-1", "nan", "inf", "1e-200", "1e200", "x", "")
        ),
        *((arguments.nonnegative_number, text) for text in ("-1", "1e-200", "nan")),
        *((arguments.key_value, text) for text in ("x", "1=2", "=1", "x=" + "[" * 100_000)),
    ],
)
def test_what_cannot_be_parsed_is_said(parse, text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse(text)
