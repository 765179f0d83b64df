"""`pnp precompute`: what it writes, says and refuses, and how it resumes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import SMALL, pnp_precompute, refused

import pnp
from pnp.cli.main import main
from pnp.cli.outcome import EXIT_INTERRUPTED, EXIT_OK


def test_precompute_writes_what_the_library_writes(cache: Path, tmp_path: Path) -> None:
    from pnp.features.standard import standard_features

    synth = pnp.synths.make("chirp", n_samples=2048)
    features = standard_features(synth, J=7)
    pnp.precompute(synth, features, tmp_path / "same.h5", size=24, block=4, progress=False)
    with pnp.MetricCache(cache) as ours, pnp.MetricCache(tmp_path / "same.h5") as theirs:
        assert ours.config == theirs.config
        assert (ours.metrics().factor == theirs.metrics().factor).all()


def test_precompute_says_what_it_did_and_resumes(cache: Path, tmp_path, capsys) -> None:
    path = tmp_path / "chirp.h5"
    shutil.copy(cache, path)
    assert pnp_precompute(path) == EXIT_OK
    assert "24 of 24 sounds, 24 of them earlier, none failed" in capsys.readouterr().out


def test_precompute_takes_a_step_for_all_parameters_or_by_name(tmp_path) -> None:
    assert pnp_precompute(tmp_path / "all.h5", "--size", "4", "--step", "0.3") == EXIT_OK
    assert pnp_precompute(tmp_path / "one.h5", "--size", "4", "--step", "gamma=0.1") == EXIT_OK
    with pnp.MetricCache(tmp_path / "all.h5") as one, pnp.MetricCache(tmp_path / "one.h5") as other:
        assert one.config["derivatives"] == {
            "kind": "difference",
            "steps": dict.fromkeys(("f_c", "f_m", "gamma"), 0.3),
        }
        assert other.config["derivatives"] == {"kind": "auto", "steps": {"gamma": 0.1}}


def test_precompute_refuses_a_step_twice(tmp_path, capsys) -> None:
    argv = ["precompute", *SMALL, "--size", "8", "--out", str(tmp_path / "a.h5"), "--step"]
    assert "either one number" in refused([*argv, "0.1", "--step", "gamma=0.2"], capsys)
    assert "expected a finite number, got 'x'" in refused([*argv, "gamma=x"], capsys)


def test_a_cache_of_an_earlier_version_keeps_its_sampling(tmp_path, capsys) -> None:
    from pnp.offline.rebuild import features_of

    path = tmp_path / "earlier.h5"
    assert pnp_precompute(path, "--size", "4", "--sampling", "critical") == EXIT_OK
    with pnp.MetricCache(path) as cache:
        recorded = cache.config["features"]["config"]["representation"]
        assert "sampling" not in recorded  # as earlier versions wrote it
        assert features_of(cache).representation.config() == recorded
    assert main(["verify", str(path)]) == EXIT_OK
    capsys.readouterr()
    argv = ["precompute", *SMALL, "--size", "4", "--out", str(path)]
    assert "sampling" in refused(argv, capsys)
    assert pnp_precompute(path, "--size", "4", "--sampling", "critical") == EXIT_OK
    assert "4 of 4 sounds, 4 of them earlier" in capsys.readouterr().out


def test_precompute_is_fast_on_request(tmp_path, capsys) -> None:
    path = tmp_path / "fast.h5"
    assert pnp_precompute(path, "--size", "4", "--fast") == EXIT_OK
    with pnp.MetricCache(path) as cache:
        assert '"precision": "fast"' in json.dumps(cache.config["features"])
    capsys.readouterr()
    argv = ["precompute", "--synth", "chirp", "--size", "8", "--out", str(path), "--fast"]
    assert "--fast is about the scattering transform" in refused([*argv, "--features", "own.py:make"], capsys)


def test_precompute_of_another_configuration_is_refused(cache: Path, tmp_path, capsys) -> None:
    path = tmp_path / "chirp.h5"
    shutil.copy(cache, path)
    assert "seed" in refused(
        ["precompute", *SMALL, "--size", "24", "--block", "4", "--seed", "1", "--out", str(path)], capsys
    )


@pytest.mark.slow
def test_an_interrupted_run_says_so_and_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "chirp.h5"
    command = [sys.executable, "-m", "pnp", "precompute", *SMALL, "--size", "4096", "--out", str(out)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not out.exists():
        assert running.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    os.killpg(running.pid, signal.SIGINT)
    _, error = running.communicate()
    assert running.returncode == EXIT_INTERRUPTED
    assert "interrupted" in error
    assert "Traceback" not in error
    assert main(["verify", str(out)]) == EXIT_OK


def test_more_sounds_than_memory_holds_are_a_sentence(tmp_path, capsys) -> None:
    argv = ["precompute", "--synth", "chirp", "--synth-option", "n_samples=1000000000000", "--size", "4"]
    assert "memory" in refused([*argv, "--J", "7", "--quiet", "--out", str(tmp_path / "c.h5")], capsys)
