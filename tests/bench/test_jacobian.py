"""Jacobians with synthesis, beside their parts. Never a time."""

from types import SimpleNamespace

import pytest
from tiny_benchmark import BOX, TINY

from pnp.bench import BenchmarkResults, as_markdown, run_benchmark
from pnp.bench.configurations import STANDARD
from pnp.bench.processes import throughput


@pytest.fixture(scope="module")
def results() -> BenchmarkResults:
    """Exact derivatives and those of a black box; but for memory, whose process takes seconds to begin."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(
            "pnp.bench.jacobian.throughput", lambda *_, **__: SimpleNamespace(peak_bytes=2**30)
        )
        return run_benchmark(
            [TINY, BOX], rounds=2, sections=["jacobian"], ceiling_size=32, ceiling_seconds=0.01
        )


def test_of_exact_derivatives_there_are_no_renders(results) -> None:
    measured = results.jacobian["tiny"]
    assert (measured.renders, measured.steps_seconds) == (None, None)
    assert (measured.n_samples, measured.n_tangents, measured.over_forward.rounds) == (1024, 3, 2)


def test_the_renders_of_a_black_box_are_a_sound_and_four_around_it_along_each_parameter(results) -> None:
    measured = results.jacobian["box"]
    assert (measured.renders, measured.n_samples) == (1 + 4 * 3, 1000)
    assert 0 < measured.over_parts.low <= measured.over_parts.high


def test_the_report_says_what_was_rendered(results) -> None:
    text = as_markdown(results)
    assert "- **box**: box, N=1000, " in text
    assert "**box** is a black box, and its *sounds* are the 13 calls" in text
    assert BenchmarkResults.from_dict(results.to_dict()).to_dict() == results.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["D", "E"])
def test_a_worker_with_many_parameters_stays_below_a_gibibyte(name) -> None:
    # Half of it is what `import torch` takes. Exact derivatives of 32 parameters, and differences of as many. What the
    # allocator holds differs by some percent from one process to another: the better of two.
    peaks = [throughput(STANDARD[name], sounds=1, workers=1, batch=1).peak_bytes for _ in range(2)]
    assert min(peaks) < 2**30
