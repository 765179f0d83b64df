"""The page "Complete examples": each of its files, as printed, through every verb of the command line."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest
import soundfile
import torch

import pnp
from pnp import _own_code
from pnp.cli.main import EXIT_OK, main
from pnp.offline.rebuild import synthesizer_of
from pnp.synths.plugin_host import _host

DOCS = Path(__file__).parents[2] / "docs"
AMSYNTH = Path("/usr/lib/vst/amsynth_vst.so")
HAS_DAWDREAMER = importlib.util.find_spec("dawdreamer") is not None

# Of each: whether it can run here, its name, its numbers of parameters, choices and conditions, and options.
VOICES = {
    "amsynth": (
        HAS_DAWDREAMER and AMSYNTH.exists(),
        "amsynth.py:make",
        (26, 5, 1),
        ["--step", "0.1", "--synth-option", "n_samples=11025"],
    ),
    "torchsynth": (
        importlib.util.find_spec("torchsynth") is not None,
        "torchsynth_voice.py:make",
        (78, 0, 0),
        ["--step", "0.1"],
    ),
    "faust": (HAS_DAWDREAMER, "faust_voice.py:make", (6, 2, 1), ["--step", "0.1"]),
    "harmonic": (True, "harmonic_noise.py:HarmonicNoise", (30, 0, 0), ["--synth-option", "n_samples=4096"]),
    "granular": (True, "granular.py:Granular", (2, 0, 1), []),
    "csound": (shutil.which("csound") is not None, "csound_bell.py:make", (2, 0, 0), []),
}
SMALL = ["--jobs", "1", "--block", "4", "--quiet", "--J", "7", "--Q", "4,1", "--J-fr", "2", "--Q-fr", "1"]

pytestmark = pytest.mark.slow


def files_of(page):
    """Files that a page prints, by name."""
    blocks = re.findall(
        r'^```\w+ title="(.+?)"\n(.*?)^```', (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return {Path(name).name: content for name, content in blocks}


@pytest.fixture(params=VOICES)
def voice(request, tmp_path, monkeypatch):
    """Name of a synthesizer, in a folder with the files of the page."""
    can_run, *found = VOICES[request.param]
    if not can_run:
        pytest.skip(f"{request.param} is not installed")
    for name, content in files_of("how-to/any-synthesizer.md").items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = dict(sys.modules)
    yield found
    # The files, and what stands in for the modules that torchsynth imports.
    for name in set(sys.modules) - set(modules):
        if name in _own_code._files or name.startswith(("torchsynth", "pytorch_lightning", "pkg_resources")):
            del sys.modules[name]
    sys.modules.update(modules)
    _own_code._files.clear()
    _host.cache_clear()


def test_from_one_file_to_a_match(voice, capsys):
    words, sizes, options = voice
    assert (
        main(["precompute", "--synth", words, "--size", "8", "--out", "voice.h5", *options, *SMALL])
        == EXIT_OK
    )
    assert main(["verify", "voice.h5", "--recompute", "1"]) == EXIT_OK
    assert "8 of 8 rows, 0 failed, 1 recomputed: intact" in capsys.readouterr().out
    assert main(["inspect", "voice.h5", "--all"]) == EXIT_OK
    inspected = capsys.readouterr().out
    with pnp.MetricCache("voice.h5") as cache:
        space = cache.space
        assert (len(space), len(space.choices), len(space.conditions)) == sizes
        assert all(name in inspected for name in space.names)
        # Every parameter is heard in one of the sounds, and every choice.
        assert (cache.metrics().matrix.diagonal(dim1=-2, dim2=-1).amax(0) > 0).all()
        assert all((distances.amax() > 0) for distances in cache.choice_distances.values())
        synth = synthesizer_of(cache)
        x = synth(cache.theta[:1].double())[0]
    assert main(["train", "voice.h5", "--epochs", "1", "--out", "run", "--quiet"]) == EXIT_OK
    assert main(["evaluate", "run", "voice.h5", "--fold", "train", "--quiet"]) == EXIT_OK
    soundfile.write("target.wav", (x / (2 * x.abs().max())).numpy(), int(synth.sample_rate), subtype="FLOAT")
    match = [
        "match",
        "target.wav",
        "--cache",
        "voice.h5",
        "--starts",
        "1",
        "--keep-onset",
        "--max-evaluations",
        "2",
        "--quiet",
    ]
    assert main([*match, "--encoder", "run", "--out", "matched"]) == EXIT_OK
    assert Path("matched/match.wav").exists()


def test_a_sound_is_the_same_whatever_is_played_before(voice):
    words, _, _ = voice
    synth = pnp.synths.make(words)
    theta = synth.space.from_unit(synth.space.snap(0.7 * synth.space.sample(3)))
    x = synth(theta)
    assert torch.equal(synth(theta.flip(0)).flip(0), x)
    assert (x.abs().amax(1) > 1e-4).all()
