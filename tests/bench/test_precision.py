"""Fast and exact transforms, timed in turn."""

import pytest

from pnp.bench.configurations import STANDARD, Configuration
from pnp.bench.precision import measure_precision
from pnp.bench.report import as_markdown
from pnp.bench.results import BenchmarkResults
from pnp.bench.run import merge_results, run_benchmark

SETTINGS = {"J": 8, "Q": (8, 1), "J_fr": 3, "T": "global", "F": 2}
SMALL = Configuration("small", "chirp", SETTINGS, {"n_samples": 4096})


def test_errors_are_those_of_the_settings_that_differ():
    measured = measure_precision(SMALL, rounds=1, sounds=2).variants
    half, short, both = (measured[name] for name in ("half rate alone", "short padding alone", "fast"))
    for key in ("S", "M"):
        alone = [getattr(variant, key).high for variant in (half, short)]
        assert 1e-6 < alone[0] < 0.1
        # Both changes together err no more than the sum of each.
        assert getattr(both, key).high < 1.1 * sum(alone)
    assert all(v.ratio[kind].median > 0 for v in measured.values() for kind in ("forward", "S and J"))


def test_the_report_has_the_section_and_results_without_it_still_merge():
    results = run_benchmark([SMALL], rounds=1, sections=["precision"], ceiling_size=32, ceiling_seconds=0.01)
    assert "| small fast" in as_markdown(results)
    # As version 0.1 wrote them.
    older = BenchmarkResults.from_dict(
        {key: value for key, value in results.to_dict().items() if key != "precision"}
    )
    assert merge_results([older, results]).precision == results.precision
    assert "Fast and exact" not in as_markdown(older)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["A", "B"])
def test_errors_of_the_metric_of_full_length_sounds(name):
    measured = measure_precision(STANDARD[name], rounds=1).variants
    assert measured["half rate alone"].M.high < 0.01
    # Short padding wraps the longest filters around elsewhere; a few sounds are heard there.
    assert measured["fast"].M.median < 0.005
    assert measured["fast"].M.high < 0.02
