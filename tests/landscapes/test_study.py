"""`pnp figures`: files, numbers, and a rerun that uses what is kept."""

import json
import runpy
from pathlib import Path

import pytest

from pnp.cli.main import main
from pnp.landscapes.study import PARTS, run_figures


def test_scalograms_come_as_png_and_pdf(tmp_path) -> None:
    list(run_figures(tmp_path, only=["scalograms"], n_samples=4096, progress=False))
    assert (tmp_path / "chirp-scalograms.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "chirp-scalograms.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["drum"]}, "unknown part 'drum', expected one of scalograms, chirp, ripple"),
        ({"n": 3}, "at least 4 points"),
    ],
)
def test_what_cannot_be_made_is_said(options, message, tmp_path) -> None:
    with pytest.raises(ValueError, match=message):
        list(run_figures(tmp_path, **options))


@pytest.mark.slow
def test_all_figures_and_numbers(tmp_path, capsys) -> None:
    out = tmp_path / "out"
    call = ["figures", "--quiet", "--grid", "4", "--samples", "4096", "--steps", "2", "--jobs", "1"]
    call += ["--out", str(out)]
    assert main(call) == 0
    names = {"chirp-scalograms"} | {f"{s}-{k}" for s in ("chirp", "ripple") for k in ("jtfs", "mss", "pnp")}
    assert {path.stem for path in out.glob("*.png")} == names
    assert {path.stem for path in out.glob("*.pdf")} == names
    page_of = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "landscapes.py"))
    page_of["write_page"](out, tmp_path / "docs")
    assert {path.stem for path in (tmp_path / "docs" / "images").glob("*.png")} == names
    page = (tmp_path / "docs" / "landscapes.md").read_text()
    assert all(f"images/{name}.png" in page for name in names)
    first = json.loads((out / "landscapes.json").read_text())
    assert set(first["scenes"]) == set(PARTS) - {"scalograms"}
    made = {path: path.stat().st_mtime_ns for path in (out / "kept").glob("*.npz")}
    assert main(call) == 0
    assert made == {path: path.stat().st_mtime_ns for path in (out / "kept").glob("*.npz")}
    second = json.loads((out / "landscapes.json").read_text())
    for scene in first["scenes"]:
        assert first["scenes"][scene]["claims"] == second["scenes"][scene]["claims"]
