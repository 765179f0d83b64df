"""The page of a cache: what can be shown is shown, what cannot is said, and a browser opens it."""

import base64
import html
import io
import math
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from random_caches import metric_cache
from torch import Tensor, nn
from toy import ToyFeatures, ToySynth

import pnp
from pnp import Parameter, ParameterSpace, RiemannianMetric
from pnp.cli.main import main
from pnp.report.comparison import compare
from pnp.report.html import write_comparison, write_page
from pnp.report.html.audio import data_uris
from pnp.report.html.steps import listen, spread_out
from pnp.report.numbers import cache_report, sound_report
from pnp.report.terminal import as_text
from pnp.synths.wav import read_wav


class Many(nn.Module):
    """Sums of fixed sinusoids with P amplitudes."""

    def __init__(self, n_parameters: int) -> None:
        super().__init__()
        self.space = ParameterSpace([Parameter(f"a{p}", 0.1, 1.0) for p in range(n_parameters)])
        self.sample_rate, self.n_samples = 1000.0, 64

    def forward(self, theta: Tensor) -> Tensor:
        t = torch.arange(self.n_samples, dtype=theta.dtype)
        waves = torch.sin(torch.outer(torch.arange(1, theta.shape[-1] + 1).to(theta.dtype), 0.2 * t))
        return theta @ waves


def toy_cache(path: Path, size: int = 12, trouble: str = "", **options: Any) -> pnp.MetricCache:
    pnp.precompute(ToySynth(trouble=trouble), ToyFeatures(), path, size=size, progress=False, **options)
    return pnp.MetricCache(path)


# -- steps and sounds ----------------------------------------------------------------------------------------


def test_steps_have_the_distance_asked_for_unless_the_cube_cuts_them_off() -> None:
    metric = RiemannianMetric.from_factor(torch.diag(torch.tensor([10.0, 1.0, 1e-12]))[None])
    u = torch.tensor([[0.0, 0.75, -0.5]])
    (around,) = listen([0], metric, u, ["a", "b", "c"], 2.0, None, None)
    first, second, third = around.steps
    assert (first.predicted, first.scaled, first.clipped) == (pytest.approx(2), pytest.approx(0.2), False)
    assert second.clipped
    assert second.u.tolist() == pytest.approx([0, -1, -0.5])  # towards where there is more room
    assert second.predicted == pytest.approx(1.75)
    assert second.words == "−1.00 b"
    assert third.inaudible
    assert third.u.tolist() == pytest.approx([0, 0.75, 1])
    assert third.sound is None
    assert third.actual is None


def test_true_distances_are_those_of_the_features() -> None:
    synth, features = ToySynth(), ToyFeatures()
    metric = RiemannianMetric.from_factor(torch.eye(2)[None])
    u = torch.zeros(1, 2, dtype=torch.float64)
    (around,) = listen([0], metric, u, synth.space.names, 0.3, [synth], features, torch.float64)
    for step in around.steps:
        there, here = (features(synth(synth.space.from_unit(v[None]))) for v in (step.u, u[0]))
        assert step.actual == pytest.approx(float((there - here).norm()), rel=1e-4)


def test_chosen_sounds_are_spread_out() -> None:
    points = torch.tensor([[0.0], [0.1], [-1.0], [0.9]])
    assert spread_out(points, 3) == [0, 2, 3]
    assert spread_out(points, 99) == [0, 2, 3, 1]
    assert spread_out(points[:0], 3) == []


@pytest.mark.parametrize(("rate", "stored"), [(8192.0, 8192), (1000.0, 8000), (44100.0, 44100)])
def test_sounds_are_stored_with_a_common_gain_at_a_rate_that_browsers_play(rate, stored, tmp_path) -> None:
    # Whole periods, so that resampling does not ring at the ends.
    loud = torch.sin(2 * math.pi * 50 * torch.arange(1600) / 1600)
    soft = loud / 4
    decoded = []
    for uri in data_uris([loud, soft], rate):
        head, _, text = uri.partition(",")
        assert head == "data:audio/wav;base64"
        (tmp_path / "x.wav").write_bytes(base64.b64decode(text))
        samples, got = read_wav(tmp_path / "x.wav")
        assert got == stored
        assert len(samples) / stored == pytest.approx(1600 / rate)
        decoded.append(samples[:, 0])
    assert abs(decoded[0]).max() == pytest.approx(10 ** (-1 / 20), rel=0.05)
    assert decoded[1] == pytest.approx(decoded[0] / 4, abs=1e-4)


def test_silence_and_endless_sounds_are_stored_too() -> None:
    silent, long = data_uris([torch.zeros(100), torch.zeros(400000)], 8000.0)
    assert len(silent) < 1000
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(long.partition(",")[2])))
    assert len(samples) == 80000


# -- what a page holds ---------------------------------------------------------------------------------------


def test_a_page_asks_for_nothing_outside_itself(tmp_path: Path) -> None:
    synth, features = ToySynth(), ToyFeatures()
    page = write_page(toy_cache(tmp_path / "toy.h5"), tmp_path / "toy.html", synth=synth, features=features)
    text = page.read_text()
    for outside in ('src="http', "@import", "<link rel=stylesheet", "url(http", "{{"):
        assert outside not in text
    assert text.count("<audio") == 3 * 3
    assert "Linearization error" in text
    assert text.count("<svg") == 7


def test_identifiers_on_a_page_are_unique(tmp_path: Path) -> None:
    page = write_page(toy_cache(tmp_path / "toy.h5"), tmp_path / "toy.html", synth=ToySynth())
    found = re.findall(r'\bid="([^"]+)"', page.read_text())
    assert len(found) == len(set(found))


def test_a_synthesizer_that_cannot_be_rebuilt_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    text = write_page(toy_cache(tmp_path / "toy.h5"), tmp_path / "toy.html").read_text()
    assert "no sound can be played: " in text
    assert "ToySynth" in text
    assert "<audio" not in text
    assert "Condition number of M" in text
    assert "not known, the features cannot be computed" in text


def test_a_command_writes_a_page_about_a_chosen_sound(tmp_path: Path, capsys) -> None:
    path, page = str(tmp_path / "chirp.h5"), tmp_path / "chirp.html"
    small = ["--synth", "chirp", "--synth-option", "n_samples=2048", "--J", "7", "--jobs", "1", "--quiet"]
    assert main(["precompute", *small, "--size", "4", "--out", path]) == 0
    assert main(["inspect", path, "--index", "2", "--html", str(page)]) == 0
    assert "MB" in capsys.readouterr().err
    assert page.read_text().count("<audio") == 4
    assert "Sound 2, steps of distance" in page.read_text()


def test_impossible_pages_are_refused(tmp_path: Path) -> None:
    cache = toy_cache(tmp_path / "toy.h5", trouble="nan")
    with pytest.raises(ValueError, match="distance must be a finite number above 0, got 0"):
        write_page(cache, tmp_path / "x.html", distance=0.0)
    with pytest.raises(IndexError, match="sound 12 is out of range"):
        write_page(cache, tmp_path / "x.html", rows=[12])
    with pytest.raises(ValueError, match="has no metric"):
        write_page(cache, tmp_path / "x.html", rows=[next(iter(cache.failures))])


# -- bad input -----------------------------------------------------------------------------------------------


def caches(folder: Path, kind: str) -> tuple[pnp.MetricCache, nn.Module]:
    path = folder / "cache.h5"
    if kind == "one row":
        return toy_cache(path, size=1), ToySynth()
    if kind == "metric only":
        return toy_cache(path, store="metric"), ToySynth()
    if kind == "P = 1" or kind == "P = 12":
        synth = Many(int(kind.rpartition(" ")[2]))
        pnp.precompute(synth, ToyFeatures(), path, size=5, method="uniform", progress=False)
        return pnp.MetricCache(path), synth
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["one row", "metric only", "P = 1", "P = 12"])
def test_odd_caches_are_shown_as_far_as_they_go(kind: str, tmp_path: Path) -> None:
    cache, synth = caches(tmp_path, kind)
    assert "with a metric" in as_text(cache_report(cache))
    assert "spectrum of M" in as_text(sound_report(cache, 0))
    text = write_page(cache, tmp_path / "x.html", synth=synth, features=ToyFeatures()).read_text()
    shown = min(3, len(cache))
    assert text.count("<audio") == shown * (1 + len(synth.space))
    assert ("Condition number of M" in text) == (len(synth.space) > 1)
    assert ("inaudible by the metric" in text) == (kind == "P = 12")  # 7 coefficients hear no 12 parameters


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "{{content}}", "{% raw %}"])
def test_what_a_file_says_is_text_and_nothing_else(name: str, tmp_path: Path) -> None:
    units = ["<script>alert(1)</script>", "$\\frac$", "\x1b[31m"]
    cache = metric_cache(tmp_path / f"{name}.h5", 3, units=units, failed=1, features="<b>features</b>")
    text = write_page(cache, tmp_path / "page.html").read_text()
    assert f"<h1>The metric of {html.escape(name)}.h5</h1>" in text
    assert "<img" not in text
    assert text.count("<script") == 1
    assert "<b>" not in text
    assert html.escape(units[0]) in text
    assert "$\\frac$" in text


@pytest.fixture(scope="module")
def page_of(tmp_path_factory) -> Callable[[int], tuple[Any, Path]]:
    """A cache with so many parameters, and its page; written once."""

    @cache
    def written(n_parameters: int) -> tuple[Any, Path]:
        folder = tmp_path_factory.mktemp("page-of")
        content = metric_cache(folder / "cache.h5", n_parameters)
        return content, write_page(content, folder / "page.html", sounds=1)

    return written


@pytest.mark.parametrize("n_parameters", [3, 31, 80])
def test_the_page_names_every_parameter_and_plays_those_steps_that_matter(n_parameters: int, page_of) -> None:
    content, page = page_of(n_parameters)
    text = page.read_text()
    for name in content.space.names:
        assert re.search(rf'<th scope="row" class=words>{name}</th>', text)
    assert text.count("<li><div><strong>λ") == (n_parameters if n_parameters <= 12 else 8)
    assert len(text) < 3e6


@pytest.mark.parametrize("state", ["failed", "pending"])
def test_a_cache_without_any_metric_says_so(state: str, tmp_path: Path, monkeypatch) -> None:
    cache = toy_cache(tmp_path / "toy.h5", size=3)
    code = {"failed": 3, "pending": 0}[state]
    monkeypatch.setitem(cache.__dict__, "status", torch.full((3,), code))
    monkeypatch.setitem(cache.__dict__, "ok", torch.zeros(3, dtype=torch.bool))
    reasons = dict.fromkeys(range(3), "samples are not finite") if state == "failed" else {}
    monkeypatch.setitem(cache.__dict__, "failures", reasons)
    report = as_text(cache_report(cache))
    assert "0 of 3 with a metric" in report
    assert "no sound has a metric, so there is nothing to say about it" in report
    text = write_page(cache, tmp_path / "x.html").read_text()
    assert "no sound has a metric" in text
    assert "<audio" not in text
    assert text.count("<tr>") == 1 + 2 + 1 + 3
    assert as_text(sound_report(cache, 0)).startswith(str(cache.path))


# -- in a browser --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    session = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    yield session
    session.quit()


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("page")
    cache = toy_cache(folder / "toy.h5", size=24)
    page = write_page(cache, folder / "toy.html", synth=ToySynth(), features=ToyFeatures())
    browser.get(page.as_uri())
    return browser


def test_the_page_opens_without_an_error(opened) -> None:
    assert opened.title == "The metric of toy.h5"
    assert opened.get_log("browser") == []


DECODE = """
const done = arguments[arguments.length - 1];
const context = new OfflineAudioContext(1, 8000, 8000);
Promise.all([...document.querySelectorAll("audio")].map((player) => {
  const bytes = Uint8Array.from(atob(player.src.split(",")[1]), (c) => c.charCodeAt(0));
  return context.decodeAudioData(bytes.buffer).then((sound) =>
    [sound.duration, Math.max(...sound.getChannelData(0).map(Math.abs)), player.error === null]);
})).then(done, (error) => done(String(error)));
"""


def test_every_player_has_audio_that_decodes_and_lasts(opened) -> None:
    decoded = opened.execute_async_script(DECODE)
    assert len(decoded) == 9
    for seconds, peak, intact in decoded:
        assert seconds == pytest.approx(64 / 1000, rel=0.02)
        assert peak > 0.01
        assert intact


SOUNDS = "[aria-label='sounds of the cache'] table"


def column(opened: Any, place: int) -> list[float]:
    cells = opened.execute_script(
        "return [...document.querySelector(arguments[0]).tBodies[0].rows].map("
        "(row) => row.cells[arguments[1]].dataset.value ?? row.cells[arguments[1]].textContent)",
        SOUNDS,
        place,
    )
    return [float(cell) for cell in cells]


def order_of(opened: Any, place: int) -> str:
    return opened.execute_script(
        "return document.querySelector(arguments[0]).tHead.rows[0].cells[arguments[1]].ariaSort",
        SOUNDS,
        place,
    )


@pytest.mark.parametrize("by", ["click", "keyboard"])
def test_the_table_sorts(opened, by: str) -> None:
    place = 3 if by == "click" else 4
    buttons = opened.find_elements("css selector", f"{SOUNDS} th button")

    def press() -> None:
        if by == "click":
            opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", buttons[place])
            buttons[place].click()
        else:
            buttons[place].send_keys("\ue007")  # enter

    press()
    values = column(opened, place)
    assert values == sorted(values)
    assert order_of(opened, place) == "ascending"
    press()
    assert column(opened, place) == sorted(values, reverse=True)
    assert order_of(opened, place) == "descending"
    assert sum(order_of(opened, p) != "none" for p in range(len(buttons))) == 1


def test_the_page_is_dark_where_that_is_preferred(opened) -> None:
    shades = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        for what in (
            "getComputedStyle(document.body).backgroundColor",
            "getComputedStyle(document.querySelector('svg text')).fill",
        ):
            colour = opened.execute_script(f"return {what}")
            shades.append(sum(int(part) for part in colour[4:-1].split(",")[:3]) / 765)
    light_back, light_ink, dark_back, dark_ink = shades
    assert light_back > 0.9 > 0.3 > light_ink
    assert dark_back < 0.2 < 0.7 < dark_ink


def test_nothing_sticks_out_on_a_phone(opened) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_sounds_can_be_reached_with_the_keyboard(opened) -> None:
    reached = opened.execute_script(
        "return [...document.querySelectorAll('audio, button, .scroll')].every((e) => e.tabIndex >= 0)"
    )
    assert reached


READABLE = """
return [...document.querySelectorAll("svg text")].map((text) => {
  const scale = text.getScreenCTM();
  return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(scale.a, scale.b);
})
"""
CUT = """
return [...document.querySelectorAll("main *")].filter((e) => {
  const style = getComputedStyle(e);
  return e.scrollWidth > e.clientWidth + 1 && e.clientWidth && ["hidden", "clip"].includes(style.overflowX);
}).map((e) => e.outerHTML.slice(0, 80))
"""


@pytest.mark.parametrize("width", [380, 800, 1400])
@pytest.mark.parametrize("n_parameters", [3, 31, 80])
def test_text_is_readable_and_whole_at_every_width(n_parameters: int, width: int, browser, page_of) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.get(page_of(n_parameters)[1].as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert min(browser.execute_script(READABLE)) > 8
        assert browser.execute_script(CUT) == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [380, 800, 1400])
def test_a_comparison_is_whole_at_every_width(width: int, browser, tmp_path: Path) -> None:
    names = [f"p{p:02}_{'long_' * 11}" for p in range(80)]
    pair = [metric_cache(tmp_path / f"{seed}.h5", 80, size=8, names=names, seed=seed) for seed in (1, 2)]
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.get(write_comparison(compare(*pair), tmp_path / "page.html").as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script(CUT) == []
        assert browser.get_log("browser") == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_table_of_parameters_is_searched(browser, tmp_path: Path) -> None:
    cache = metric_cache(tmp_path / "cache.h5", 31)
    browser.get(write_page(cache, tmp_path / "page.html", sounds=0).as_uri())
    browser.find_element("css selector", "input[type=search]").send_keys("p07")
    shown = browser.execute_script(
        "return [...document.querySelectorAll('[aria-label=parameters] tbody tr')].filter((r) => r.offsetHeight)"
        ".map((r) => r.cells[0].textContent)"
    )
    assert shown == ["p07_level"]
    assert browser.find_element("css selector", "[role=status]").text == "1 of 31"
