"""A folder of recordings: what is matched, named and skipped, and how a run goes on."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from commands import refused
from toy import ToyFeatures, ToySynth

import pnp
from pnp.cli.main import main
from pnp.cli.outcome import EXIT_OK
from pnp.features.standard import standard_features
from pnp.matching.catalogue import Catalogue
from pnp.matching.folder import match_folder
from pnp.matching.search import Search

RATE = 1000


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    out = tmp_path_factory.mktemp("cache") / "toy.h5"
    pnp.precompute(ToySynth(), ToyFeatures(), out, size=16, store=("S",), progress=False)
    with pnp.MetricCache(out) as cache:
        catalogue = Catalogue.from_cache(cache, ToySynth(), ToyFeatures())
    return Search(catalogue, starts=1, max_evaluations=2, align=False, fit_noise=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings, one of them silent, and two other files."""
    folder = tmp_path / "kit"
    (folder / "low").mkdir(parents=True)
    for name, f in (("a.wav", 150.0), ("low/a.wav", 120.0)):
        sound = ToySynth()(torch.tensor([f, 5.0])).numpy()
        soundfile.write(folder / name, 0.5 * sound, RATE, subtype="FLOAT")
    soundfile.write(folder / "silent.wav", np.zeros(64), RATE)
    (folder / "licence.txt").write_text("Do what you like.")
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


def test_recordings_are_matched_and_everything_else_is_named(folder: Path, search: Search) -> None:
    found = match_folder(folder, folder / "out", search, settings={})
    assert [file.name for file in found.matched] == ["a.wav", "low/a.wav"]
    assert [file.refused for file in found.files if file.match is None] == [
        "silent.wav is silent: its peak is 0, that is, -∞ dBFS; expected -90 dBFS or more."
    ]
    assert [file.name for file in found.others] == ["broken.wav", "licence.txt"]
    assert found.others[1].refused.startswith("licence.txt is not a sound file that libsndfile reads")
    with found.table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["a.wav", "low/a.wav", "silent.wav"]
    assert float(rows[0]["match"]) == pytest.approx(found.matched[0].relative("after"))
    assert float(rows[1]["f"]) == found.matched[1].match["parameters"][0]["value"]
    assert "silent" in rows[2]["doubts"]


def test_a_second_run_matches_what_is_new_or_has_changed_alone(folder: Path, search: Search) -> None:
    out = folder.parent / "out"
    match_folder(folder, out, search, settings={})
    first = {path: path.stat().st_mtime_ns for path in out.rglob("match.json")}
    assert len(first) == 2
    soundfile.write(folder / "new.wav", 0.3 * ToySynth()(torch.tensor([300.0, 5.0])).numpy(), RATE)
    soundfile.write(folder / "low" / "a.wav", 0.3 * ToySynth()(torch.tensor([200.0, 5.0])).numpy(), RATE)
    # What a kill leaves: no match, or half of one.
    (out / "a.wav" / "match.json").write_text('{"recording"')
    found = match_folder(folder, out, search, settings={})
    again = {path: path.stat().st_mtime_ns for path in out.rglob("match.json")}
    assert len(again) == len(found.matched) == 3
    assert all(again[path] > when for path, when in first.items())
    match_folder(folder, out, search, settings={})
    assert {path: path.stat().st_mtime_ns for path in out.rglob("match.json")} == again


def test_other_settings_are_refused(folder: Path, search: Search, tmp_path: Path) -> None:
    match_folder(folder, tmp_path / "out", search, settings={"starts": 1})
    with pytest.raises(
        ValueError, match="holds matches with other settings: starts was 1, got 2; run with the same"
    ):
        match_folder(folder, tmp_path / "out", search, settings={"starts": 2})


def test_an_option_of_a_later_version_was_off(folder: Path, search: Search, tmp_path: Path) -> None:
    match_folder(folder, tmp_path / "out", search, settings={"starts": 1})
    match_folder(folder, tmp_path / "out", search, settings={"starts": 1, "coarse": False})
    with pytest.raises(ValueError, match="holds matches with other settings: coarse was False, got True"):
        match_folder(folder, tmp_path / "out", search, settings={"starts": 1, "coarse": True})


def test_folders_without_recordings_are_refused(search: Search, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        match_folder(tmp_path / "none", tmp_path / "out", search, settings={})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no file; expected recordings"):
        match_folder(tmp_path / "empty", tmp_path / "out", search, settings={})
    (tmp_path / "empty" / "notes.txt").write_text("la")
    with pytest.raises(ValueError, match="holds no sound file that libsndfile reads among 1 file"):
        match_folder(tmp_path / "empty", tmp_path / "out", search, settings={})


@pytest.fixture(scope="module")
def chirps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    synth = pnp.synths.make("chirp", n_samples=512, sample_rate=1024.0, ranges={"f_c": (128.0, 256.0)})
    out = tmp_path_factory.mktemp("chirps") / "chirp.h5"
    phi = standard_features(synth, J=6, Q=(8, 1), Q_fr=1, J_fr=3)
    pnp.precompute(synth, phi, out, size=8, store=("S",), progress=False)
    return out


@pytest.mark.slow
def test_the_command_line_writes_a_table_and_a_page_to_listen(
    chirps: Path, folder: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    call = ["match", str(folder), "--cache", str(chirps), "--out", str(out), "--starts", "1", "--quiet"]
    call += ["--max-evaluations", "2"]
    assert main(call) == EXIT_OK
    printed = capsys.readouterr()
    assert "low/a.wav" in printed.out
    assert "2 other files skipped, no sound: broken.wav, licence.txt." in printed.out
    assert printed.err.splitlines() == [str(out / "table.csv"), str(out / "index.html")]
    page = (out / "index.html").read_text()
    # Recording, nearest sound and match of two recordings; nothing is loaded from elsewhere.
    assert page.count('src="data:audio/wav;base64,') == 6
    assert "http" not in page.replace("http-equiv", "")
    assert main([*call, "--json"]) == EXIT_OK
    assert [match["recording"]["file"] for match in json.loads(capsys.readouterr().out)["matches"]] == [
        "a.wav",
        "low/a.wav",
    ]
    assert "starts was 1, got 2" in refused([*call, "--starts", "2"], capsys)


@pytest.mark.slow
def test_a_killed_run_loses_the_recording_in_progress_alone(chirps: Path, tmp_path: Path) -> None:
    synth = pnp.synths.make("chirp", n_samples=512, sample_rate=1024.0, ranges={"f_c": (128.0, 256.0)})
    (tmp_path / "kit").mkdir()
    for i, sound in enumerate(synth(synth.space.from_unit(synth.space.sample(6, seed=1)).float())):
        soundfile.write(tmp_path / "kit" / f"{i}.wav", 0.5 * sound.numpy(), 1024, subtype="FLOAT")
    out = tmp_path / "out"
    call = [
        sys.executable,
        "-m",
        "pnp",
        "match",
        str(tmp_path / "kit"),
        "--cache",
        str(chirps),
        "--out",
        str(out),
    ]
    killed = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(out.rglob("match.json"))) < 2:
        assert killed.poll() is None
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    kept = {path: path.read_bytes() for path in out.rglob("match.json")}
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert len(list(out.rglob("match.json"))) == 6
    assert all(path.read_bytes() == content for path, content in kept.items())
