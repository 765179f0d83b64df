"""Plug-ins: a toy instrument behind DawDreamer's interface, and Debian's amsynth behind the real one."""

import importlib.util
import itertools
import json
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import pnp
from pnp.synths.plugin_host import _host
from pnp.synths.plugin_parameters import PluginParameter, PluginParameters

AMSYNTH = Path("/usr/lib/vst/amsynth_vst.so")
HAS_AMSYNTH = AMSYNTH.exists() and importlib.util.find_spec("dawdreamer") is not None


class Toy:
    """Instrument with a gain that glides, a waveform, a transposition, and an oscillator that may run freely."""

    def __init__(self):
        self.target = [0.5, 0.0, 0.5, 0.0, 0.0]
        self.gain, self.phase, self.notes = np.float32(0.0), 0.0, []

    def get_parameters_description(self):
        titles = ("Gain", "Wave Form", "Transpose", "free run", "MIDI CC 1|2")
        return [{"name": title, "index": i, "label": "st" * (i == 2)} for i, title in enumerate(titles)]

    def get_parameter(self, index):
        return self.target[index]

    def set_parameter(self, index, position):
        self.target[index] = position

    def get_parameter_text(self, index):
        position = self.target[index]
        return (
            f"{position:.3f}",
            ("Saw", "Square", "Sine")[round(2 * position)],
            f"{round(24 * position) - 12} st",
            ("off", "on")[round(position)],
            f"{position:.3f}",
        )[index]

    def get_num_output_channels(self):
        return 2

    def clear_midi(self):
        self.notes = []

    def add_midi_note(self, note, velocity, start, duration):
        self.notes.append((note, velocity, start, duration))


class Engine:
    def __init__(self, rate, buffer):
        self.rate = rate

    def make_plugin_processor(self, name, path):
        if not path.endswith(".so"):
            raise RuntimeError("Unable to load plugin.")
        return Toy()

    def load_graph(self, graph):
        ((self.toy, _),) = graph

    def render(self, seconds):
        toy, n = self.toy, int(seconds * self.rate)
        ((note, velocity, _, hold),) = toy.notes
        note += round(24 * toy.target[2]) - 12
        t = np.arange(n) / self.rate
        gain = np.empty(n, np.float32)
        for i in range(n):  # in single precision, it stalls before it arrives
            toy.gain += np.float32(0.2) * (np.float32(toy.target[0]) - toy.gain)
            gain[i] = toy.gain
        if toy.target[3] > 0.5:
            toy.phase += 0.1
        x = np.sin(2 * np.pi * 440 * 2 ** ((note - 69) / 12) * t + toy.phase)
        x = (2 * t * 100 % 2 - 1, np.sign(x), x)[round(2 * toy.target[1])]
        x = gain * x * velocity / 127 * (t < hold)
        self.audio = np.stack([x, 0.5 * x]).astype(np.float32)

    def get_audio(self):
        return self.audio


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Path of a plug-in that the stand-in for DawDreamer loads."""
    monkeypatch.setitem(sys.modules, "dawdreamer", types.SimpleNamespace(RenderEngine=Engine))
    _host.cache_clear()
    path = tmp_path / "toy.so"
    path.write_bytes(b"a plug-in")
    yield str(path)
    _host.cache_clear()


def plugin(path, parameters=("Gain",), **options):
    return pnp.synths.Plugin(path, parameters, sample_rate=8000.0, n_samples=400, **options)


SPACE = pnp.ParameterSpace(
    [
        pnp.Parameter("Gain", 0.1, 0.9),
        pnp.Parameter("Transpose", -5, 5, kind="integer"),
        pnp.Parameter("Wave_Form", choices=("Sine", "Saw")),
    ],
    conditions=[pnp.Parameter("note", 36, 84, kind="integer")],
)


def test_parameters_are_listed_with_kinds_and_texts(toy):
    known = pnp.synths.Plugin.parameters_of(toy)
    assert known.names == ("Gain", "Wave_Form", "Transpose", "free_run", "MIDI_CC_1_2")
    table = str(known).splitlines()
    assert table[1].split() == ["Gain", "continuous", "0.5", "0.000", "to", "1.000"]
    assert table[2].split() == ["Wave_Form", "choice", "0", "Saw,", "Square,", "Sine"]
    assert table[5:] == ["and 1 parameter of the host"]
    assert known["Wave_Form"].positions == (0.0, 0.5, 1.0)
    proposed = known.proposal(conditions=[pnp.Parameter("note", 36, 84, kind="integer")])
    assert proposed == pnp.ParameterSpace(
        [
            pnp.Parameter("Gain", 0.0, 1.0),
            pnp.Parameter("Wave_Form", choices=("Saw", "Square", "Sine")),
            pnp.Parameter("Transpose", -12, 12, kind="integer", unit="st"),
            pnp.Parameter("free_run", choices=("off", "on")),
        ],
        conditions=[pnp.Parameter("note", 36, 84, kind="integer")],
    )


@pytest.mark.parametrize(
    ("title", "own"),
    [("MIDI CC 0|1", False), ("MIDI Ch. 16 CC 129", False), ("Bypass", False), ("MIDI Channel", True)],
)
def test_controllers_that_a_format_lists_are_not_parameters_of_the_plugin(title, own):
    parameter = PluginParameter("name", title, 0, 0.0, "", ("0", "1"), (0.0, 1.0), is_discrete=False)
    assert bool(PluginParameters("toy", [parameter]).own) == own


def test_reading_the_parameters_leaves_them_as_they_were(toy):
    first, again = pnp.synths.Plugin.parameters_of(toy), pnp.synths.Plugin.parameters_of(toy)
    assert [p.default for p in again] == [p.default for p in first] == [0.5, 0.0, 0.5, 0.0, 0.0]


def test_a_sound_is_that_of_its_parameters_whatever_was_played_before(toy):
    synth = plugin(toy, SPACE)
    theta = synth.space.from_unit(synth.space.snap(synth.space.sample(16)))
    x = synth(theta)
    assert torch.equal(synth(theta.flip(0)).flip(0), x)
    _host.cache_clear()
    assert torch.equal(synth(theta), x)


def test_sounds_are_those_of_the_formula(toy):
    synth = plugin(toy, SPACE)
    gain, transpose, sine, note = 0.6, -3.0, 0.0, 72.0
    x = synth(torch.tensor([gain, transpose, sine, note], dtype=torch.float64))
    t = torch.arange(400, dtype=torch.float64) / 8000
    f0 = 440 * 2 ** ((note + transpose - 69) / 12)
    expected = 0.75 * gain * 100 / 127 * torch.sin(2 * torch.pi * f0 * t) * (t < 0.75 * 400 / 8000)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-5)


def test_options_may_be_renamed_in_their_order(toy):
    named = pnp.ParameterSpace(
        [pnp.Parameter("Gain", 0.1, 0.9), pnp.Parameter("Wave_Form", choices=("zigzag", "box", "pure"))]
    )
    known = pnp.ParameterSpace(
        [pnp.Parameter("Gain", 0.1, 0.9), pnp.Parameter("Wave_Form", choices=("Saw", "Square", "Sine"))]
    )
    theta = torch.tensor([[0.5, 0.0], [0.5, 1.0], [0.5, 2.0]], dtype=torch.float64)
    x = plugin(toy, named)(theta)
    assert torch.equal(x, plugin(toy, known)(theta))
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(x, 2))


def test_notes_and_velocities_are_conditions_or_fixed(toy):
    varied = plugin(
        toy,
        note=pnp.Parameter("note", 36, 84, kind="integer"),
        velocity=pnp.Parameter("velocity", 1, 127, kind="integer"),
    )
    assert [c.name for c in varied.space.conditions] == ["note", "velocity"]
    fixed = plugin(toy, note=50, velocity=80)
    assert torch.equal(varied(torch.tensor([0.5, 50.0, 80.0])), fixed(torch.tensor([0.5])))


def test_settings_hold_for_what_is_not_in_the_space(toy):
    by_text, by_position = (
        plugin(toy, settings={"Wave_Form": "Sine"}),
        plugin(toy, settings={"Wave_Form": 1.0}),
    )
    half, saw = torch.tensor([0.5]), plugin(toy)
    assert torch.equal(by_text(half), by_position(half))
    # One instance serves all of them.
    assert not torch.equal(saw(half), by_text(half))
    assert torch.equal(by_text(half), by_position(half))


def test_channels_are_averaged_or_one_after_the_other(toy):
    half = torch.tensor([0.5], dtype=torch.float64)
    left, right = plugin(toy, channels="concatenate")(half).view(2, 200)
    torch.testing.assert_close(right, 0.5 * left)
    mixed = pnp.synths.Plugin(toy, ["Gain"], sample_rate=8000.0, n_samples=200)(half)
    torch.testing.assert_close(mixed, 0.75 * left)


def test_what_does_not_repeat_itself_is_refused_and_a_new_instance_helps(toy):
    half, free = torch.tensor([0.5]), {"free_run": "on", "Wave_Form": "Sine"}
    with pytest.raises(pnp.SynthesisError, match="does not repeat itself: no two of 8 renders"):
        plugin(toy, settings=free)(half)
    renewed = plugin(toy, settings=free, renew=True)
    assert torch.equal(renewed(half), renewed(half))


def test_configuration_is_json_and_makes_the_same_synthesizer(toy):
    synth = plugin(
        toy, SPACE, velocity=90, settings={"free_run": "off"}, hold=0.02, ranges={"Gain": (0.3, 0.6)}
    )
    again = pnp.synths.make(**json.loads(json.dumps(synth.config())))
    assert again.space == synth.space
    theta = synth.space.from_unit(synth.space.snap(synth.space.sample(4)))
    assert torch.equal(again(theta), synth(theta))
    assert torch.equal(pickle.loads(pickle.dumps(synth))(theta), synth(theta))
    Path(toy).write_bytes(b"another version of it")
    assert plugin(toy, SPACE).config()["version"] != synth.config()["version"]


def test_a_space_may_be_a_file(toy, tmp_path):
    file = tmp_path / "space.json"
    file.write_text(SPACE.to_json())
    assert plugin(toy, str(file)).space == SPACE


def space_of(*parameters):
    return pnp.ParameterSpace([pnp.Parameter("Gain", 0.0, 1.0), *parameters])


@pytest.mark.parametrize(
    ("parameters", "options", "problem"),
    [
        (["Gian"], {}, r"has no parameter 'Gian'; did you mean 'Gain'\?"),
        (pnp.ParameterSpace([pnp.Parameter("Gain", -60.0, 0.0)]), {}, r"from 0 to 1, got \[-60, 0\]; 0 shows '0.000'"),
        (space_of(pnp.Parameter("Wave_Form", choices=("Saw", "Sinus"))), {}, r"no option 'Sinus'.*did you mean 'Sine'"),
        (space_of(pnp.Parameter("Wave_Form", choices=("a", "b"))), {}, "give some of these, or 3 names of your own"),
        (space_of(pnp.Parameter("Transpose", -13, 2, kind="integer")), {}, "has no setting -13"),
        (space_of(pnp.Parameter("note", 36, 84)), {}, "a note that varies must be an integer"),
        (["Gain"], {"note": 200}, "note must be a whole number from 0 to 127"),
        (["Gain"], {"note": pnp.Parameter("pitch", 1, 9, kind="integer")}, "of that name, got 'pitch'"),
        (SPACE, {"note": pnp.Parameter("note", 1, 9, kind="integer")}, "the space has a note already"),
        (["Gain"], {"settings": {"Gain": 0.5}}, "is in the space and in settings"),
        (["Gain"], {"settings": {"Wave_Form": "Sin"}}, r"got 'Sin'; did you mean 'Sine'\?"),
        (["Gain"], {"settings": {"Wave_Form": 2}}, "positions from 0 to 1, got 2; pass the text"),
        (["Gain"], {"channels": "stereo"}, "'mix' or 'concatenate', got 'stereo'"),
        (["Gain"], {"hold": 0.0}, "hold must be a positive number of seconds"),
    ],
)  # fmt: skip
def test_bad_options_are_named(toy, parameters, options, problem):
    with pytest.raises(ValueError, match=problem):
        plugin(toy, parameters, **options)


def test_channels_share_the_samples(toy):
    with pytest.raises(ValueError, match="multiple of the 2 channels, one after the other, got 401"):
        pnp.synths.Plugin(toy, ["Gain"], n_samples=401, channels="concatenate")


def test_what_is_no_plugin_is_refused(toy, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="there is no plug-in '/nowhere"):
        plugin("/nowhere.so")
    text = tmp_path / "notes.txt"
    text.write_text("not a plug-in")
    with pytest.raises(ValueError, match="cannot be loaded as a plug-in; expected a VST2 library"):
        plugin(str(text))
    monkeypatch.setitem(sys.modules, "dawdreamer", None)
    _host.cache_clear()
    with pytest.raises(ImportError, match=r"install it with `pip install pnp-metric\[plugin\]`"):
        plugin(toy)


def test_a_setting_is_where_equal_steps_are_or_in_the_middle_of_where_it_shows():
    texts = ("a", "b", "c")
    even = PluginParameter("w", "w", 0, 0.0, "", texts, (0.0, 0.5, 1.0), True)
    assert even.position(pnp.Parameter("w", choices=("c", "a")), "c") == 1.0
    assert even.setting("b") == 0.5


@pytest.mark.slow
@pytest.mark.skipif(not HAS_AMSYNTH, reason="needs DawDreamer and Debian's amsynth")
class TestAmsynth:
    NAMES = (
        "filter_cutoff",
        "filter_resonance",
        "amp_attack",
        "amp_release",
        "distortion_crunch",
        "reverb_wet",
    )

    def space(self):
        return pnp.ParameterSpace(
            [
                *(pnp.Parameter(name, 0.1, 0.9) for name in self.NAMES),
                pnp.Parameter("osc2_pitch", -12, 12, kind="integer"),
                pnp.Parameter("osc1_waveform", choices=("0", "1", "2")),
            ],
            conditions=[pnp.Parameter("note", 36, 84, kind="integer")],
        )

    def test_it_has_41_parameters_and_kinds_are_told_apart(self):
        known = pnp.synths.Plugin.parameters_of(AMSYNTH)
        assert len(known) == 41
        space = known.proposal()
        assert {p.name for p in space.choices} == {
            "osc1_waveform", "osc2_waveform", "lfo_waveform", "osc2_range", "osc2_sync", "keyboard_mode", "filter_type",
            "filter_slope", "freq_mod_osc",
        }  # fmt: skip
        assert [p.name for p in space if p.kind == "integer"] == ["osc2_pitch"]

    def test_sounds_do_not_depend_on_what_was_played_before(self):
        synth = pnp.synths.Plugin(AMSYNTH, self.space(), n_samples=22050)
        theta = synth.space.from_unit(synth.space.sample(16))
        x = synth(theta)
        # Its distortion and its reverb glide, and stop on the side that they come from.
        assert torch.equal(synth(theta.flip(0)).flip(0), x)
        _host.cache_clear()
        assert torch.equal(synth(theta), x)
        assert (x.abs().amax(1) > 1e-3).all()

    def test_noise_does_not_repeat_itself(self):
        synth = pnp.synths.Plugin(AMSYNTH, ["filter_cutoff"], settings={"osc1_waveform": "3"}, n_samples=4410)
        with pytest.raises(pnp.SynthesisError, match="does not repeat itself"):
            synth(torch.tensor([0.8]))
