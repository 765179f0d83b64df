"""The panel of synthesizers: what it judges by, and what its page says."""

import json
import math
from pathlib import Path

import pytest
import torch
from panelists.fm import Bell
from panelists.judges import LogMel
from panelists.members import PANEL
from panelists.page import Ratios, as_markdown

import pnp


def run(member, condition, seed, jtfs):
    distance = {"jtfs": jtfs, "multiscale": 1.0, "logmel": 1.0}
    return {
        "member": member,
        "condition": condition,
        "seed": seed,
        "epochs": 40,
        "seconds": 10.0,
        "distance": distance,
        "error": [0.1],
    }


def content():
    member = {"parameters": ["a"], "rate": 8000.0, "n_samples": 4000, "size": 100}
    return {
        "members": {
            "one": member | {"title": "first", "seconds": {"one": 50.0}, "condition": {}, "saturated": {}},
            "two": member | {"title": "second", "seconds": {"two": 20.0}, "condition": {}, "saturated": {}},
        },
        "runs": [
            run("one", "P", 0, 2.0),
            run("one", "P", 1, 4.0),
            run("one", "PNP", 0, 1.0),
            run("one", "PNP", 1, 3.0),
            run("one", "PNP", 2, 9.0),
            run("two", "P", 0, 1.0),
            run("two", "PNP", 0, 1.2),
        ],
    }


def test_ratios_are_paired_by_seed():
    ratios = Ratios(content())
    # Seed 2 of PNP has no P-loss to be compared with.
    assert ratios.of("one", "PNP") == [0.5, 0.75]
    assert ratios.panel("PNP") == pytest.approx([0.625, 1.2])


def test_the_page_says_where_an_aim_is_missed():
    page = as_markdown(content())
    assert "does not hold for second, 1.20" in " ".join(page.split())
    assert "ends at 0.91 of P-loss's JTFS distance" in " ".join(page.split())
    assert "{{" not in page


def test_the_page_is_that_of_the_kept_results():
    root = Path(__file__).parents[2]
    kept = json.loads((root / "benchmarks" / "results" / "panel.json").read_text("utf-8"))
    assert as_markdown(kept) == (root / "docs" / "evidence" / "panel.md").read_text("utf-8")


def test_log_mel_levels_of_a_tone_are_where_it_is():
    t = torch.arange(8192) / 8192
    levels = LogMel(8192.0)(0.5 * torch.sin(2 * math.pi * 1000 * t)[None])[0, :, 30]
    mel = 2595 * math.log10(1 + 1000 / 700)
    step = 2595 * math.log10(1 + 4096 / 700) / 65
    assert abs(int(levels.argmax()) - (mel / step - 1)) <= 1
    # Half the amplitude lies on either side of 0 Hz, and the window spreads it over neighbouring bins.
    assert -18 < float(levels.max()) < -9


def test_the_bell_of_the_panel_passes_the_probe():
    pnp.synths.probe(Bell(n_samples=512))


def test_harmonics_and_noise_of_the_panel_have_thirty_parameters_of_half_a_second():
    synth = PANEL["harmonics"].make()
    assert (len(synth.space), synth.n_samples, synth.sample_rate) == (30, 4096, 8192.0)
