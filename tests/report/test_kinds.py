"""Reports about a cache with choices, integers and conditions: in the terminal and on the page."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from discrete import Organ, Spectrum

import pnp
from pnp.report.html import write_page
from pnp.report.numbers import cache_report
from pnp.report.terminal import as_text


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> pnp.MetricCache:
    path = tmp_path_factory.mktemp("kinds") / "organ.h5"
    pnp.precompute(Organ(), Spectrum(), path, size=32, probe=False, progress=False)
    return pnp.MetricCache(path)


def test_distances_between_options_are_medians_over_both_directions(cache: pnp.MetricCache) -> None:
    found = cache_report(cache).choice_distances["wave"]
    true, distances = cache.choices[:, 0], cache.choice_distances["wave"].sqrt()
    pair = torch.cat([distances[true == 0, 2], distances[true == 2, 0]])
    assert found[0][2] == found[2][0] == pytest.approx(float(pair.median()))
    assert [found[k][k] for k in range(3)] == [0, 0, 0]
    assert json.loads(json.dumps(cache_report(cache).to_dict()))["choice_distances"]["wave"] == found


def test_the_terminal_shows_kinds_as_what_they_are(cache: pnp.MetricCache) -> None:
    text = as_text(cache_report(cache), 80)
    assert re.search(r"choice wave +sine, square, soft_square", text)
    assert re.search(r"condition note +40 to 60", text)
    # Square and soft square are nearly the same.
    assert re.search(r"wave +[\d.]+ +square, soft_square +[\d.]+ +sine, ", text)
    assert max(map(len, text.splitlines())) <= 80
    assert "distance between options of wave" in as_text(cache_report(cache), 80, everything=True)


def test_the_page_shows_choices_and_plays_steps_that_keep_them(
    cache: pnp.MetricCache, tmp_path: Path
) -> None:
    heard = []

    class Recorded(Organ):
        def forward(self, theta):
            heard.append(theta.clone())
            return super().forward(theta)

    page = write_page(
        cache, tmp_path / "page.html", synth=Recorded(), features=Spectrum(), sounds=2, rows=[3, 7]
    )
    text = re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8"))
    wave = ("sine", "square", "soft_square")[int(cache.choices[3, 0])]
    note = int(cache.conditions[3, 0])
    assert f"wave {wave}, note {note}" in text
    assert "Choices" in text
    # Every sound that is played has the option and the conditions of its setting, and whole integers.
    kept = {tuple(row) for row in cache.theta[[3, 7], 2:].float().tolist()}
    made = torch.cat([theta for theta in heard if len(theta)]).float()
    assert {tuple(row) for row in made[:, 2:].tolist()} <= kept
    assert torch.equal(made[:, 1], made[:, 1].round())


def test_a_selection_is_reported(cache: pnp.MetricCache, tmp_path: Path) -> None:
    view = cache.select(["decay"])
    report = cache_report(view)
    assert report.names == ["decay"]
    assert report.choices == {}
    assert report.metric is not None
    step = float((1 / view.metrics().matrix[:, 0, 0].sqrt()).median())
    assert report.metric.steps[0].scaled == pytest.approx(step)
    assert write_page(view, tmp_path / "page.html", synth=Organ(), features=Spectrum()).exists()


def test_options_that_no_sound_has_have_no_distance(tmp_path: Path) -> None:
    theta = [[5.0, 2, 0, 50, 0.5], [6.0, 3, 0, 50, 0.5]]
    pnp.precompute(Organ(), Spectrum(), tmp_path / "x.h5", theta=theta, probe=False, progress=False)
    with pnp.MetricCache(tmp_path / "x.h5") as cache:
        found = cache_report(cache).choice_distances["wave"]
        assert math.isnan(found[1][2])
        assert found[0][1] > 0
        assert "wave" in as_text(cache_report(cache), 80, everything=True)
