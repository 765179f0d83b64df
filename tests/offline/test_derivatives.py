"""Caches whose Jacobians are made of long differences: made, resumed, refused, verified and shown."""

import pytest
import torch
from caches import content
from toy import ToyFeatures, ToySynth

from pnp.errors import CacheConfigMismatch
from pnp.jacobian import value_and_jacobian
from pnp.offline.precompute import precompute
from pnp.offline.verify import verify
from pnp.report.numbers import cache_report
from pnp.report.terminal import as_text
from pnp.store import MetricCache
from pnp.synths import BlackBox


def make(path, synth=None, **options):
    options = {"size": 8, "block": 4, "precision": "float64", "dtype": "float64"} | options
    synth = ToySynth() if synth is None else synth
    return precompute(synth, ToyFeatures(), path, progress=False, **options)


def test_rows_are_the_differences_that_were_asked_for(tmp_path):
    path = tmp_path / "a.h5"
    make(path, derivatives="difference", step=0.3)
    with MetricCache(path) as cache:
        _, J = value_and_jacobian(ToySynth(), ToyFeatures(), cache.u, step=0.3)
        torch.testing.assert_close(cache.jacobian(slice(None)), J, rtol=1e-12, atol=1e-12)
        assert cache.config["derivatives"] == {"kind": "difference", "steps": {"f": 0.3, "decay": 0.3}}
        assert "differences over ±0.3 of u" in as_text(cache_report(cache))
    report = verify(path, recompute=8, synth=ToySynth(), features=ToyFeatures())
    assert report.ok, report
    assert "differences over ±0.3 of u" in str(report)


def test_a_long_step_needs_no_derivative_of_the_synthesizer(tmp_path):
    assert make(tmp_path / "a.h5", ToySynth(trouble="detached"), step=0.1).n_failed == 0


def test_another_step_is_another_cache(tmp_path):
    path = tmp_path / "a.h5"
    make(path, step=0.1)
    with pytest.raises(CacheConfigMismatch, match=r"derivatives.steps.f: the file has 0.1, asked 0.3"):
        make(path, step=0.3)
    with pytest.raises(CacheConfigMismatch, match="derivatives"):
        make(path)


def test_the_default_is_no_part_of_the_configuration_so_that_old_caches_continue(tmp_path):
    make(tmp_path / "a.h5")
    with MetricCache(tmp_path / "a.h5") as cache:
        assert "derivatives" not in cache.config
        assert cache.header.derivatives["summary"]


def test_any_number_of_workers_makes_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    make(tmp_path / "a.h5", step=0.1)
    make(tmp_path / "b.h5", step=0.1, jobs=2)
    assert content(tmp_path / "a.h5") == content(tmp_path / "b.h5")


def test_steps_that_are_given_are_not_measured(tmp_path, caplog):
    def coarse(f, decay):
        return ToySynth()(torch.tensor([round(f, -1), decay], dtype=torch.float64)).numpy()

    box = BlackBox(coarse, ToySynth().space, sample_rate=1000.0, n_samples=64)
    with caplog.at_level("WARNING"):
        make(tmp_path / "a.h5", box, step=0.1)
    # Nobody uses a measured step, so a warning about one would mislead.
    assert box.numerical.measured is None
    assert not caplog.records
