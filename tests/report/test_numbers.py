"""Reports about caches whose content is known."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from random_caches import metric_cache
from toy import ToyFeatures, ToySynth

import pnp
from pnp import diagnostics
from pnp.report import numbers as module
from pnp.report.comparison import compare
from pnp.report.numbers import cache_report, sound_report
from pnp.report.terminal import as_text


def make_cache(path: Path, size: int = 24, trouble: str = "", **options) -> pnp.MetricCache:
    synth = ToySynth(trouble=trouble)
    pnp.precompute(synth, ToyFeatures(), path, size=size, block=4, progress=False, **options)
    return pnp.MetricCache(path)


def test_a_report_says_what_the_diagnostics_say(tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "toy.h5")
    report = cache_report(cache, distance=0.5)
    numbers, metric = report.metric, cache.metrics()
    assert numbers.spectrum == diagnostics.spectrum(metric).mT.tolist()
    assert numbers.mean.matrix == metric.mean().matrix.tolist()
    median = diagnostics.identifiability(metric).sort(dim=0).values[round(0.5 * 23)]
    assert [part[2] for part in numbers.identifiability] == median.tolist()
    assert report.folds == {"train": 19, "validation": 3, "test": 2}


def test_steps_are_ratios_on_a_log_scale_and_differences_on_a_linear_one(tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "toy.h5")
    report = sound_report(cache, 5, distance=1e-3)
    f, decay = report.metric.steps
    theta = cache.theta[5]
    moved = cache.space.to_unit(theta * theta.new_tensor([f.ratio, 1.0]))
    assert float(moved[0] - cache.u[5, 0]) == pytest.approx(f.scaled)
    moved = cache.space.to_unit(theta + theta.new_tensor([0.0, decay.difference]))
    assert float(moved[1] - cache.u[5, 1]) == pytest.approx(decay.scaled)


def test_failed_sounds_are_counted_by_reason_and_shown_alone(tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "toy.h5", trouble="nan")
    report = cache_report(cache)
    failed = len(cache.failures)
    assert failed
    assert report.sounds.failed == sum(report.failures.values()) == failed
    assert f"{failed} sounds failed" in report.warnings
    row = next(iter(cache.failures))
    alone = sound_report(cache, row)
    assert alone.metric is None
    assert alone.failure in as_text(alone)


def test_a_cache_without_features_and_jacobians_is_reported_alike(tmp_path: Path) -> None:
    full = cache_report(make_cache(tmp_path / "full.h5"))
    lean = cache_report(make_cache(tmp_path / "lean.h5", store="metric"))
    assert lean.metric == full.metric
    assert lean.stored == []


def test_one_sound_is_enough(tmp_path: Path) -> None:
    report = cache_report(make_cache(tmp_path / "one.h5", size=1))
    assert "1 of 1 with a metric" in as_text(report)


def test_reports_are_strict_json(tmp_path: Path) -> None:
    # More parameters than coefficients: infinite condition numbers.
    synth = ToySynth()
    pnp.precompute(synth, ToyFeatures(n_features=1), tmp_path / "toy.h5", size=8, progress=False)
    with pnp.MetricCache(tmp_path / "toy.h5") as cache:
        assert cache.metrics().condition.isinf().any() or cache.metrics().condition.max() > 1e20
        reports = [cache_report(cache).to_dict(), sound_report(cache, 0).to_dict()]
    for report in reports:
        assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert any(warning.startswith("rank deficiency: at 8 of 8") for warning in reports[0]["warnings"])
    assert reports[0]["metric"]["identifiability"][0][4] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n_features", [1, 2])
def test_a_reach_is_advised_where_the_metric_is_ill_conditioned(tmp_path: Path, n_features: int) -> None:
    # One feature of two parameters is singular everywhere; two are not, and far better conditioned.
    features = ToyFeatures(n_features=n_features)
    pnp.precompute(ToySynth(), features, tmp_path / "toy.h5", size=8, progress=False)
    with pnp.MetricCache(tmp_path / "toy.h5") as cache:
        median = float(cache.metrics().condition.median())
        advised = [warning for warning in cache_report(cache).warnings if "keep the reach" in warning]
    assert len(advised) == (n_features == 1)
    assert (median > 1e6) == (n_features == 1)


def test_a_dominant_parameter_is_named(tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "toy.h5")
    report = cache_report(cache)
    diagonal = cache.metrics().mean().matrix.diagonal()
    share = float(diagonal.max() / diagonal.sum())
    named = [warning for warning in report.warnings if "dominates" in warning]
    assert bool(named) == (share > 0.99)


def test_a_distance_that_is_not_positive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="distance must be a finite number above 0"):
        cache_report(make_cache(tmp_path / "toy.h5"), distance=-math.inf)


def test_a_report_is_the_same_whether_metrics_are_in_memory_or_read(tmp_path: Path, monkeypatch) -> None:
    # A failed sound is skipped, and blocks of a few rows are read one after the other.
    cache = metric_cache(tmp_path / "a.h5", 5, size=24, failed=2, block=7)
    other = metric_cache(tmp_path / "b.h5", 4, size=24, names=[f"p{p:02}_level" for p in (1, 0, 3, 2)])
    report, compared = cache_report(cache), compare(cache, cache)
    monkeypatch.setattr(module, "_ENTRIES", 0)
    assert cache_report(cache).to_dict() == report.to_dict()
    assert compare(cache, cache) == compared
    with pytest.raises(ValueError, match="another range"):
        compare(cache, other)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_report_on_many_parameters_takes_little_memory_beside_the_imports(tmp_path: Path) -> None:
    metric_cache(tmp_path / "big.h5", 80, size=4096, block=64)
    code = f"""
import sys
import pnp.cli.main, pnp.cli.inspect, pnp.report.numbers, pnp.store.reader, scipy.cluster.hierarchy, torch
peak = lambda: int([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
before = peak()
pnp.cli.main.main(["inspect", {str(tmp_path / "big.h5")!r}])
print("MB", (peak() - before) / 1000)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The metrics alone would take 210 MB.
    assert float(re.search(r"MB (\S+)", ran.stdout)[1]) < 200
