"""The registry: names, options, entry points."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import pnp
from pnp import Parameter, ParameterSpace
from pnp.store.provenance import describe
from pnp.synths import Chirp, available, make, register, registry


class Bell(nn.Module):
    """A synthesizer as a third party would write it."""

    sample_rate = 8000
    n_samples = 100

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.space = ParameterSpace([Parameter("f", 100, 200)])

    def forward(self, theta):
        return self.gain * torch.sin(theta * torch.arange(100))


@pytest.fixture(autouse=True)
def _leave_no_trace(monkeypatch):
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))


def test_an_unknown_name_lists_the_known_ones_and_the_closest():
    with pytest.raises(ValueError, match=r"'chrip', expected one of .*chirp.*did you mean 'chirp'\?"):
        make("chrip")


def test_an_unknown_option_lists_the_known_ones_and_the_closest():
    with pytest.raises(ValueError, match=r"'sample_rat' of .*'chirp', .*did you mean 'sample_rate'\?"):
        make("chirp", sample_rat=3)


def test_a_registered_synthesizer_is_made_with_its_options():
    register("bell", Bell)
    assert "bell" in available()
    assert make("bell", gain=2.0).gain == 2.0


def test_what_does_not_know_its_name_is_told_so_that_a_cache_finds_it_again():
    register("bell", Bell)
    assert make("bell", gain=2.0).registered_as == {"name": "bell", "gain": 2.0}
    assert describe(make("bell", gain=2.0))["registered_as"] == {"name": "bell", "gain": 2.0}
    assert "registered_as" not in describe(make("chirp"))
    with pytest.raises(TypeError, match=r"options of 'bell' must be what JSON can hold"):
        describe(make("bell", gain=torch.ones(1)))


def test_a_name_is_registered_once_for_one_factory():
    register("bell", Bell)
    register("bell", Bell)
    with pytest.raises(ValueError, match="'chirp' is registered already"):
        register("chirp", Bell)


def test_a_factory_with_free_options_gets_them_all():
    register("any", lambda **options: Chirp(**options))
    assert make("any", n_samples=100).n_samples == 100


@pytest.fixture
def installed(tmp_path):
    """A folder with a package as pip leaves it: a module, and metadata with its entry points."""
    metadata = tmp_path / "their_bells-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-bells\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[pnp.synths]\ntheir-bell = their_bells:make_bell\n")
    (tmp_path / "their_bells.py").write_text(
        "import pnp\ndef make_bell(n_samples=2048):\n    return pnp.synths.Chirp(n_samples=n_samples)\n"
    )
    return tmp_path


def test_an_installed_package_announces_its_synthesizer_by_an_entry_point(installed, monkeypatch):
    assert "their-bell" not in available()
    monkeypatch.syspath_prepend(installed)
    assert "their-bell" in available()
    assert isinstance(make("their-bell"), Chirp)
    with pytest.raises(ValueError, match="'shift' of synthesizer 'their-bell', expected one of n_samples"):
        make("their-bell", shift=1)


@pytest.mark.slow
def test_precompute_on_the_command_line_finds_it(installed):
    out = installed / "cache.h5"
    command = [
        sys.executable,
        "-m",
        "pnp",
        "precompute",
        "--synth",
        "their-bell",
        "--size",
        "4",
        "--out",
        out,
    ]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(installed), str(Path(pnp.__file__).parents[1])])
    }
    subprocess.run([str(word) for word in command], env=environment, cwd=installed, check=True, timeout=300)
    with pnp.MetricCache(out) as cache:
        assert cache.ok.all()


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("space", None, "needs an attribute 'space' of type ParameterSpace, got none"),
        ("sample_rate", "8000", "'sample_rate' of type float, got str"),
        ("n_samples", 100.0, "'n_samples' of type int, got float"),
    ],
)
def test_what_is_not_a_synthesizer_is_refused(attribute, value, message):
    def factory():
        synth = Bell()
        setattr(synth, attribute, value)
        return synth

    register("broken", factory)
    with pytest.raises(TypeError, match=message):
        make("broken")
    register("worse", lambda: 3)
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module, got int"):
        make("worse")
