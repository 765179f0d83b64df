"""Speed table of joint time-frequency scattering, beside its peers: `pnp bench`."""

from pnp.bench.configurations import STANDARD, Configuration
from pnp.bench.report import as_markdown
from pnp.bench.results import BenchmarkResults
from pnp.bench.run import load_results, merge_results, run_benchmark

__all__ = [
    "STANDARD",
    "BenchmarkResults",
    "Configuration",
    "as_markdown",
    "load_results",
    "merge_results",
    "run_benchmark",
]
