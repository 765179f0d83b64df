#!/usr/bin/env python
"""The page docs/evidence/scattering-speed.md, from what `pnp bench --json FILE` measured in one run or several.

python benchmarks/scattering.py benchmarks/results/A.json benchmarks/results/B.json ... [--docs docs]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pnp import plots
from pnp._files import write_atomically
from pnp.bench import BenchmarkResults, as_markdown, load_results

_FIGURE = Path("images") / "benchmark-cost.png"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="FILE", help="JSON that `pnp bench` wrote")
    parser.add_argument("--docs", type=Path, default=Path("docs/evidence"), help="folder of the page")
    options = parser.parse_args()
    write_page(load_results(options.results), options.docs)


def write_page(results: BenchmarkResults, docs: Path) -> None:
    """Write the page of the documentation and its figure.

    Args:
        results: Results of `run_benchmark`.
        docs: Folder of the page.
    """
    lines = ["# Speed of scattering", "", "Made by these commands; do not edit, run them again.", ""]
    lines += [f"- `{run.command}` at commit {run.commit or 'unknown'}" for run in results.runs]
    lines += ["", as_markdown(results)]
    if results.cost:
        (docs / _FIGURE).parent.mkdir(parents=True, exist_ok=True)
        plots.costs([cost.to_dict() for cost in results.cost]).savefig(docs / _FIGURE, dpi=120)
        lines += ["", f"![Time of S and J against N, P and Q]({_FIGURE.as_posix()})"]
    write_atomically(docs / "scattering-speed.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
