#!/usr/bin/env python
"""PNP loss against P-loss on eight synthesizers, with the defaults of the package and no tuning.

    pip install pnp-metric[train] dawdreamer
    python benchmarks/panel.py --work DIR --seeds 5 --docs docs/evidence

Caches are kept in DIR, and each run in the results file as soon as it is there: run the same command again and it goes
on. `--only-page` measures nothing and writes the page from the results.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from panelists.experiment import CONDITIONS, Experiment
from panelists.members import PANEL
from panelists.page import as_markdown, draw

from pnp.bench.environment import commit, environment

RESULTS = Path(__file__).parent / "results" / "panel.json"


def main() -> int:
    """Measure what is due, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="folder of the caches")
    parser.add_argument("--members", nargs="+", choices=list(PANEL), default=list(PANEL), metavar="NAME")
    parser.add_argument(
        "--conditions",
        nargs="+",
        choices=list(CONDITIONS),
        default=["P", "PNP", "multiscale"],
        metavar="CONDITION",
        help=", ".join(CONDITIONS),
    )
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each condition")
    parser.add_argument(
        "--matches", type=int, default=0, help="sounds to match by each representation that judges"
    )
    parser.add_argument("--until", help="time of day, HH:MM, after which nothing new is begun")
    parser.add_argument("--json", type=Path, default=RESULTS, help="results file, read first if it exists")
    parser.add_argument("--only-page", action="store_true", help="measure nothing, read the results file")
    parser.add_argument("--docs", type=Path, help="where to write panel.md, and its figure")
    options = parser.parse_args()
    if (options.work is None) != options.only_page:
        parser.error("give either --work or --only-page")
    content = json.loads(options.json.read_text("utf-8")) if options.only_page else _measured(options)
    if options.docs:
        (options.docs / "panel.md").write_text(as_markdown(content), "utf-8")
        draw(content, options.docs / "images" / "panel.png")
    return 0


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    """Results with all that is due, or all until the time is over."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("panelists").setLevel(logging.INFO)
    torch.set_num_threads(1)
    deadline = math.inf
    if options.until:
        hour, minute = map(int, options.until.split(":"))
        deadline = datetime.now().replace(hour=hour, minute=minute, second=0).timestamp()
    experiment = Experiment(options.work, options.json, deadline)
    experiment.content |= {"commit": commit(), "environment": environment().to_dict()}
    experiment.train(options.members, options.conditions, range(options.seeds))
    if options.matches:
        experiment.match(options.members, options.matches)
    return experiment.content


if __name__ == "__main__":
    sys.exit(main())
