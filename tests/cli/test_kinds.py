"""A user's black box with a choice, an integer and a condition: every verb, from nothing to a matched recording."""

import json
from pathlib import Path

import pytest
import soundfile
import torch

import pnp
from pnp.cli.main import main
from pnp.cli.outcome import EXIT_OK

VOICE = """
import numpy as np
import pnp

SPACE = pnp.ParameterSpace(
    [
        pnp.Parameter("cutoff", 300.0, 3000.0, "log", "Hz"),
        pnp.Parameter("voices", 1, 3, kind="integer"),
        pnp.Parameter("wave", choices=("saw", "square")),
    ],
    conditions=[pnp.Parameter("note", 48, 60, kind="integer")],
)


def organ(cutoff, voices, wave, note):
    assert isinstance(voices, int) and isinstance(note, int) and wave in ("saw", "square")
    t = np.arange(4096) / 8000
    x = np.zeros_like(t)
    for voice in range(voices):
        for k in range(1, 12, 2 if wave == "square" else 1):
            f = k * 440 * 2 ** ((note - 69) / 12) * (1 + 0.01 * voice)
            x += np.sin(2 * np.pi * f * t) / k / (1 + (f / cutoff) ** 2)
    return np.exp(-6 * t) * x


def make():
    return pnp.synths.BlackBox(organ, SPACE, sample_rate=8000, n_samples=4096)
"""


@pytest.mark.slow
def test_every_verb_knows_choices_integers_and_conditions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("voice.py").write_text(VOICE)
    sounds = ["--size", "64", "--jobs", "1", "--J", "8", "--Q", "8,1", "--J-fr", "3"]
    assert (
        main(["precompute", "--synth", "voice.py:make", *sounds, "--out", "voice.h5", "--quiet"]) == EXIT_OK
    )
    assert main(["verify", "voice.h5"]) == EXIT_OK
    capsys.readouterr()

    assert main(["inspect", "voice.h5", "--html", "voice.html"]) == EXIT_OK
    told = capsys.readouterr().out
    assert "choice wave" in told
    assert "condition note" in told
    page = Path("voice.html").read_text(encoding="utf-8")
    assert "data:audio" in page
    assert "wave saw, note" in page or "wave square, note" in page

    for loss in ("pnp", "p"):
        assert (
            main(["train", "voice.h5", "--loss", loss, "--epochs", "3", "--out", loss, "--quiet"]) == EXIT_OK
        )
        assert "% of choices right" in capsys.readouterr().out
        assert main(["evaluate", loss, "voice.h5", "--json", "--quiet"]) == EXIT_OK
        found = json.loads(capsys.readouterr().out)
        assert found["parameters"] == ["cutoff", "voices"]
        assert found["choices"] == ["wave"]
        assert 0 <= found["choice_accuracy"][0] <= 1
        assert found["choice_distance"][0] > 0
        assert found["feature_distance"] > 0

    truth = {"cutoff": 900.0, "voices": 2, "wave": "square", "note": 55}
    with pnp.MetricCache("voice.h5") as cache:
        space = cache.space
    row = [space[name].number(truth[name]) for name in space.column_names]
    from pnp.synths.registry import make

    x = make("voice.py:make")(torch.tensor([row], dtype=torch.float64))[0]
    soundfile.write("sound.wav", x.numpy(), 8000, subtype="FLOAT")
    command = ["match", "sound.wav", "--cache", "voice.h5", "--condition", "note=55", "--encoder", "pnp"]
    assert main([*command, "--json", "--quiet", "--starts", "4", "--keep-onset"]) == EXIT_OK
    found = json.loads(capsys.readouterr().out)
    assert found["given"] == {"note": 55}
    assert [choice["option"] for choice in found["choices"]] == ["square"]
    cutoff, voices = found["parameters"]
    assert voices["value"] == 2
    assert cutoff["value"] == pytest.approx(900.0, rel=0.05)
    assert found["distance_after"] < 0.5 * found["distance_before"]
