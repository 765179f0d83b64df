#!/usr/bin/env python
"""The page docs/evidence/scattering-speed.md, from what `pnp bench --json FILE` measured, machine by machine.

python benchmarks/scattering.py benchmarks/results/A.json benchmarks/results/B.json ... [--docs docs]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pnp import plots
from pnp._files import write_atomically
from pnp.bench import BenchmarkResults, as_markdown, load_results, merge_results

_FIGURE = Path("images") / "benchmark-cost.png"


def main() -> None:
    """Write the page."""
    options = page_arguments(__doc__)
    write_page(by_machine(options.results), options.docs)


def page_arguments(description: str | None) -> argparse.Namespace:
    """Read the command line of a script that makes a page of benchmark results.

    Args:
        description: Text above the help.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="FILE", help="JSON that `pnp bench` wrote")
    parser.add_argument("--docs", type=Path, default=Path("docs/evidence"), help="folder of the page")
    return parser.parse_args()


def by_machine(files: Sequence[Path]) -> list[BenchmarkResults]:
    """Results that share machine, threads and versions are joined; others cannot be compared.

    Args:
        files: JSON files that `pnp bench` wrote.
    """
    joined: list[BenchmarkResults] = []
    for results in (load_results([file]) for file in files):
        for place, others in enumerate(joined):
            if others.environment == results.environment:
                joined[place] = merge_results([others, results])
                break
        else:
            joined.append(results)
    return joined


def write_page(machines: Sequence[BenchmarkResults], docs: Path) -> None:
    """Write the page of the documentation and its figure.

    Args:
        machines: Results of `run_benchmark`, one for each machine and its versions.
        docs: Folder of the page.
    """
    lines = ["# Speed of scattering", "", "Made by these commands; do not edit, run them again.", ""]
    lines += [
        f"- `{run.command}` at commit {run.commit or 'unknown'}"
        for results in machines
        for run in results.runs
    ]
    several = len(machines) > 1
    if several:
        lines += ["", f"On {len(machines)} machines: compare ratios, not times, from one to the other."]
    for results in machines:
        place = results.environment
        names = ", ".join(sorted({*results.configurations, *results.jacobian, *results.throughput}))
        if several:
            lines += ["", f"## {names}: {place.cpu}, pnp {place.versions['pnp']}"]
        lines += ["", as_markdown(results, "###" if several else "##")]
        if results.cost:
            (docs / _FIGURE).parent.mkdir(parents=True, exist_ok=True)
            plots.costs([cost.to_dict() for cost in results.cost]).savefig(docs / _FIGURE, dpi=120)
            lines += ["", f"![Time of S and J against N, P and Q]({_FIGURE.as_posix()})"]
    write_atomically(docs / "scattering-speed.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
