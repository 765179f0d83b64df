"""Bells in Faust, Csound and torchsynth, announced by a package: right sounds and derivatives, and a verified cache.

The files of Csound are those of the page "Complete examples". Its Faust and torchsynth voices are larger than these
bells, and have no formula to compare with; `test_any_synthesizer.py` takes them through every verb.
"""

import importlib.util
import math
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

import pnp
from pnp.cli.main import EXIT_OK, main

PAGE = Path(__file__).parents[2] / "docs/how-to/any-synthesizer.md"
NEEDS = {
    "faust": importlib.util.find_spec("dawdreamer"),
    "csound": shutil.which("csound"),
    "torchsynth": importlib.util.find_spec("torchsynth"),
}

FAUST_BELL = '''
import dawdreamer

import pnp

RATE, N_SAMPLES = 8000, 4096
SOURCE = """
import("stdfaust.lib");
f0 = hslider("f0", 200, 50, 1000, 1e-9);
decay = hslider("decay", 0.2, 0.01, 2, 1e-9);
t = ba.time / ma.SR;
process = 0.5 * exp(-t / decay) * sin(2 * ma.PI * f0 * t);
"""


def bell(f0, decay):
    engine = dawdreamer.RenderEngine(RATE, 512)
    faust = engine.make_faust_processor("bell")
    faust.set_dsp_string(SOURCE)
    faust.compile()
    faust.set_parameter("/dawdreamer/f0", f0)
    faust.set_parameter("/dawdreamer/decay", decay)
    engine.load_graph([(faust, [])])
    engine.render(N_SAMPLES / RATE)
    return engine.get_audio()[0, :N_SAMPLES]


def make():
    space = pnp.ParameterSpace(
        [
            pnp.Parameter("f0", 200.0, 400.0, scale="log", unit="Hz"),
            pnp.Parameter("decay", 0.1, 0.5, scale="log", unit="s"),
        ]
    )
    return pnp.synths.BlackBox(bell, space, sample_rate=RATE, n_samples=N_SAMPLES)
'''

TORCHSYNTH_BELL = """
import importlib.resources
import math
import sys
import types

import torch

import pnp


class LightningModule(torch.nn.Module):
    device = torch.device("cpu")


def resource_string(_, path):
    return importlib.resources.files("torchsynth").joinpath(path).read_bytes()


for module, members in {
    "pytorch_lightning.core.lightning": {"LightningModule": LightningModule},
    "pkg_resources": {"resource_string": resource_string},
}.items():
    sys.modules[module] = types.ModuleType(module)
    vars(sys.modules[module]).update(members)

from torchsynth.config import SynthConfig
from torchsynth.synth import Voice

torch.pi = math.pi  # torchsynth sets it, for everybody, to what float32 makes of it

RATE, N_SAMPLES = 8000, 4096


def make(patch=1):
    voice = Voice(
        SynthConfig(batch_size=1, reproducible=False, sample_rate=RATE, buffer_size_seconds=N_SAMPLES / RATE)
    )
    voice.randomize(seed=patch)  # all parameters but those that are set below
    voice = voice.double()

    def note(midi_f0, attack):
        chosen = {("keyboard", "midi_f0"): midi_f0, ("adsr_1", "attack"): attack}
        with torch.no_grad():
            voice.set_parameters(
                {name: torch.tensor([value], dtype=torch.float64) for name, value in chosen.items()}
            )
            return voice.output()[0].numpy()

    space = pnp.ParameterSpace(
        [
            pnp.Parameter("midi_f0", 48.0, 72.0, unit="semitone"),
            pnp.Parameter("attack", 0.01, 0.4, scale="log", unit="s"),
        ]
    )
    # Its envelopes have corners, where the two differences of a derivative agree less well.
    return pnp.synths.BlackBox(note, space, sample_rate=RATE, n_samples=N_SAMPLES, tolerance=0.3)
"""

pytestmark = pytest.mark.slow


@pytest.fixture(params=NEEDS)
def adapter(request, tmp_path, monkeypatch):
    """Name of a bell that a package announces."""
    if NEEDS[request.param] is None:
        pytest.skip(f"{request.param} is not installed")
    package = tmp_path / "site"
    metadata = package / "my_package-1.0.dist-info"
    (package / "my_package").mkdir(parents=True)
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[pnp.synths]\nbell = my_package.{request.param}_bell:make\n")
    files = re.findall(r'^```\w+ title="(.+?)"\n(.*?)^```', PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    files += [("faust_bell.py", FAUST_BELL), ("torchsynth_bell.py", TORCHSYNTH_BELL)]
    for name, content in files:
        (package / "my_package" / name).write_text(content)
    monkeypatch.syspath_prepend(package)
    # torchsynth brings stand-ins for what it imports.
    modules = dict(sys.modules)
    yield request.param
    for name in set(sys.modules) - set(modules):
        if name.startswith(("my_package", "torchsynth", "pytorch_lightning", "pkg_resources")):
            del sys.modules[name]
    sys.modules.update(modules)


def formula(theta):
    """The sound that the Faust and Csound programs are written to play."""
    f0, decay = theta.unsqueeze(-2).unbind(-1)
    t = torch.arange(4096, dtype=torch.float64) / 8000
    return 0.5 * torch.exp(-t / decay) * torch.sin(2 * math.pi * f0 * t)


def test_sounds_and_derivatives_are_right(adapter):
    synth = pnp.synths.make("bell")
    pnp.synths.probe(synth)
    theta = synth.space.from_unit(0.9 * synth.space.sample(3))
    x, tangents = synth.value_and_tangents(theta)
    assert torch.equal(x, synth(theta))
    if adapter == "torchsynth":
        # No formula: a difference at another step must agree.
        other = pnp.synths.BlackBox(
            synth.program, synth.space, 8000, 4096, steps={"midi_f0": 1e-6, "attack": 1e-5}
        )
        expected, tolerance = other.value_and_tangents(theta)[1], 1e-3
    else:
        torch.testing.assert_close(x, formula(theta), rtol=0, atol=1e-4)
        basis = torch.eye(2, dtype=torch.float64)
        pushed = [torch.func.jvp(formula, (theta,), (basis[p].expand(3, -1),))[1] for p in (0, 1)]
        expected, tolerance = torch.stack(pushed, 1), 0.01
    error = (tangents - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.max() < tolerance


def test_from_precompute_to_verify_and_inspect(adapter, tmp_path, capsys):
    path = str(tmp_path / "bell.h5")
    scattering = ["--J", "8", "--Q", "4,1", "--J-fr", "2", "--Q-fr", "1"]
    run = ["precompute", "--synth", "bell", "--size", "4", "--jobs", "1", "--out", path, *scattering]
    assert main(run) == EXIT_OK
    assert main(["verify", path, "--recompute", "2"]) == EXIT_OK
    assert "4 of 4 rows, 0 failed, 2 recomputed: intact" in capsys.readouterr().out
    assert main(["inspect", path]) == EXIT_OK
    inspected = capsys.readouterr().out
    with pnp.MetricCache(path) as cache:
        assert all(name in inspected for name in cache.space.names)
        assert cache.ok.all()
        assert (cache.metrics().eigenvalues > 0).all()
