"""Generated pages of the documentation: from results that are there, to the page that is there."""

import json
import runpy
from pathlib import Path

import pytest

from pnp.landscapes.text import HEADINGS

ROOT = Path(__file__).parents[2]
RESULTS = [ROOT / "benchmarks" / "results" / f"{part}.json" for part in ("A", "B", "C", "cost", "kymatio")]
VOICES = [ROOT / "benchmarks" / "results" / f"{part}.json" for part in ("jacobian", "D")]
WHOLE = [path for path in VOICES if path.stem != "D"]


def script(name: str) -> dict:
    return runpy.run_path(str(ROOT / "benchmarks" / name))


def test_the_page_of_benchmarks_is_what_its_results_make(tmp_path: Path) -> None:
    page = script("scattering.py")
    page["write_page"](page["by_machine"]([*RESULTS, *VOICES]), tmp_path)
    assert (tmp_path / "scattering-speed.md").read_text() == (
        ROOT / "docs/evidence/scattering-speed.md"
    ).read_text()
    assert (tmp_path / "images" / "benchmark-cost.png").stat().st_size > 0


def test_the_page_of_a_million_sounds_is_what_its_results_make() -> None:
    page = script("scale.py")["as_markdown"](WHOLE)
    assert page == (ROOT / "docs/evidence/scale.md").read_text()
    assert "{{" not in page


@pytest.mark.slow
def test_the_page_of_evidence_is_what_its_results_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = runpy.run_path(str(ROOT / "scripts" / "evidence_page.py"))
    monkeypatch.setattr(
        "sys.argv", ["", "--results", str(ROOT / "benchmarks/results"), "--docs", str(tmp_path)]
    )
    evidence["main"]()
    assert (tmp_path / "training.md").read_text() == (ROOT / "docs/evidence/training.md").read_text()


def test_the_page_of_landscapes_has_every_number_and_picture(tmp_path: Path) -> None:
    claim = {
        "minimum": [8.0, 1.0],
        "offset": [0.0, 0.5],
        "minimum_at_target": True,
        "downhill": 0.9,
        "each": [0.8, 0.7],
        "cosine": 0.6,
        "sensitivity": 0.5,
        "relief": 0.4,
        "reached": 0.3,
        "starts": 24,
    }
    options = {"J": 12, "Q": [8, 2], "J_fr": 3, "Q_fr": 2, "T": "global", "F": 8}
    scene = {
        "synthesizer": {},
        "steps": 40,
        "features": {"JTFS": {"config": {"representation": options, "scale": 1000.0}}},
        "target": {"f_m": 8.49, "gamma": 1.49},
        "parameters": [
            {"name": "f_m", "low": 4.0, "high": 16.0, "unit": "Hz"},
            {"name": "gamma", "low": 0.5, "high": 4.0, "unit": "octave/s"},
        ],
        "claims": {kind: {"no shift": claim, "shift 2⁸ samples": claim} for kind in ("JTFS", "MSS")},
        "model": {
            "points": 8,
            "loss_error": 0.123,
            "gradient_cosine": 0.9876,
            "descents": 3,
            "true_reached": 1.0,
            "end_distance_cells": 0.25,
        },
        "pnp": {
            "radius": {"+f_m": 0.125},
            "least_radius": 0.125,
            "metric": [[1.0, 0.0], [0.0, 1.0]],
            "pairs": [
                {
                    "cells": 2,
                    "distance": 0.21,
                    "median_ratio": 1.25,
                    "within_10_percent": 0.001,
                    "within_factor_2": 0.75,
                }
            ],
        },
    }
    (tmp_path / "landscapes.json").write_text(
        json.dumps({"grid": 20, "samples": 4096, "seed": 0, "scenes": {"chirp": scene}})
    )
    (tmp_path / "chirp-jtfs.png").write_bytes(b"picture")
    script("landscapes.py")["write_page"](tmp_path, tmp_path / "docs")
    page = (tmp_path / "docs" / "landscapes.md").read_text()
    assert (tmp_path / "docs" / "images" / "chirp-jtfs.png").read_bytes() == b"picture"
    assert all(heading in page for heading in HEADINGS)
    for number in (
        "30 % of 24",
        "0.9876",
        "12 %",
        "0.125",
        "1.25",
        "0.1 %",
        "T = global",
        "20 × 20",
        "8.49 Hz",
    ):
        assert number in page, number
    assert "varies between grid points more than such a model can follow" in page
