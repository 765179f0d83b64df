"""Reports in lines: they fit, they say the most important first, and no file steers a terminal."""

from pathlib import Path

import pytest
from random_caches import metric_cache

from pnp.report.numbers import cache_report, sound_report
from pnp.report.terminal import as_text

LONG = [f"a_very_long_parameter_name_of_a_commercial_synthesizer_{p:05}" for p in range(8)]


@pytest.mark.parametrize("n_parameters", [1, 3, 31, 80, 100])
@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_report_fits_the_terminal_and_two_screens(n_parameters: int, width: int, tmp_path: Path) -> None:
    cache = metric_cache(tmp_path / "cache.h5", n_parameters, silent=n_parameters // 10)
    for report in (cache_report(cache), sound_report(cache, 3)):
        lines = as_text(report, width).split("\n")
        assert max(map(len, lines)) <= width
        assert width < 80 or len(lines) <= 46
        everything = as_text(report, width, everything=True)
        assert max(map(len, everything.split("\n"))) <= width
        assert all(name in everything for name in cache.space.names)


def test_the_most_audible_parameter_comes_first_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    cache = metric_cache(tmp_path / "cache.h5", 80, silent=3)
    report = cache_report(cache)
    lines = as_text(report).split("\n")
    rows = [line.split()[0] for line in lines if line.startswith("  p") and "_level" in line]
    assert rows == report.findings.heard[: len(rows)]
    assert len(rows) >= 8
    assert f"  … and {77 - len(rows)} more of 77 parameters that are heard: --all" in lines
    inaudible = next(line for line in lines if line.startswith("inaudible"))
    assert "median sound" in inaudible
    assert set(report.findings.inaudible) == set(cache.space.names[-3:])


def test_parameters_that_sound_alike_are_one_group(tmp_path: Path) -> None:
    report = cache_report(metric_cache(tmp_path / "cache.h5", 31))
    assert [sorted(group) for group in report.findings.alike] == [["p00_level", "p01_level", "p02_level"]]
    (line,) = (line for line in as_text(report).split("\n") if "p01_level" in line and "p02_level" in line)
    group = report.metric.alike[0]
    least = min(report.metric.confusion[i][j] for i in group for j in group if i != j)
    assert line.split()[0] == f"{least:.2f}"


def test_a_file_does_not_steer_the_terminal(tmp_path: Path) -> None:
    units = ["\x1b[31mHz", "$\\frac$", "\u202eHz"]
    cache = metric_cache(tmp_path / "cache.h5", 3, units=units, failed=2)
    for report in (cache_report(cache), sound_report(cache, 0), sound_report(cache, 5)):
        text = as_text(report, 100, everything=True)
        assert all(line.isprintable() for line in text.split("\n"))
    assert "\\u001b[31mHz" in as_text(cache_report(cache))


def test_long_names_are_shortened_in_the_middle_or_shown_whole(tmp_path: Path) -> None:
    report = cache_report(metric_cache(tmp_path / "cache.h5", 8, names=LONG))
    lines = as_text(report).split("\n")
    assert max(map(len, lines)) <= 80
    assert any("a_very_lon…zer_00003" in line for line in lines)
    assert "stands for the middle of a long name" in lines[-1]


@pytest.mark.parametrize("kind", ["all inaudible", "one sound", "one parameter", "some failed"])
def test_degenerate_caches_are_described(kind: str, tmp_path: Path) -> None:
    options = {
        "all inaudible": {"n_parameters": 4, "silent": 4},
        "one sound": {"n_parameters": 6, "size": 1},
        "one parameter": {"n_parameters": 1},
        "some failed": {"n_parameters": 3, "failed": 5},
    }[kind]
    text = as_text(cache_report(metric_cache(tmp_path / "cache.h5", **options)))
    said = {
        "all inaudible": "nothing is heard: no parameter makes a distance of 1",
        "one sound": "1 of 1 with a metric",
        "one parameter": "p00_level",
        "some failed": "5 × raised \\u001b[31mValueError (sound 0, 1, 2, 3, 4)",
    }[kind]
    assert said in text


def test_a_sentence_and_the_matrix_beside_it_agree(tmp_path: Path) -> None:
    report = cache_report(metric_cache(tmp_path / "cache.h5", 6, alike=False))
    text = as_text(report, everything=True)
    (said,) = (line for line in text.split("\n") if line.startswith("no two sound alike"))
    matrix = report.metric.confusion
    largest = max(matrix[i][j] for i in range(6) for j in range(i))
    assert f"{largest:.2f}" in said + text.split(said)[1].split("\n")[1]
    shown = text.split("median |cosine|\n")[1].split("\n\n")[0]
    cells = [float(cell) for line in shown.split("\n")[1:] for cell in line.split()[1:]]
    assert sorted(cells)[-8] == pytest.approx(round(largest, 2))
