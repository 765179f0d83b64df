"""The speed table of joint time-frequency scattering, beside its peers: what `pnp bench` runs."""

from .configurations import STANDARD, Configuration
from .report import as_markdown, write_page
from .run import run_benchmark

__all__ = ["STANDARD", "Configuration", "as_markdown", "run_benchmark", "write_page"]
