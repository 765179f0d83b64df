"""Probe of choices, integers and conditions before a run."""

import logging

import numpy as np
import pytest
from discrete import Organ, Spectrum

from pnp.offline.kind_probe import probe_kinds
from pnp.offline.precompute import precompute
from pnp.parameters import Parameter, ParameterSpace
from pnp.synths.black_box import BlackBox


def tone(decay, wave, voices, note, velocity):
    """Tone that takes note of its decay, one wave and its velocity alone."""
    if wave == "square":
        raise KeyError("no table 'square'")
    t = np.arange(256) / 2000
    return velocity * np.exp(-decay * t) * np.sin(2 * np.pi * 200 * t)


def design():
    return Organ().space.sample(16)


def test_what_is_heard_makes_no_warning(caplog):
    with caplog.at_level(logging.WARNING):
        probe_kinds(Organ(), design(), "cpu")
    assert not caplog.records


def test_a_condition_and_an_integer_that_are_ignored_are_named(caplog):
    class Deaf(Organ):
        def forward(self, theta):
            theta = theta.clone()
            theta[:, 1], theta[:, 3] = 2, 50
            return super().forward(theta)

    with caplog.at_level(logging.WARNING):
        probe_kinds(Deaf(), design(), "cpu")
    (record,) = caplog.records
    message = record.getMessage()
    assert (
        "Deaf makes the same sound whatever the value of the integer 'voices', the condition 'note'"
        in message
    )
    assert "wave" not in message
    assert "velocity" not in message


def test_an_option_that_the_program_refuses_is_named_before_the_run(tmp_path):
    space = ParameterSpace(
        [
            Parameter("decay", 2.0, 20.0),
            Parameter("wave", choices=("sine", "square")),
            Parameter("voices", 1, 4, kind="integer"),
        ],
        conditions=[Parameter("note", 40, 60, kind="integer"), Parameter("velocity", 0.2, 1.0)],
    )
    synth = BlackBox(tone, space, sample_rate=2000, n_samples=256)
    with pytest.raises(
        ValueError, match=r"refuses option 'square' of 'wave' at each of \d sounds: .*no table"
    ):
        precompute(synth, Spectrum(), tmp_path / "x.h5", size=8, progress=False)
    assert not (tmp_path / "x.h5").exists()


def test_an_option_that_fails_at_some_sounds_is_taken():
    class Failing(Organ):
        def forward(self, theta):
            if ((theta[:, 2] == 1) & (theta[:, 4] > 0.8)).any():
                raise ValueError("no such table")
            return super().forward(theta)

    probe_kinds(Failing(), design(), "cpu")
