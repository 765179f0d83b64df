"""The speed table of joint time-frequency scattering, beside its peers: what `pnp bench` runs."""

from pnp.bench.configurations import STANDARD, Configuration
from pnp.bench.report import as_markdown, write_page
from pnp.bench.run import merge_results, run_benchmark

__all__ = ["STANDARD", "Configuration", "as_markdown", "merge_results", "run_benchmark", "write_page"]
