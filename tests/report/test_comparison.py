"""Two caches side by side."""

import json
from pathlib import Path

import pytest
import torch
from random_caches import metric_cache

from pnp.cli.main import main
from pnp.report.comparison import compare
from pnp.report.html import write_comparison
from pnp.report.terminal import comparison_as_text


def test_a_cache_and_itself_do_not_differ(tmp_path: Path) -> None:
    cache = metric_cache(tmp_path / "a.h5", 6, alike=False)
    found = compare(cache, cache)
    assert found.same_sounds
    assert found.angles == pytest.approx([0.0] * found.directions, abs=1e-5)
    assert found.differences == ["both hear the same parameters, about as clearly"]


def test_a_parameter_that_one_cache_does_not_hear_is_named_first(tmp_path: Path) -> None:
    full = metric_cache(tmp_path / "a.h5", 5)
    deaf = metric_cache(tmp_path / "b.h5", 5, silent=1)
    found = compare(full, deaf)
    assert found.parameters[0].name == "p04_level"
    assert found.parameters[0].heard == (True, False)
    assert "only A hears p04_level" in found.differences
    assert "only B hears p04_level" in compare(deaf, full).differences


def test_angles_are_those_between_the_eigenvectors(tmp_path: Path) -> None:
    first, second = (metric_cache(tmp_path / f"{seed}.h5", 5, seed=seed) for seed in (1, 2))
    found = compare(first, second)
    assert not found.same_sounds
    bases = [cache.metrics().mean().eigenvectors[:, : found.directions] for cache in (first, second)]
    cosines = torch.linalg.svdvals(bases[0].mT @ bases[1]).clamp(max=1)
    assert found.angles == pytest.approx(torch.rad2deg(cosines.acos()).tolist(), abs=1e-4)


def test_only_shared_parameters_are_compared(tmp_path: Path) -> None:
    first = metric_cache(tmp_path / "a.h5", 3, names=["cutoff", "drive", "pan"])
    second = metric_cache(tmp_path / "b.h5", 3, names=["drive", "width", "pan"])
    # A linear parameter of one is not a logarithmic one of the other.
    with pytest.raises(ValueError, match="parameter 'drive' has another range"):
        compare(first, second)
    third = metric_cache(tmp_path / "c.h5", 3, names=["width", "drive", "tone"])
    found = compare(first, third)
    assert [parameter.name for parameter in found.parameters] == ["drive"]
    assert [side.only for side in found.sides] == [["cutoff", "pan"], ["width", "tone"]]
    with pytest.raises(ValueError, match="share no parameter"):
        compare(first, metric_cache(tmp_path / "d.h5", 1, names=["tone"]))


@pytest.mark.parametrize("n_parameters", [1, 3, 80])
def test_a_comparison_fits_two_screens(n_parameters: int, tmp_path: Path) -> None:
    caches = [metric_cache(tmp_path / f"{seed}.h5", n_parameters, seed=seed) for seed in (1, 2)]
    lines = comparison_as_text(compare(*caches)).split("\n")
    assert len(lines) <= 46
    assert max(map(len, lines)) <= 80


def test_a_cache_that_hears_nothing_has_no_angle(tmp_path: Path) -> None:
    mute = metric_cache(tmp_path / "mute.h5", 3, silent=3)
    found = compare(mute, metric_cache(tmp_path / "heard.h5", 3))
    assert found.angles == []
    text = comparison_as_text(found)
    assert "angle" not in text
    assert "only B hears p00_level, p01_level, p02_level" in text
    page = write_comparison(found, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Angles" not in page


def test_the_command_compares(tmp_path: Path, capsys) -> None:
    paths = []
    for seed in (1, 2):
        metric_cache(tmp_path / f"{seed}.h5", 4, seed=seed).close()
        paths.append(str(tmp_path / f"{seed}.h5"))
    assert main(["inspect", *paths]) == 0
    assert "angle" in capsys.readouterr().out
    assert main(["inspect", *paths, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["parameters"]) == 4
    page = tmp_path / "page.html"
    assert main(["inspect", *paths, "--html", str(page)]) == 0
    written = page.read_text(encoding="utf-8")
    assert "<h1>1.h5 beside 2.h5</h1>" in written
    assert all(f"p0{p}_level" in written for p in range(4))
    capsys.readouterr()
    assert main(["inspect", *paths, "--index", "1"]) == 2
    assert "--index goes with one cache" in capsys.readouterr().err
